"""Every way in which an attempt can end, in a real worker with real children."""

from __future__ import annotations

import os

import pytest

from conftest import until
from e2e.conftest import Keep, Ways
from sidework import JobCancelled, JobFailed, State, WaitTimeout


@pytest.fixture
def served(keep: Keep, engine: str) -> Ways:
    kept = keep(engine, "ways", "--children", "1", "--threads", "4")
    ways = Ways(kept.place, kept.module)
    ways.worker = kept.worker
    return ways


def test_each_runner_returns_its_result(served: Ways) -> None:
    assert served.coroutine.enqueue(1).result(timeout=10) == 2
    assert served.thread.enqueue(2).result(timeout=10) == 3
    assert served.process_coroutine.enqueue(3).result(timeout=10) == 4
    alone = served.process.enqueue(4).result(timeout=10)
    assert alone not in {os.getpid(), served.runs(1)[0][2], served.runs(2)[0][2]}


def test_a_coroutine_past_its_timeout_is_cancelled(served: Ways) -> None:
    with pytest.raises(JobFailed, match="TimeoutError"):
        served.slow_coroutine.enqueue(1).result(timeout=10)


def test_a_solo_child_past_its_timeout_is_terminated_and_cleans_up(served: Ways) -> None:
    with pytest.raises(JobFailed, match="TimeoutError"):
        served.slow_process.enqueue(1).result(timeout=10)
    assert [what for what, *_ in served.runs(1)] == ["run", "cleaned"]


def test_a_thread_past_its_timeout_is_flagged_with_its_stack(served: Ways) -> None:
    assert served.slow_thread.enqueue(1).result(timeout=10) == "stopped by itself"
    served.worker.says("past its timeout of 0.3 s in a thread")
    served.worker.says("in slow_thread")


def test_failures_are_retried_and_kept(served: Ways) -> None:
    job = served.fail.enqueue(7)
    with pytest.raises(JobFailed, match="ValueError: no 7") as told:
        job.result(timeout=10)
    assert "in fail" in told.value.remote_traceback
    assert "executor.py" not in told.value.remote_traceback
    assert [attempt for _, attempt, _ in served.runs(7)] == [1, 2, 3]
    attempts = job.attempts()
    assert [row.outcome for row in attempts] == ["retry", "retry", "discarded"]
    assert (attempts[0].kind, attempts[0].message) == ("ValueError", "no 7")
    assert "in fail" in attempts[0].traceback


def test_retry_raised_by_the_job(served: Ways) -> None:
    assert served.fail_twice.enqueue(1).result(timeout=10) == 3


def test_which_errors_are_retried(served: Ways) -> None:
    for kind, runs in (("key", 1), ("os", 6), ("value", 1)):
        job = served.picky.enqueue(kind)
        assert job.wait(timeout=10) is State.DISCARDED
        assert len(served.runs(kind)) == runs, kind


def test_discard_ends_it_for_good(served: Ways) -> None:
    with pytest.raises(JobFailed, match="not worth it"):
        served.give_up.enqueue(1).result(timeout=10)
    assert len(served.runs(1)) == 1


def test_snooze_gives_the_attempt_back(served: Ways) -> None:
    job = served.snooze.enqueue(1)
    until(lambda: len(served.runs(1)) >= 3, "three runs")
    (served.place.folder / "open").touch()
    assert job.result(timeout=10) == 1
    assert {attempt for _, attempt, _ in served.runs(1)} == {1}


@pytest.mark.parametrize("kind", ["coroutine", "thread", "process"])
def test_a_running_job_is_cancelled(served: Ways, kind: str) -> None:
    job = getattr(served, f"wait_{kind}").enqueue(1)
    until(lambda: served.runs(1), "the run")
    assert job.cancel()
    if kind == "thread":  # a thread that ends well all the same has ended well
        assert job.result(timeout=10) == "asked to stop"
        return
    with pytest.raises(JobCancelled, match="cancelled by hand"):
        job.result(timeout=10)
    assert served.coroutine.enqueue(5).result(timeout=10) == 6


def test_an_error_without_text_is_kept(served: Ways) -> None:
    with pytest.raises(JobFailed, match=r"its __str__ raised RuntimeError"):
        served.odd_error.enqueue().result(timeout=10)


def test_user_code_may_fork_and_enqueue(served: Ways) -> None:
    assert served.forks.enqueue().result(timeout=10) == 7
    inner = served.enqueues.enqueue(41).result(timeout=10)
    assert served.app.job(inner).result(timeout=10) == 42


@pytest.mark.parametrize("kind", ["coroutine", "thread", "process"])
def test_waiting_has_an_end_and_nothing_is_told_before_it_is_so(served: Ways, kind: str) -> None:
    job = getattr(served, f"wait_{kind}").enqueue(9)
    until(lambda: served.runs(9), "the run")
    with pytest.raises(WaitTimeout, match=f"is not done after 50ms.*sidework explain {job.id}"):
        job.result(timeout="50ms")
    assert job.state is State.RUNNING
    (served.place.folder / "go-9").touch()
    assert job.result(timeout=10) == "went"


def test_a_blocked_loop_is_told_with_its_stack_and_keeps_its_job(served: Ways) -> None:
    """FAULTS row 10: nothing runs twice, and the warning comes while it is blocked."""
    job = served.block_loop.enqueue(1)
    served.worker.says("the event loop is blocked")
    assert job.state is State.RUNNING
    served.worker.says("in block_loop")
    (served.place.folder / "go-1").touch()
    assert job.result(timeout=10) == 1
    assert len(served.runs(1)) == 1


def test_a_held_gil_is_told_and_keeps_its_job(served: Ways) -> None:
    """FAULTS row 10: no Python of the child runs, and still nothing runs twice."""
    job = served.hold_gil.enqueue(1, 3)
    served.worker.says(rf"its GIL is held.* it runs job {job.id} \(ways:hold_gil\)")
    assert job.result(timeout=10) == 1
    served.worker.says("no other Python code ran for [23]")
    assert len(served.runs(1)) == 1
