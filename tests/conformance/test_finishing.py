"""Completing a job in the caller's own transaction: the end and what the job wrote, both or neither."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from conftest import until
from sidework.errors import StoreRefused
from sidework.job import Claimed
from sidework.outcome import Outcome
from sidework.state import State
from sidework.store.protocol import Demand

from .conftest import NOW, Bench, outcome

Transaction = Callable[[], AbstractContextManager[Any]]


@pytest.fixture(params=["the caller's", "the store's"])
def transaction(request: pytest.FixtureRequest, bench: Bench) -> Transaction:
    """Begins a transaction on a connection of the caller's own, or on one that the store lends."""
    own: Transaction = bench.engine.transaction
    return own if request.param == "the caller's" else bench.store.transaction


def end(job: Claimed) -> Outcome:
    return outcome(job, "completed", result=b"\x0142")


def later(job: Claimed) -> Outcome:
    """What the worker says of an attempt that may have ended in its own transaction."""
    return outcome(job, "retry", in_transaction=True)


def test_a_commit_completes_the_job(bench: Bench, transaction: Transaction) -> None:
    """I2, I3: from then on it is as any completed one, and what its worker says is refused."""
    job, plain = bench.running(lane="a"), bench.running(lane="b")
    bench.record(end(plain))
    with transaction() as connection:
        assert bench.store.finish_on(connection, end(job), NOW) is True
        assert bench.row(job.id).state is State.RUNNING
    row = bench.row(job.id)
    assert (row.state, row.result, row.fence) == (State.COMPLETED, b"\x0142", job.fence + 1)
    assert row == replace(bench.row(plain.id), id=job.id, lane="a")
    assert bench.record(later(job)) == [False]
    assert bench.record(end(job)) == [False]
    assert bench.row(job.id) == row
    assert bench.store.attempts(job.id) == []
    assert bench.claim() == []


def test_a_rollback_leaves_it_running(bench: Bench, transaction: Transaction) -> None:
    """I2: and its worker's word lands."""
    job = bench.running(max_attempts=2)
    with pytest.raises(ZeroDivisionError), transaction() as connection:
        assert bench.store.finish_on(connection, end(job), NOW) is True
        _ = 1 / 0
    row = bench.row(job.id)
    assert (row.state, row.result, row.fence) == (State.RUNNING, None, job.fence)
    assert bench.record(later(job)) == [True]
    assert bench.row(job.id).state is State.RETRYABLE


def test_coroutines_finish_alike(bench: Bench, transaction: Transaction) -> None:
    job = bench.running()
    with transaction() as connection:
        assert asyncio.run(bench.store.afinish_on(connection, end(job), NOW)) is True
    assert bench.row(job.id).state is State.COMPLETED
    with transaction() as connection:
        assert asyncio.run(bench.store.afinish_on(connection, end(job), NOW)) is False


def test_a_lost_claim_is_refused(bench: Bench, transaction: Transaction) -> None:
    """I3: for the fence and for nothing else."""
    job = bench.running()
    bench.record(outcome(job, "released"))
    (again,) = bench.claim()
    with transaction() as connection:
        assert bench.store.finish_on(connection, end(job), NOW) is False
        assert bench.store.finish_on(connection, end(again), NOW) is True
        assert bench.store.finish_on(connection, end(again), NOW) is False
    assert bench.row(job.id).fence == again.fence + 1


def test_a_rescued_job_that_nobody_claimed_is_finished(
    bench: Bench, transaction: Transaction
) -> None:
    """I3."""
    lost = bench.store.register("host", 2, (), NOW).id
    job_id = bench.put()
    (job,) = bench.store.turn([], Demand(lost, {"thread": 1}), NOW).claimed
    bench.store.retire(lost)
    assert bench.row(job_id).state is State.AVAILABLE
    with transaction() as connection:
        assert bench.store.finish_on(connection, end(job), NOW) is True
    assert bench.row(job_id).state is State.COMPLETED


def test_a_job_that_was_asked_to_stop_may_finish(bench: Bench, transaction: Transaction) -> None:
    job = bench.running()
    assert bench.store.cancel(job.id, "x", NOW) == "running"
    with transaction() as connection:
        assert bench.store.finish_on(connection, end(job), NOW) is True
    row = bench.row(job.id)
    assert (row.state, row.cancel_requested) == (State.COMPLETED, False)


def test_the_word_that_is_refused_rings_whoever_waits(bench: Bench) -> None:
    """Nothing else can: who commits is the caller."""
    job = bench.running()
    with bench.engine.transaction() as connection:
        bench.store.finish_on(connection, end(job), NOW)
    bell = bench.open().listen("done")
    assert bench.record(later(job)) == [False]
    # Empty means "look at everything": what a bell says that was late to listen.
    until(lambda: [one for one in bell.read() if not one or job.id in one], "the job's bell")
    bell.close()


def test_any_outcome_may_say_that_it_never_waits(bench: Bench) -> None:
    """Without such a transaction it lands like another."""
    for kind in ("completed", "retry", "discarded", "cancelled", "snoozed", "released", "crashed"):
        job = bench.running(lane=kind)
        assert bench.record(outcome(job, kind, in_transaction=True)) == [True], kind
        assert bench.store.retry(job.id, NOW) or bench.store.cancel(job.id, "x", NOW)
        bench.store.cancel(job.id, "x", NOW)


def test_a_connection_to_another_store_is_refused(bench: Bench, tmp_path: Path) -> None:
    job = bench.running()
    (tmp_path / "other").mkdir()
    other = type(bench.engine)(tmp_path / "other")
    other.open().close()
    with (
        pytest.raises(StoreRefused, match="cannot span both"),
        other.transaction() as connection,
    ):
        bench.store.finish_on(connection, end(job), NOW)
    with pytest.raises(StoreRefused):
        bench.store.finish_on(object(), end(job), NOW)
    assert bench.row(job.id).state is State.RUNNING
