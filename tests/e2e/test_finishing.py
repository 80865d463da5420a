"""``finish_in``: the job's end and what it wrote are stored together, whatever becomes of the attempt."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import pairwise
from typing import Any

import pytest
from msgspec.structs import replace

from conftest import Place, until
from conftest import Worker as Process
from e2e.conftest import Keep, Kept, loaded
from sidework import JobFailed, State
from sidework.clock import monotonic
from sidework.outcome import Outcome
from sidework.store.opening import open_store
from sidework.store.protocol import Demand, Turn
from sidework.worker.crew import Crew
from sidework.worker.recorder import AGAIN_SECONDS
from sidework.worker.worker import Worker


@pytest.fixture
def kept(keep: Keep, engine: str) -> Kept:
    return keep(engine, "finishing", "--children", "1", "--threads", "4")


@pytest.fixture
def jobs(kept: Kept) -> Any:
    return kept.module


@pytest.fixture
def worker(kept: Kept) -> Process:
    return kept.worker


@pytest.fixture
def unserved(place: Place, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """The jobs in a place of its own, without a worker."""
    monkeypatch.setenv("SIDEWORK_URL", place.url)
    with loaded(place, "finishing") as module:
        module.prepare()
        yield module


@pytest.mark.parametrize("name", ["thread", "coroutine", "process", "own_connection"])
def test_the_result_is_the_one_given(jobs: Any, worker: Process, name: str) -> None:
    """I2: and who waits is told at once, by the bell of what follows."""
    job = getattr(jobs, name).enqueue(7)
    assert job.result(timeout=10) == 7
    assert jobs.effects(job.id) == [1]
    assert (job.state, job.info().attempt, job.attempts()) == (State.COMPLETED, 1, [])
    assert jobs.plain.enqueue(1).result(timeout=10) == 1
    assert "lost its claim" not in worker.said
    # On a busy machine the first import of a driver may block the loop for long enough to be told.
    warned = [line for line in worker.said.splitlines() if "WARNING" in line]
    assert not [line for line in warned if "event loop" not in line]


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("fails_first", "finishing.Undone"),
        ("swallows_first", "sidework.errors.NotCommitted"),
    ],
)
def test_a_rollback_is_a_failed_attempt(jobs: Any, worker: Process, name: str, kind: str) -> None:
    """Also where the job itself made light of it: completed, it would be without what it wrote."""
    job = getattr(jobs, name).enqueue(7)
    assert job.result(timeout=10) == 7
    assert jobs.effects(job.id) == [2]
    (attempt,) = job.attempts()
    assert (attempt.outcome, attempt.kind) == ("retry", kind)
    worker.says(f"attempt 1 of 2: {kind}.*; again in ")


def test_a_rollback_without_attempts_left_is_told(jobs: Any, worker: Process) -> None:
    job = jobs.swallows.enqueue(7)
    with pytest.raises(JobFailed, match=r"finish_in\) was rolled back or never committed"):
        job.result(timeout=10)
    worker.says("is discarded, attempt 1 of 1: sidework.errors.NotCommitted")


def test_an_error_after_the_commit_changes_nothing_and_is_told(jobs: Any, worker: Process) -> None:
    """I4."""
    job = jobs.fails_afterwards.enqueue(7)
    assert job.result(timeout=10) == 7
    worker.says("had ended before its code raised finishing.Undone: too late to fail")
    assert (job.state, job.attempts(), jobs.effects(job.id)) == (State.COMPLETED, [], [1])
    assert "again in" not in worker.said


def test_a_transaction_may_be_repeated_and_an_end_may_not(jobs: Any, worker: Process) -> None:
    job = jobs.repeats_its_transaction.enqueue(7)
    assert job.result(timeout=10) == 8
    assert jobs.effects(job.id) == [1]
    job = jobs.twice_in_one.enqueue(7)
    with pytest.raises(JobFailed, match="finished before, by finish_in in this transaction"):
        job.result(timeout=10)
    assert jobs.effects(job.id) == []
    job = jobs.twice_in_two.enqueue(7)
    assert job.result(timeout=10) == 7
    told = jobs.HERE / "told"
    until(told.exists)
    assert jobs.effects(job.id) == [1]


@pytest.mark.parametrize(
    ("how", "told"),
    [
        ("value", "BadValue: the result of finishing:unfit cannot be stored"),
        ("sqlite3", "StoreRefused: a .*sqlite3.* cannot be used"),
        ("outside", "StoreRefused: the connection is in no transaction"),
    ],
)
def test_what_cannot_be_finished_with_is_refused(
    jobs: Any, worker: Process, how: str, told: str
) -> None:
    job = jobs.unfit.enqueue(how)
    with pytest.raises(JobFailed, match=told):
        job.result(timeout=10)
    assert jobs.effects(job.id) == []


def test_a_job_that_was_cancelled_may_still_finish(jobs: Any, worker: Process) -> None:
    job = jobs.told_to_stop.enqueue(7)
    until((jobs.HERE / "runs-7").exists, "a run")
    assert job.cancel()
    assert job.result(timeout=10) == 7
    assert jobs.effects(job.id) == [1]


class Holds:
    """The real store, where jobs' own transactions stay open until ``ended``: a server's may."""

    def __init__(self, url: str, ended: threading.Event, asked: list[float]) -> None:
        self._store = open_store(url)
        self._ended = ended
        self._asked = asked

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    def turn(
        self, outcomes: Sequence[Outcome], demand: Demand | None, now: Any = None, notes: Any = ()
    ) -> Turn:
        held = [] if self._ended.is_set() else [one for one in outcomes if one.in_transaction]
        if held:
            self._asked.append(monotonic())
        turn = self._store.turn([one for one in outcomes if one not in held], demand, now, notes)
        took = iter(turn.took)
        return replace(turn, took=[None if one in held else next(took) for one in outcomes])


@contextmanager
def holding(
    place: Place, ended: threading.Event, asked: list[float], grace: float = 30
) -> Iterator[None]:
    """A worker on such a store; drained at the end of the block."""
    crew = Crew([str(place.folder / "finishing.py")], 1, 1, 10, 2)
    worker = Worker(crew, lambda url: Holds(url, ended, asked), grace=grace)  # type: ignore[arg-type,return-value]
    thread = threading.Thread(target=worker.run)
    thread.start()
    try:
        yield
    finally:
        worker.stop()
        thread.join()


def test_a_row_that_its_job_still_holds_keeps_nobody_waiting(unserved: Any, place: Place) -> None:
    """The worker goes on, asks now and then, and records what is so in the end."""
    ended, asked = threading.Event(), list[float]()
    with holding(place, ended, asked):
        job = unserved.swallows.enqueue(7)
        until(lambda: len(asked) >= 4, "asking again")
        assert [unserved.plain.enqueue(n).result(timeout=10) for n in range(20)] == list(range(20))
        assert job.state is State.RUNNING
        ended.set()
        assert job.wait(timeout=10) is State.DISCARDED
    assert all(later - first >= AGAIN_SECONDS * 0.99 for first, later in pairwise(asked))


def test_a_drain_does_not_wait_for_a_held_row_for_ever(unserved: Any, place: Place) -> None:
    """What is held even then goes back by the worker's last word, or by a rescue."""
    asked = list[float]()
    with holding(place, threading.Event(), asked, grace=0.3):
        job = unserved.swallows.enqueue(7)
        until(lambda: asked, "the first time")
    assert job.state is State.AVAILABLE
    assert job.info().attempt == 0
