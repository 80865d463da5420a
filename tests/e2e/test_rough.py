"""Jobs that mistreat their process: they lose nobody's work, not even their own, and the worker lives."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from time import monotonic
from typing import Any

import pytest

from conftest import Place, until
from e2e.conftest import loaded
from sidework import BadTask, JobFailed, Sidework, State


@pytest.fixture
def rough(place: Place, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    monkeypatch.setenv("SIDEWORK_URL", place.url)
    with loaded(place, "rough") as module:
        yield module


def lines(place: Place) -> list[str]:
    path = place.folder / "rough.log"
    return path.read_text().splitlines() if path.exists() else []


@pytest.mark.parametrize("how", ["exit", "stop", "cancel all"])
def test_a_job_that_ends_its_loop_takes_no_neighbour_with_it(
    place: Place, rough: Any, how: str
) -> None:
    place.worker("rough", "--children", "1")
    neighbours = [rough.stands_by.enqueue(str(tag)) for tag in range(20)]
    until(lambda: len(lines(place)) == 20, "twenty that stand by")
    culprit = rough.ends_the_loop.enqueue(how)
    until(lambda: len(lines(place)) > 21, "the runs again")
    (place.folder / "go-all").touch()
    assert [job.result(timeout=20) for job in neighbours] == [str(tag) for tag in range(20)]
    assert all(job.info().attempt == 1 for job in neighbours)
    assert culprit.result(timeout=20) == "behaved"


def test_a_coroutine_cancelled_before_its_first_step(place: Place, rough: Any) -> None:
    """Its cancel falls into the turn of the loop in which it was made; its place must come back."""
    place.worker("rough", "--children", "1", "--concurrency", "5")
    for _ in range(20):
        jobs = [rough.stands_by.enqueue("x") for _ in range(5)]
        for job in jobs:
            job.cancel()
        assert {job.wait(timeout=20) for job in jobs} == {State.CANCELLED}


def test_a_fork_that_outlives_its_child_hides_no_death(place: Place, rough: Any) -> None:
    worker = place.worker("rough", "--children", "1")
    assert rough.leaves_a_fork.enqueue().result(timeout=20) == "alone"
    assert worker.stop() == 0


def test_what_a_job_forks_hears_signals(place: Place, rough: Any) -> None:
    place.worker("rough", "--children", "1")
    jobs = [rough.terminates_a_fork.enqueue() for _ in range(10)]
    assert {job.result(timeout=30) for job in jobs} == {-15}


def test_what_runs_at_most_once_is_not_handed_back(place: Place, rough: Any) -> None:
    """I5: it had begun when its worker was told to leave."""
    worker = place.worker("rough", "--children", "1", "--grace", "0.1")
    job = rough.at_most_once.enqueue()
    until(lambda: lines(place) == ["once"], "the run")
    assert worker.stop() == 0
    assert job.state is State.DISCARDED
    with pytest.raises(JobFailed, match="its worker stopped while it ran"):
        job.result(timeout=1)


def test_a_reason_that_cannot_be_sent_is_sent_cleaned(place: Place, rough: Any) -> None:
    place.worker("rough", "--children", "1")
    jobs = [rough.snoozes_badly.enqueue("thread"), rough.snoozes_badly_on_the_loop.enqueue()]
    for job in jobs:
        until(lambda job=job: job.info().note, "the note")
        assert job.info().note == "not \\ud800 yet\\x00"
    (place.folder / "go-all").touch()
    assert [job.result(timeout=20) for job in jobs] == ["awake", "awake"]


def test_errors_are_retried_as_declared(place: Place, rough: Any) -> None:
    """A list of types is as good as a tuple; our own error from their code is theirs."""
    place.worker("rough", "--children", "1")
    assert rough.has_a_list_of_errors.enqueue().result(timeout=20) == "second"
    assert rough.refuses_a_value.enqueue().result(timeout=20) == "second"


@pytest.mark.parametrize("option", ["retry_on", "discard_on"])
def test_what_is_no_exception_type_is_refused_when_declared(tmp_path: Path, option: str) -> None:
    app = Sidework(str(tmp_path / "jobs.db"))
    with pytest.raises(BadTask, match=f"{option}=.*expected an exception type"):
        app.task(**{option: ["ValueError"]})(one_line)  # type: ignore[call-overload]


def one_line() -> None: ...


def test_a_generator_is_no_task(tmp_path: Path) -> None:
    app = Sidework(str(tmp_path / "jobs.db"))
    for wrong in (generates, generates_slowly):
        with pytest.raises(BadTask, match="it is a generator"):
            app.task(wrong)


def generates() -> Iterator[int]:
    yield 1


async def generates_slowly() -> Any:
    yield 1


def test_a_signal_without_a_name(place: Place, rough: Any) -> None:
    worker = place.worker("rough", "--children", "1")
    with pytest.raises(JobFailed, match="killed by signal 40"):
        rough.real_time_signal.enqueue().result(timeout=20)
    assert rough.plain.enqueue(1).result(timeout=20) == 1
    assert worker.stop() == 0


def test_what_a_job_sets_in_its_context_no_other_sees(place: Place, rough: Any) -> None:
    place.worker("rough", "--children", "1", "--threads", "1", "--concurrency", "3")
    for task in (rough.sets_the_tenant, rough.sets_the_tenant_on_the_loop):
        jobs = [task.enqueue(tag) for tag in range(60)]
        assert {job.result(timeout=20) for job in jobs} == {"nobody"}


def test_a_redirected_stderr_does_not_end_the_watch(place: Place, rough: Any) -> None:
    worker = place.worker("rough", "--children", "1")
    rough.redirects_stderr.enqueue().result(timeout=20)
    assert rough.polite.enqueue().result(timeout=20) == "stopped"
    worker.says("is past its timeout")


def test_a_job_that_writes_into_the_pipe(place: Place, rough: Any) -> None:
    worker = place.worker("rough", "--children", "1")
    assert rough.writes_into_the_pipe.enqueue().result(timeout=20) == "behaved"
    assert worker.stop() == 0


def test_an_embedded_worker_that_breaks_is_told_where_its_block_ends(
    rough: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    from sidework.worker.supervisor import Supervisor

    def breaks(self: Supervisor, now: float) -> None:
        raise RuntimeError("a fault of ours")

    with pytest.raises(RuntimeError, match="a fault of ours"), rough.app.worker() as worker:
        monkeypatch.setattr(Supervisor, "look", breaks)
        until(lambda: not worker._running[1].is_alive(), "its end")


PROXIES = """
    from sidework import Sidework

    class Anything:
        def __getattr__(self, name):
            return self

    class Raises:
        @property
        def __class__(self):
            raise RuntimeError("outside of a request")

    app, database, request = Sidework(), Anything(), Raises()

    @app.task
    def f() -> int:
        return 1
"""


def test_an_object_that_answers_to_everything_is_no_app(place: Place) -> None:
    place.write("shop.py", PROXIES)
    place.sidework("run", "shop:f")
    worker = place.worker("shop", "--children", "1")
    assert place.sidework("run", "shop:f", "--wait", "--timeout", "20s").stdout == "1\n"
    assert worker.stop() == 0


TWO = """
    import os
    from sidework import Sidework

    app, other = Sidework("one.db"), Sidework("two.db")

    @app.task(runner="process")
    def f() -> int:
        return os.getpid()

    if __name__ == "__main__":
        with app.worker():
            assert f.enqueue().result(timeout=20) != os.getpid()
"""


def test_an_embedded_worker_finds_its_app_beside_another(place: Place) -> None:
    done = place.python(str(place.write("shop.py", TWO)))
    assert (done.returncode, done.stderr) == (0, "")


def test_as_process_one_it_fetches_the_dead_and_drains(place: Place, rough: Any) -> None:
    """FAULTS row 14, as in a container: orphans of jobs are its own, and SIGTERM reaches it."""
    log = place.folder / "one.log"
    words = [sys.executable, "-m", "sidework", "worker", "rough", "--children", "1"]
    unshare = [
        "unshare",
        "--user",
        "--map-root-user",
        "--pid",
        "--mount-proc",
        "--fork",
        "--kill-child",
    ]
    with open(log, "w") as said:
        outer = subprocess.Popen(
            [*unshare, *words], cwd=place.folder, env=place.env, stderr=said, text=True
        )
    place.started.append(outer)
    until(lambda: "ready for" in log.read_text(), "the worker")
    for _ in range(20):
        rough.leaves_an_orphan.enqueue().result(timeout=20)
    until(lambda: rough.counts_zombies.enqueue().result(timeout=20) == 0, "the last zombie's end")
    (inner,) = Path(f"/proc/{outer.pid}/task/{outer.pid}/children").read_text().split()
    os.kill(int(inner), signal.SIGTERM)
    assert outer.wait(20) == 0
    assert rough.app.store.workers() == []


def test_a_fork_of_a_job_runs_nothing_of_its_child(place: Place, rough: Any) -> None:
    """It waits for a job, as its parent might; what waits in the child stays the child's."""
    place.worker("rough", "--children", "1", "--threads", "2")
    rough.app.enqueue_many(rough.plain.bind(n) for n in range(3000))  # the child's window widens
    forks = [rough.waits_in_a_fork.enqueue(n) for n in range(4)]
    lines_ = [rough.leaves_a_line.enqueue(n) for n in range(200)]
    assert [job.wait(timeout=30) for job in forks] == [State.COMPLETED] * 4
    assert [job.wait(timeout=30) for job in lines_] == [State.COMPLETED] * 200
    assert sorted(lines(place)) == sorted(f"line {n}" for n in range(200))


def test_a_job_that_waits_is_cancelled_and_timed_out(place: Place, rough: Any) -> None:
    place.worker("rough", "--children", "1", "--threads", "1", "--queues", "default")
    job = rough.waits_for_nobody.enqueue(600)
    until(lambda: job.state is State.RUNNING, "the run")
    job.cancel()
    assert job.wait(timeout=20) is State.CANCELLED
    with pytest.raises(JobFailed, match="did not end within its timeout"):
        rough.waits_too_long.enqueue().result(timeout=20)


def test_a_lone_worker_that_leaves_does_not_wait_for_jobs_that_wait(
    place: Place, rough: Any
) -> None:
    worker = place.worker("rough", "--children", "1", "--queues", "default")
    job = rough.waits_for_nobody.enqueue(600)
    until(lambda: "unserved" in {row.queue for row in rough.app.jobs()}, "the job it waits for")
    began = monotonic()
    assert worker.stop() == 0
    assert monotonic() - began < 10  # of a grace of 30
    assert (job.state, job.info().attempt, job.info().crashes) == (State.AVAILABLE, 0, 0)


def test_processes_made_for_jobs_that_wait_are_dismissed(place: Place, rough: Any) -> None:
    worker = place.worker("rough", "--children", "1")
    assert rough.waits_alone.enqueue(3).result(timeout=30) == 3
    until(lambda: len(worker.children()) <= 2, "one shared and one solo child")
    assert rough.waits_alone.enqueue(1).result(timeout=30) == 1


INTERRUPTED = """
    import asyncio, sys
    from sidework import Sidework

    app = Sidework()

    @app.task
    def sleep() -> None:
        import time
        print("runs", flush=True)
        time.sleep(60)

    async def main() -> None:
        async with app.worker():
            await (await sleep.aenqueue()).aresult()

    if __name__ == "__main__":
        asyncio.run(main())
"""


def test_control_c_ends_an_embedded_worker_of_coroutines(place: Place) -> None:
    program = place.write("shop.py", INTERRUPTED)
    process = subprocess.Popen(
        [sys.executable, str(program)], cwd=place.folder, env=place.env, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    place.started.append(process)
    assert process.stdout is not None
    assert process.stdout.readline() == "runs\n"
    began = monotonic()
    process.send_signal(signal.SIGINT)
    process.wait(20)
    assert monotonic() - began < 10  # of 60
    process.stdout.close()
