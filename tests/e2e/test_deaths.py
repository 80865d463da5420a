"""Children and workers that die, drain or never come up: nothing is lost, nobody else is hurt."""

from __future__ import annotations

import fcntl
import os
import signal
from time import monotonic
from typing import Any

import pytest

from conftest import Place, until
from e2e.conftest import Ways
from sidework import JobFailed, JobHandle, State


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def stop_outside_of_a_turn(pid: int, path: str) -> None:
    """Stopped inside a write transaction it would keep everyone out, as any lock's holder would."""

    def stopped() -> bool:
        os.kill(pid, signal.SIGSTOP)
        with open(f"{path}-ticket") as ticket:
            try:
                fcntl.flock(ticket, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                os.kill(pid, signal.SIGCONT)
                return False
        return True

    until(stopped, "a moment between two turns")


def go(ways: Ways, tag: int) -> None:
    (ways.place.folder / f"go-{tag}").touch()


def handed_back(job: JobHandle[Any]) -> bool:
    """By the worker's own word: what it leaves without one is rescued, which counts a crash."""
    row = job.info()
    untouched = (row.state, row.attempt, row.crashes) == (State.AVAILABLE, 0, 0)
    return untouched and job.attempts() == []


def crowd_ahead_of_20(ways: Ways) -> list[JobHandle[str]]:
    """Jobs 0 to 19 that wait, behind a fast crowd that has made the child's window wide: job 0 runs,
    and the child holds more of them than it can run."""
    ways.app.enqueue_many(ways.thread.bind(9999) for _ in range(3000))
    jobs = [ways.wait_thread.enqueue(tag) for tag in range(20)]
    until(lambda: ways.runs(0), "the first run")
    return jobs


def test_a_killed_child_is_replaced_and_its_jobs_run_again(ways: Ways) -> None:
    """I5: those that ran have crashed and run alone next; those that waited lose nothing."""
    worker = ways.place.worker("ways", "--children", "1", "--threads", "2")
    jobs = [ways.wait_thread.enqueue(tag) for tag in range(5)]
    until(lambda: ways.runs(0) and ways.runs(1), "two runs")
    (child,) = worker.children()
    os.kill(child, signal.SIGKILL)
    for tag in range(5):
        go(ways, tag)
    assert [job.result(timeout=20) for job in jobs] == ["went"] * 5
    assert [job.info().attempt for job in jobs] == [1] * 5
    assert [[row.outcome for row in job.attempts()] for job in jobs[:2]] == [["crashed"]] * 2
    assert [job.attempts() for job in jobs[2:]] == [[]] * 3
    assert ways.runs(0)[-1][2] != ways.runs(0)[0][2]
    assert worker.stop() == 0


@pytest.mark.sqlite_alone(
    "of the child's window, behind a crowd of 3,000: the store has no part in it"
)
def test_what_a_killed_child_had_not_begun_is_handed_back(ways: Ways) -> None:
    """I5: only what ran has crashed."""
    worker = ways.place.worker("ways", "--children", "1", "--threads", "1")
    jobs = crowd_ahead_of_20(ways)
    (child,) = worker.children()
    os.kill(child, signal.SIGSTOP)  # it gives nothing back by itself now
    begun = [tag for tag in range(20) if ways.runs(tag)]
    held = [job for job in jobs if job.state is State.RUNNING]
    assert len(held) > len(begun) == 1
    os.kill(child, signal.SIGKILL)
    for tag in range(20):
        go(ways, tag)
    assert [job.result(timeout=20) for job in jobs] == ["went"] * 20
    assert [row.outcome for row in jobs[0].attempts()] == ["crashed"]
    assert all(job.attempts() == [] and job.info().crashes == 0 for job in jobs[1:])
    assert [len(ways.runs(tag)) for tag in range(20)] == [2] + [1] * 19


@pytest.mark.sqlite_alone("of the worker's judgement; the conformance tests have each verb of it")
@pytest.mark.parametrize("how", ["exit", "kill", "segfault"])
def test_a_job_that_kills_its_process_is_quarantined(ways: Ways, how: str) -> None:
    """I5, FAULTS row 12: three runs, the last two alone; neighbours end well."""
    ways.place.worker("ways", "--children", "1", "--threads", "4")
    poison = ways.die.enqueue(666, how)
    neighbours = [ways.thread.enqueue(tag) for tag in range(50)]
    with pytest.raises(JobFailed, match="ProcessDied"):
        poison.result(timeout=20)
    assert len(ways.runs(666)) == 3
    assert len({pid for *_, pid in ways.runs(666)}) == 3
    for tag, job in enumerate(neighbours):
        assert job.result(timeout=20) == tag + 1
        assert len(ways.runs(tag)) <= 2


def test_a_child_that_cannot_go_on_ends_and_its_jobs_run_again(ways: Ways) -> None:
    """FAULTS row 12: without memory for another thread it would be deaf, and keep its jobs for ever."""
    worker = ways.place.worker("ways", "--children", "1", "--threads", "2")
    first = ways.no_more_threads.enqueue(1)
    until(lambda: len(ways.runs(1)) == 2, "the run, without memory")
    second = ways.thread.enqueue(2)
    assert second.result(timeout=20) == 3
    until(lambda: len(ways.runs(1)) == 4, "the run again")
    go(ways, 1)
    assert first.result(timeout=20) == "went"
    assert [row.outcome for row in first.attempts()] == ["crashed"]
    assert worker.stop() == 0


def test_at_most_once_is_kept_through_a_crash(ways: Ways) -> None:
    ways.place.worker("ways", "--children", "1")
    with pytest.raises(JobFailed):
        ways.die_once.enqueue(1).result(timeout=20)
    assert len(ways.runs(1)) == 1


RESCUED_WITHIN = {"sqlite": 2.0, "postgres": 4.0 + 2.0}
"""Seconds: by the lock, or after a lease (4 s here) and a turn at the chore, which each second brings."""


def test_a_killed_workers_jobs_run_again_in_time(ways: Ways, engine: str) -> None:
    """I7, and its children die with it."""
    first = ways.place.worker("ways", "--children", "2")
    jobs = [ways.wait_coroutine.enqueue(tag) for tag in range(3)]
    until(lambda: all(ways.runs(tag) for tag in range(3)), "three runs")
    second = ways.place.worker("ways", "--children", "1")
    children = first.children()
    first.process.kill()
    died = monotonic()
    until(lambda: all(len(ways.runs(tag)) == 2 for tag in range(3)), "the runs again")
    assert monotonic() - died <= RESCUED_WITHIN[engine]
    until(lambda: not any(alive(child) for child in children), "the children's end")
    for tag in range(3):
        go(ways, tag)
    assert [job.result(timeout=20) for job in jobs] == ["went"] * 3
    assert all(job.info().attempt == 1 for job in jobs)
    assert second.stop() == 0


@pytest.mark.sqlite_alone("of the child's own end; the jobs' way back is in the test above")
@pytest.mark.parametrize("how", ["gil", "stopped"])
def test_a_child_that_cannot_see_its_workers_end_dies_with_it(ways: Ways, how: str) -> None:
    """I7: a child whose Python cannot run never reads that its pipe is closed; the kernel ends it."""
    first = ways.place.worker("ways", "--children", "1")
    job = ways.hold_gil_unless.enqueue(1) if how == "gil" else ways.wait_coroutine.enqueue(1)
    until(lambda: ways.runs(1), "the run")
    children = first.children()
    second = ways.place.worker("ways", "--children", "1")
    if how == "gil":
        first.says("its GIL is held")
    else:
        for child in children:
            os.kill(child, signal.SIGSTOP)
    go(ways, 1)  # the second run ends at once
    try:
        first.process.kill()
        died = monotonic()
        until(lambda: len(ways.runs(1)) == 2, "the run again")
        assert monotonic() - died <= 2.0
        until(lambda: not any(alive(child) for child in children), "the children's end")
    finally:
        for child in filter(alive, children):
            os.kill(child, signal.SIGKILL)
    assert job.result(timeout=20) == "went"
    assert second.stop() == 0


@pytest.mark.sqlite_alone("told by a lock; by a lease it may be, after that")
def test_a_living_worker_is_never_rescued_from(ways: Ways) -> None:
    """I7: a worker that is stopped, not dead, keeps its jobs."""
    first = ways.place.worker("ways", "--children", "1")
    job = ways.wait_coroutine.enqueue(1)
    until(lambda: ways.runs(1), "the run")
    stop_outside_of_a_turn(first.pid, ways.place.url)
    ways.place.worker("ways", "--children", "1")
    other = ways.thread.enqueue(2)
    assert other.result(timeout=20) == 3
    assert ways.app.store.rescue() == 0
    assert job.state is State.RUNNING
    os.kill(first.pid, signal.SIGCONT)
    go(ways, 1)
    assert job.result(timeout=20) == "went"
    assert len(ways.runs(1)) == 1


def test_sigterm_finishes_what_runs_and_hands_back_the_rest(ways: Ways) -> None:
    """FAULTS row 14: nothing lost, no attempt spent."""
    worker = ways.place.worker("ways", "--children", "1", "--threads", "1")
    running, *waiting = crowd_ahead_of_20(ways)
    worker.process.terminate()
    worker.says("draining")
    go(ways, 0)
    assert worker.process.wait(20) == 0
    assert running.result(timeout=1) == "went"
    assert all(handed_back(job) for job in waiting)
    assert ways.app.store.workers() == []


def test_a_drain_past_its_grace_hands_back_what_runs(ways: Ways) -> None:
    worker = ways.place.worker("ways", "--children", "1", "--grace", "0.2")
    jobs = [task.enqueue(at) for at, task in enumerate(
        (ways.wait_thread, ways.wait_coroutine, ways.wait_process))]  # fmt: skip
    until(lambda: all(ways.runs(tag) for tag in range(3)), "three runs")
    assert worker.stop() == 0
    assert all(handed_back(job) for job in jobs)


def test_a_second_sigint_leaves_at_once(ways: Ways) -> None:
    """FAULTS row 14."""
    worker = ways.place.worker("ways", "--children", "1")
    jobs = [ways.wait_thread.enqueue(1), ways.wait_coroutine.enqueue(2)]
    until(lambda: ways.runs(1) and ways.runs(2), "two runs")
    worker.process.send_signal(signal.SIGINT)
    worker.says("draining")
    began = monotonic()
    worker.process.send_signal(signal.SIGINT)
    assert worker.process.wait(20) == 0
    assert monotonic() - began < 2
    assert all(handed_back(job) for job in jobs)


def test_an_idle_worker_ends_at_once(ways: Ways) -> None:
    worker = ways.place.worker("ways", "--children", "2")
    children = worker.children()
    began = monotonic()
    assert worker.stop() == 0
    assert monotonic() - began < 3
    assert not any(alive(child) for child in children)


def test_an_unknown_task_is_held_without_spending_an_attempt(ways: Ways) -> None:
    """FAULTS row 15, on one machine: an old worker meets a new task."""
    old = ways.place.write("old/ways.py", "from sidework import Sidework\napp = Sidework()\n")
    worker = ways.place.worker(str(old), "--children", "1")
    job = ways.thread.enqueue(1)
    until(lambda: job.state is State.SCHEDULED, "the snooze")
    assert "not known to the worker" in (job.info().note or "")
    assert job.info().attempt == 0
    assert worker.stop() == 0
    ways.place.worker("ways", "--children", "1")
    assert job.result(timeout=20) == 2
    assert job.info().attempt == 1


def test_two_workers_share_the_work_and_run_nothing_twice(ways: Ways) -> None:
    """I1."""
    for _ in range(2):
        ways.place.worker("ways", "--children", "1")
    ways.app.enqueue_many(ways.thread.bind(tag) for tag in range(400))
    until(lambda: all(row.state is State.COMPLETED for row in ways.app.jobs()), "all ends")
    assert all(len(ways.runs(tag)) == 1 for tag in range(400))


@pytest.mark.sqlite_alone("its sockets")
def test_with_every_bell_cut_all_still_ends(place: Place, ways: Ways) -> None:
    """I10: the sockets are gone for client and worker alike."""
    ways.place.worker("ways", "--children", "1")
    folder = ways.app.store._bell_folder
    assert os.listdir(folder)
    for name in os.listdir(folder):
        os.unlink(os.path.join(folder, name))
    os.chmod(folder, 0o500)
    jobs = [ways.thread.enqueue(tag) for tag in range(5)]
    for name in os.listdir(folder):
        os.unlink(os.path.join(folder, name))
    assert [job.result(timeout=20) for job in jobs] == [1, 2, 3, 4, 5]


@pytest.mark.sqlite_alone("its sockets")
def test_bells_are_not_missed_while_other_places_are_taken(ways: Ways) -> None:
    """I10: a process job that holds its place for long does not blind the worker to the rest. The
    quickest of five: by the safety net each takes a tenth of a second, by the scan a whole one."""
    worker = ways.place.worker("ways", "--children", "1")
    long = ways.wait_process.enqueue(77)
    until(lambda: ways.runs(77), "the run")
    folder = ways.app.store._bell_folder
    for name in os.listdir(folder):
        os.unlink(os.path.join(folder, name))
    waits = []
    for tag in range(5):
        began = monotonic()
        ways.thread.enqueue(tag)
        until(lambda tag=tag: ways.runs(tag), "the run")
        waits.append(monotonic() - began)
    assert min(waits) < 0.6, waits
    go(ways, 77)
    assert long.result(timeout=20) == "went"
    assert worker.stop() == 0


def test_a_paused_queue_waits_and_goes_on(ways: Ways) -> None:
    ways.place.worker("ways", "--children", "1")
    ways.app.store.pause("mail", "me", "test")
    held = ways.thread.options(queue_name="mail").enqueue(1)
    assert ways.thread.enqueue(2).result(timeout=20) == 3
    assert held.state is State.AVAILABLE
    ways.app.store.resume("mail")
    assert held.result(timeout=20) == 2


def test_a_worker_serves_the_queues_that_it_is_told(ways: Ways) -> None:
    ways.place.worker("ways", "--children", "1", "--queues", "mail,web")
    held = ways.thread.enqueue(1)
    assert ways.thread.options(queue_name="web").enqueue(2).result(timeout=20) == 3
    assert held.state is State.AVAILABLE


@pytest.mark.sqlite_alone(
    "of the child's window, behind a crowd of 3,000: the store has no part in it"
)
@pytest.mark.parametrize("kind", ["coroutine", "thread"])
def test_a_job_cancelled_while_it_waits_in_a_child_never_starts(ways: Ways, kind: str) -> None:
    size = "--concurrency" if kind == "coroutine" else "--threads"
    ways.place.worker("ways", "--children", "1", size, "1")
    task = getattr(ways, f"wait_{kind}")
    # A fast crowd first, so that the child's window is wide and it holds more than it can run.
    ways.app.enqueue_many(getattr(ways, kind).bind(9999) for _ in range(3000))
    jobs = [task.enqueue(tag) for tag in range(20)]
    until(lambda: ways.runs(0), "the first run")
    last = jobs[-1]
    last.cancel()
    # Nothing else may run on before: the jobs ahead of it would be done sooner than it is told.
    assert last.wait(timeout=20) is State.CANCELLED
    for tag in range(20):
        go(ways, tag)
    assert [job.result(timeout=20) for job in jobs[:-1]] == ["went"] * 19
    assert ways.runs(19) == []
