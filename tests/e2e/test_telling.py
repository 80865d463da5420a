"""What jobs tell while they run, and whoever follows them, on every engine."""

from __future__ import annotations

import asyncio
import itertools
import json
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from commands import on_terminal
from conftest import Place, until
from e2e.conftest import loaded
from sidework import (
    BadValue,
    Event,
    JobFailed,
    JobNotFound,
    PositionPruned,
    SideworkError,
    State,
    WaitTimeout,
    as_completed,
    emit,
    progress,
    track,
)
from sidework.note import MOST_LOGS, MOST_VALUES


@pytest.fixture
def telling(place: Place) -> Iterator[Any]:
    with loaded(place, "telling") as module:
        yield module
        module.app.close()


def told(events: list[Event]) -> list[Any]:
    """Each event by what it is about."""
    about: dict[str, Any] = {
        "progress": lambda one: (one.progress.done, one.progress.total, one.progress.note),
        "log": lambda one: (one.log.level, one.log.logger, one.log.text.splitlines()[0]),
        "value": lambda one: one.value,
        "retried": lambda one: one.failure.message,
        "final": lambda one: str(one.state),
    }
    return [(one.kind, about.get(one.kind, lambda one: one.attempt)(one)) for one in events]


def test_every_kind_of_job_tells_and_the_last_word_is_stored_with_its_end(telling: Any) -> None:
    with telling.app.worker():
        for task in (telling.coroutine, telling.thread, telling.process):
            job = task.enqueue(3)
            assert job.progress is None or job.progress.total == 3
            assert job.result(timeout=20) == 3
            reached = job.progress
            assert (reached.done, reached.total, reached.note) == (3, 3, "done")
            events = list(job.events())
            assert told(events) == [
                ("enqueued", None), ("started", 1),
                ("log", ("INFO", "shop", "item 0")), ("value", {"item": 0}),
                ("log", ("INFO", "shop", "item 1")), ("value", {"item": 1}),
                ("log", ("INFO", "shop", "item 2")), ("value", {"item": 2}),
                ("progress", (3, 3, "done")), ("final", "completed"),
            ] or "progress" in [one.kind for one in events[:-2]]  # fmt: skip
            assert [one.value["item"] for one in events if one.kind == "value"] == [0, 1, 2]
        tracked = telling.tracks.enqueue()
        assert tracked.result(timeout=20) == [0, 1, 2, 0, 1]
        assert (tracked.progress.done, tracked.progress.note) == (2, "async")


def test_events_are_live_in_order_and_resumed_behind_a_position(telling: Any) -> None:
    app, place = telling.app, telling.HERE
    with app.worker():
        job = telling.waits.enqueue(1)
        seen: list[Event] = []
        for event in job.events():
            seen.append(event)
            if event.kind == "progress":
                (place / f"step-1-{event.progress.done}").touch()
        assert told(seen) == [
            ("enqueued", None), ("started", 1), ("progress", (1, 3, "")),
            ("progress", (2, 3, "")), ("progress", (3, 3, "")), ("final", "completed"),
        ]  # fmt: skip

        again = telling.fails_once.enqueue()
        again.result(timeout=20)
        events = list(again.events())
        assert told(events) == [
            ("enqueued", None), ("started", 1), ("value", "attempt 1"),
            ("log", ("WARNING", "shop", "it goes wrong")), ("retried", "not yet"),
            ("started", 2), ("value", "attempt 2"), ("final", "completed"),
        ]  # fmt: skip
        assert "ValueError: inside" in events[3].log.text  # type: ignore[union-attr]
        for at, event in enumerate(events):
            rest = list(itertools.islice(again.events(after=event.position), len(events)))
            assert rest == events[at + 1 :]


def test_the_same_object_is_followed_by_coroutines_many_at_a_time(telling: Any) -> None:
    async def follow(job: Any) -> list[str]:
        return [event.kind async for event in job.events()]

    async def main() -> list[list[str]]:
        jobs = [await telling.thread.aenqueue(2) for _ in range(20)]
        return await asyncio.gather(*(follow(job) for job in [*jobs, *jobs]))

    before = threading.active_count()
    with telling.app.worker():
        for kinds in asyncio.run(main()):
            assert (kinds[0], kinds[-1]) == ("enqueued", "final")
            assert kinds.count("value") == 2
        assert sum(one.name == "sidework-waiter" for one in threading.enumerate()) == 1
    assert threading.active_count() <= before + 2


def test_a_flood_is_bounded_and_the_newest_is_kept(telling: Any) -> None:
    with telling.app.worker():
        job = telling.floods.enqueue(3_000)
        first: Event | None = None
        for event in job.events():
            first = first or (event if event.kind == "value" else None)
        events = list(job.events())
        kept = {kind: [one for one in events if one.kind == kind] for kind in ("log", "value")}
        assert len(kept["log"]) == MOST_LOGS
        assert [one.value for one in kept["value"]] == list(range(3_000 - MOST_VALUES, 3_000))
        assert job.progress.done == 2_999
        with pytest.raises(PositionPruned, match="begin there, or without a position"):
            next(iter(job.events(after=events[1].position)))
        assert list(job.events(after=events[-2].position)) == events[-1:]


def test_wrong_words_are_told_in_one_line(telling: Any) -> None:
    said = {
        "nan": r"progress\(done=nan\): expected a number from 0",
        "-1": r"progress\(done=-1\.0\): expected a number from 0",
        "backwards": r"progress\(1\): the job was at 2 before",
        "thread": r"progress\(\) was called outside a job",
        "fork": "7",
        "large": "the cap is 65,536",
        "digits": r"progress\(total\): expected a number from 0 to 1e\+300",
        "kind": "told",
    }
    with telling.app.worker():
        jobs = {how: telling.wrong.enqueue(how) for how in said}
        for how, job in jobs.items():
            with pytest.raises(JobFailed, match=said[how]):
                job.result(timeout=20)
        assert (jobs["kind"].progress.done, jobs["kind"].progress.total) == (2, 3)
        final = list(jobs["nan"].events())[-1]
        assert (final.state, final.failure.kind) == (State.DISCARDED, "sidework.errors.BadValue")
    for outside in (lambda: progress(1), lambda: emit(1), lambda: list(track([1]))):
        with pytest.raises(SideworkError, match="outside a job"):
            outside()
    for bad, line in (
        (lambda: track(5), "expected something to iterate over"),
        (lambda: track([], total=-1), r"track\(total=-1\): expected a number"),
        (lambda: track([], note=5), r"track\(note=5\): expected a text"),
    ):
        with pytest.raises(BadValue, match=line):
            bad()
    with pytest.raises(BadValue, match=r"expected the position of an event, such as '1\.17'"):
        jobs["nan"].events(after="x")
    jobs["nan"]._app.store.delete(jobs["nan"].raw)
    with pytest.raises(JobNotFound):
        list(jobs["nan"].events())


def test_hooks_for_those_who_wait(telling: Any) -> None:
    app, place = telling.app, telling.HERE
    with app.worker():
        slow, quick = telling.waits.enqueue(1), telling.thread.enqueue(1)
        called: list[Any] = []

        def back(handle: Any) -> None:
            # Whoever is called may wait for jobs itself.
            called.append((handle, telling.thread.enqueue(2).result(timeout=20)))

        quick.add_done_callback(lambda handle: 1 / 0)
        quick.add_done_callback(lambda handle: sys.exit(3))
        quick.add_done_callback(back)
        future = slow.future()
        order = iter(as_completed([slow, quick], timeout=20))
        assert next(order) == quick
        with pytest.raises(WaitTimeout, match="1 of 2 jobs are not done after 50ms"):
            list(as_completed([slow, quick], timeout="50ms"))
        for step in (1, 2, 3):
            (place / f"step-1-{step}").touch()
        assert next(order) == slow
        assert future.result(timeout=20) is None
        assert until(lambda: called) == [(quick, 2)]

        async def main() -> list[Any]:
            return [one async for one in as_completed([slow, quick], timeout=20)]

        assert set(asyncio.run(main())) == {slow, quick}
        with pytest.raises(JobFailed):
            telling.wrong.enqueue("nan").future().result(timeout=20)


def test_the_events_of_an_app_are_those_of_its_jobs(telling: Any) -> None:
    app = telling.app
    with pytest.raises(BadValue, match="expected some of enqueued"):
        app.events(kinds="begun")
    with pytest.raises(BadValue, match="expected a datetime, or the position"):
        app.events(since="yesterday")
    old = telling.thread.enqueue(1)
    with app.worker():
        old.result(timeout=20)
        began = old.info().inserted_at
        job = telling.fails_once.enqueue()
        job.result(timeout=20)

        def first(count: int, **given: Any) -> list[Event]:
            return list(itertools.islice(app.events(**given), count))

        seen = first(8, since=began, task="fails_once")
        assert told(seen) == told(list(job.events()))
        finals = first(2, since=began, kinds="final")
        assert [one.id for one in finals] == [old.id, job.id]
        assert first(1, since=finals[0].position, kinds=("final",))[0].id == job.id
        assert first(3, since=seen[4].position, queue="default") == seen[5:]

        async def live() -> list[str]:
            stream = app.events(task=telling.thread.name).__aiter__()
            task = asyncio.ensure_future(anext(stream))
            await asyncio.sleep(0)
            fresh = await telling.thread.aenqueue(1)
            found = [await asyncio.wait_for(task, 20)]
            while found[-1].kind != "final":
                found.append(await asyncio.wait_for(anext(stream), 20))
            await stream.aclose()
            assert {one.id for one in found} == {fresh.id}
            return [one.kind for one in found]

        kinds = asyncio.run(live())
        assert kinds[:2] == ["enqueued", "started"]
        assert kinds[-1] == "final"


def test_control_c_ends_the_watching_not_the_job(place: Place) -> None:
    place.write(
        "shop.py", "from sidework import Sidework\napp = Sidework()\n@app.task\ndef f(): ...\n"
    )
    job = place.sidework("run", "shop:f").stdout.strip()
    watching = subprocess.Popen(
        [sys.executable, "-m", "sidework", "jobs", "watch", job, "--app", "shop"],
        cwd=place.folder, env=place.env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    with watching:
        assert watching.stdout is not None
        assert watching.stdout.readline().endswith("enqueued\n")
        watching.send_signal(signal.SIGINT)
        _, said = watching.communicate(timeout=20)
    assert (watching.returncode, said) == (130, "sidework: the job goes on\n")


def test_a_job_is_watched_from_the_command_line(place: Place) -> None:
    place.write(
        "shop.py",
        """
        import logging
        from sidework import Sidework, emit, track
        app = Sidework()
        @app.task
        def count(fails: bool = False) -> None:
            for n in track(range(3), note="counting"):
                logging.getLogger("shop").info("item \\x1b[1m%d", n)
            emit({"n": n})
            if fails:
                raise ValueError("no\\nmore")
        """,
    )
    done = place.sidework("run", "shop:count")
    assert done.returncode == 0, done.stderr
    bad = place.sidework("run", "shop:count", "true").stdout.strip()
    place.worker("shop", "--children", "1")
    watched = place.sidework("jobs", "watch", done.stdout.strip(), "--app", "shop")
    assert watched.returncode == 0, watched.stderr
    lines = [line.split(" ", 1)[1] for line in watched.stdout.splitlines()]
    assert lines[0] == "enqueued"
    assert "INFO shop: item \\x1b[1m2" in lines
    assert lines[-3:-1] == ["progress 3 of 3  counting", 'value {"n": 2}']
    assert lines[-1] == "completed"
    code, shown = on_terminal(place, "jobs", "watch", done.stdout.strip(), "--app", "shop")
    assert code == 0
    assert "3 of 3  counting" in shown
    failed = place.sidework("jobs", "watch", bad, "--app", "shop", "--json")
    assert (failed.returncode, failed.stderr) == (1, f"sidework: job {bad} is discarded\n")
    last = json.loads(failed.stdout.splitlines()[-1])
    assert (last["kind"], last["error"]) == ("final", "ValueError: no")
