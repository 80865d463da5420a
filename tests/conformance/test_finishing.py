"""Completing a job in the caller's own transaction: the end and what the job wrote, both or neither."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

import pytest
from msgspec.structs import replace

from conftest import until
from sidework.errors import StoreRefused
from sidework.job import Claimed
from sidework.outcome import Outcome
from sidework.state import State
from sidework.store.protocol import Demand

from .conftest import NOW, Bench, new, outcome

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


def test_a_connection_to_another_database_is_refused(bench: Bench) -> None:
    """Nothing is changed, neither there nor here, and the caller's transaction goes on."""
    job, late = bench.running(), new()
    with bench.engine.elsewhere() as other:
        there = other.open()
        with other.transaction() as connection:
            with pytest.raises(StoreRefused, match="cannot span both"):
                bench.store.finish_on(connection, end(job), NOW)
            with pytest.raises(StoreRefused, match="cannot span both"):
                bench.store.insert_on(connection, [late], NOW)
            with pytest.raises(StoreRefused, match="cannot span both"):
                asyncio.run(bench.store.ainsert_on(connection, [late], NOW))
            (kept,) = there.insert_on(connection, [new()], NOW)
            # A store that was not asked for anything yet refuses alike.
            with pytest.raises(StoreRefused, match="cannot span both"):
                bench.open().insert_on(connection, [late], NOW)
        assert there.get([late.id, kept.id])[0] is None
        assert there.get([kept.id]) != [None]
        there.close()
    assert bench.store.get([late.id]) == [None]
    assert bench.row(job.id).state is State.RUNNING


def test_what_is_no_connection_is_refused(bench: Bench) -> None:
    job = bench.running()
    with pytest.raises(StoreRefused):
        bench.store.finish_on(object(), end(job), NOW)
    with pytest.raises(StoreRefused):
        bench.store.insert_on(object(), [new()], NOW)
    assert bench.row(job.id).state is State.RUNNING


def test_without_a_transaction_nothing_is_finished_in_it(bench: Bench) -> None:
    job = bench.running()
    with bench.engine.autocommit() as connection:
        with pytest.raises(StoreRefused, match="in no transaction"):
            bench.store.finish_on(connection, end(job), NOW)
        with pytest.raises(StoreRefused, match="in no transaction"):
            asyncio.run(bench.store.afinish_on(connection, end(job), NOW))
        assert bench.row(job.id).state is State.RUNNING
        connection.execute("BEGIN")
        assert bench.store.finish_on(connection, end(job), NOW) is True
        assert bench.row(job.id).state is State.RUNNING
        connection.execute("COMMIT")
    assert bench.row(job.id).state is State.COMPLETED


def test_jobs_in_autocommit_are_there_at_once(bench: Bench) -> None:
    job, other = new(), new()
    with bench.engine.autocommit() as connection:
        (told,) = bench.store.insert_on(connection, [job], NOW)
        assert told.verdict == "stored"
        assert bench.row(job.id).state is State.AVAILABLE
        (told,) = asyncio.run(bench.store.ainsert_on(connection, [other], NOW))
        assert bench.row(other.id).state is State.AVAILABLE
