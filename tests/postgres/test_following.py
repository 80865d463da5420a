"""Ends, retries and deletions of one job at the same moment: each is held where the other is to meet it, by a
lock that somebody else has."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any
from uuid import UUID

import psycopg
import pytest

from conftest import until
from sidework.callbacks import Callback, encode_callbacks
from sidework.errors import StoreRefused
from sidework.ids import id_text, new_id
from sidework.job import Claimed, JobFilter, NewJob
from sidework.outcome import Outcome
from sidework.store.postgres.engine import PostgresStore
from sidework.store.protocol import Demand

CALLS = encode_callbacks(
    [Callback("final", "it", "m:told", "calls", "thread", 0, 0, 1, None, None, "rescue")]
)


class Bench:
    """Two stores of one place, and a worker of the first."""

    def __init__(self, database: str) -> None:
        self.database = database
        self.store, self.other = PostgresStore(f"{database}&lease=4s"), PostgresStore(database)
        self.store.migrate()
        self.worker = self.store.register("host", 1, ()).id

    def put(self, **given: Any) -> bytes:
        job = NewJob(**{"id": new_id(), "task": "m:f", "args": b"\x01{}", **given})
        self.store.insert([job])
        return job.id

    def claim(self) -> Claimed:
        (job,) = self.store.turn([], Demand(self.worker, {"thread": 5}, ("default",))).claimed
        return job

    def end(self) -> bytes:
        """Of the one job that is available."""
        job = self.claim()
        self.store.turn([completed(job)], None)
        return job.id

    def told(self) -> int:
        return len(self.store.page(JobFilter(tasks=("m:told",)), None, 10))

    @contextmanager
    def meanwhile(self, work: Callable[[], Any]) -> Iterator[Future[Any]]:
        """``work`` in a thread, as soon as it waits for a lock."""
        with ThreadPoolExecutor(1) as pool, psycopg.connect(self.database) as looking:
            looking.autocommit = True
            running = pool.submit(work)
            until(
                lambda: (
                    running.done()
                    or looking.execute("SELECT FROM pg_locks WHERE NOT granted").fetchone()
                    is not None
                ),
                "it waits",
            )
            yield running


def completed(job: Claimed) -> Outcome:
    return Outcome(job.id, job.fence, job.attempt, "completed", result=b"\x011")


@pytest.fixture
def bench(database: str) -> Iterator[Bench]:
    made = Bench(database)
    yield made
    made.store.close()
    made.other.close()


def test_a_retry_and_the_chore_at_once_lose_no_callback(bench: Bench) -> None:
    """The retry is half done when the chore comes by: it must not mark by what the job was before."""
    bench.put()
    parent = bench.end()
    child = bench.put(parents=(parent,), policy="continue", callbacks=CALLS)
    with psycopg.connect(bench.database) as connection:
        assert bench.store.finish_on(connection, completed(bench.claim()))
    with psycopg.connect(bench.database) as somebody:
        somebody.execute(
            "SELECT FROM sidework.edges WHERE parent = %s FOR UPDATE", [UUID(bytes=parent)]
        )
        with bench.meanwhile(lambda: bench.other.retry(child)) as retried:
            bench.store.flows.reconcile(100)
            somebody.rollback()
            assert retried.result()
    assert bench.told() == 1
    assert bench.end() == child
    assert bench.told() == 2


@pytest.mark.parametrize("by_hand", ["retry", "delete"])
def test_an_end_that_is_committed_while_a_hand_waits_for_it_calls(
    bench: Bench, by_hand: str
) -> None:
    bench.put(callbacks=CALLS)
    job = bench.claim()
    with psycopg.connect(bench.database) as connection:
        assert bench.store.finish_on(connection, completed(job))
        with bench.meanwhile(lambda: getattr(bench.other, by_hand)(job.id)) as changed:
            connection.commit()
            assert changed.result()
    assert bench.told() == 1


ALL = {"completed_age": 0, "completed_count": 0, "cancelled_age": 0, "discarded_age": 0}


def test_an_input_is_kept_for_what_is_stored_at_that_moment(bench: Bench) -> None:
    """Nobody sees yet that it is needed, and nobody may take it away. The claim of another is not kept up."""
    parent, open_parent = bench.put(), bench.put(lane="other")
    assert bench.end() == parent
    child = NewJob(new_id(), "m:f", b"\x01{}", parents=(parent, open_parent))
    with psycopg.connect(bench.database) as connection:
        bench.store.insert_on(connection, [child])
        assert bench.store.prune(ALL, 10) == 0
        demand = Demand(bench.worker, {"thread": 5})
        assert [one.id for one in bench.store.turn([], demand).claimed] == [open_parent]
        with bench.meanwhile(lambda: bench.other.delete(parent)) as deleted:
            connection.commit()
            with pytest.raises(StoreRefused, match="which is live"):
                deleted.result()
    assert bench.store.prune(ALL, 10) == 0


def test_who_stores_a_job_learns_that_its_input_is_deleted_at_that_moment(bench: Bench) -> None:
    parent = bench.put()
    bench.end()
    child = NewJob(new_id(), "m:f", b"\x01{}", parents=(parent,))
    with psycopg.connect(bench.database) as somebody:
        somebody.execute("DELETE FROM sidework.jobs WHERE id = %s", [UUID(bytes=parent)])
        with bench.meanwhile(lambda: bench.other.insert([child])) as stored:
            somebody.commit()
            stored.result()
    (row,) = bench.store.get([child.id])
    assert row is not None
    assert (row.state, row.note) == ("cancelled", f"its input {id_text(parent)} was gone")


def test_a_child_in_others_hands_is_passed_over_and_found_again(bench: Bench) -> None:
    """Nobody waits at an end, and so no two for each other: the chore sees to what was passed over."""
    child = bench.put(parents=(bench.put(),))
    with psycopg.connect(bench.database) as stranger:
        stranger.execute("SELECT FROM sidework.jobs WHERE id = %s FOR UPDATE", [UUID(bytes=child)])
        with bench.meanwhile(bench.end) as ending:
            assert ending.done(), "the end waits for the child"
        (row,) = bench.store.get([child])
        assert row is not None
        assert (row.state, row.pending) == ("blocked", 1)
    assert bench.store.flows.reconcile(100) == 1
    assert bench.claim().id == child


def test_a_narrow_queue_that_another_counts_is_left_out(bench: Bench) -> None:
    """I11: of those who claim at the same moment one counts what runs; two would each take what is free."""
    bench.store.limits.limit("default", 1)
    job = bench.put()
    with psycopg.connect(bench.database) as stranger:
        stranger.execute("SELECT FROM sidework.queues WHERE name = 'default' FOR NO KEY UPDATE")
        assert bench.store.turn([], Demand(bench.worker, {"thread": 5})).claimed == []
    assert bench.claim().id == job


def test_an_end_that_another_has_counted_meanwhile_is_not_counted_again(bench: Bench) -> None:
    """I6: else a child would go on before its last input is final."""
    first, second = bench.put(), bench.put(delay=3_600_000)
    child = bench.put(parents=(first, second))
    edge = [UUID(bytes=first), UUID(bytes=child)]
    with psycopg.connect(bench.database) as other:
        other.execute(
            "SELECT FROM sidework.edges WHERE parent = %s AND child = %s FOR UPDATE", edge
        )
        with bench.meanwhile(bench.end) as ending:
            other.execute(
                "UPDATE sidework.edges SET done = true WHERE parent = %s AND child = %s", edge
            )
            other.commit()
            assert ending.result(20) == first
    (row,) = bench.store.get([child])
    assert row is not None
    assert (row.state, row.pending) == ("blocked", 2)
