"""What jobs are given: opened once per child, shared, closed when it drains; never stored."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest

from conftest import PATIENCE, Place, until
from sidework import JobFailed, State

from .conftest import loaded

ALL = ["generator", "agenerator", "manager", "amanager", "function", "afunction"]


@pytest.fixture
def provided(place: Place, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    monkeypatch.setenv("SIDEWORK_URL", place.url)
    monkeypatch.chdir(place.folder)
    with loaded(place, "provided") as module:
        yield module


def noted(place: Place) -> dict[int, list[str]]:
    """What each process noted, in order."""
    lines: dict[int, list[str]] = {}
    for line in (place.folder / "opened.log").read_text().splitlines():
        pid, what = line.split()
        lines.setdefault(int(pid), []).append(what)
    return lines


def closed_in_order(notes: list[str]) -> None:
    """Lifespans around all, and the last one opened is the first one closed."""
    opened = [one[1:] for one in notes if one[0] == "+"]
    closing = [one for one in opened if one not in ("function", "afunction")]
    assert notes == [*(f"+{one}" for one in opened), *(f"-{one}" for one in reversed(closing))]
    assert opened[:2] == ["first", "second"]
    assert set(Counter(opened).values()) == {1}


def test_a_worker_opens_once_per_child_and_closes_when_it_drains(
    place: Place, provided: Any
) -> None:
    worker = place.worker("provided", "--children", "1", "--log-level", "info")
    jobs = [provided.on_loop.enqueue(n) for n in range(20)]
    jobs += [provided.in_thread.enqueue(1, 2, x=3) for _ in range(20)]
    alone = [provided.alone.enqueue(), provided.alone_too.enqueue(), provided.alone_too.enqueue()]
    assert [job.result(PATIENCE) for job in jobs] == [ALL] * 20 + [ALL[:2]] * 20
    pids = {job.result(PATIENCE)[0] for job in alone}
    assert alone[1].result()[1] == ["generator", "agenerator", "amanager"]
    assert jobs[0].info().arguments == {"n": 0}
    assert jobs[-1].info().arguments == {"*": [1, 2], "**": {"x": 3}}
    assert worker.stop() == 0, worker.said
    notes = noted(place)
    assert pids <= set(notes)
    assert len(notes) == 1 + len(pids)
    for one in notes.values():
        closed_in_order(one)
    assert "could not be closed" not in worker.said
    assert "blocked" not in worker.said


def test_an_embedded_worker_too(place: Place, provided: Any) -> None:
    with provided.app.worker():
        assert provided.on_loop.enqueue(1).result(PATIENCE) == ALL
        assert provided.in_thread.enqueue(1).result(PATIENCE) == ALL[:2]
    (notes,) = noted(place).values()
    closed_in_order(notes)


@pytest.mark.parametrize("task", ["needs", "needs_too"])
def test_a_resource_that_does_not_open_costs_its_jobs_an_attempt_and_no_other(
    place: Place, provided: Any, task: str
) -> None:
    with provided.app.worker():
        job = getattr(provided, task).enqueue()
        until(lambda: job.state is State.RETRYABLE, "its retry")
        assert provided.in_thread.enqueue(1).result(PATIENCE) == ALL[:2]
        (failed,) = job.attempts()
        assert failed.kind == "sidework.errors.NotOpened"
        assert failed.message == f"the resource {'away' if task == 'needs' else 'away_too'} " \
            "did not open: ConnectionError: nobody listens"  # fmt: skip
        assert "in away\n" in failed.traceback
        (place.folder / "there").touch()
        assert job.result(PATIENCE) == "there"


def test_it_is_discarded_like_any_failure_when_no_attempt_is_left(provided: Any) -> None:
    with provided.app.worker(), pytest.raises(JobFailed, match="nobody listens"):
        provided.needs.options(retries=0).enqueue().result(PATIENCE)


BROKEN = """
    from sidework import Sidework

    app = Sidework()

    @app.lifespan
    def pool():
        raise ConnectionError("nobody listens")
        yield

    @app.task
    def nothing() -> None: ...

    if __name__ == "__main__":
        with app.worker():
            print("works")
"""


def test_a_child_whose_lifespan_does_not_open_cannot_start(place: Place) -> None:
    path = place.write("broken.py", BROKEN)
    done = place.sidework("worker", "broken", "--children", "1")
    assert done.returncode == 1
    (line,) = [one for one in done.stderr.splitlines() if "lifespan" in one]
    assert (
        line
        == f"sidework: lifespan pool did not open: ConnectionError: nobody listens (at {path}:8)"
    )
    embedded = place.python("broken.py")
    assert embedded.returncode == 1
    assert embedded.stderr.splitlines()[-1].startswith(
        "sidework.errors.SideworkError: lifespan pool"
    )
    assert embedded.stdout == ""


def test_a_coroutine_can_be_waiting_for_it_when_it_is_cancelled(provided: Any) -> None:
    """The opening goes on for the others."""
    from sidework.child.resources import Resources

    async def both() -> str:
        gate = asyncio.Event()

        async def slow() -> str:
            await gate.wait()
            return "opened"

        wanted = {"one": provided.Resource(slow)}
        resources = Resources(lambda _: None)
        leaves = asyncio.create_task(resources.avalues(wanted))
        stays = asyncio.create_task(resources.avalues(wanted))
        await asyncio.sleep(0)
        leaves.cancel()
        with pytest.raises(asyncio.CancelledError):
            await leaves
        gate.set()
        return (await stays)["one"]

    assert asyncio.run(both()) == "opened"
