"""Somebody works on the tables by hand and has a running job's row locked: its end waits, nothing else."""

from __future__ import annotations

from collections.abc import Iterator
from uuid import UUID

import psycopg
import pytest

from conftest import until
from sidework.errors import StoreUnavailable
from sidework.ids import new_id
from sidework.job import NewJob
from sidework.outcome import Outcome
from sidework.state import State
from sidework.store.postgres.engine import PostgresStore
from sidework.store.protocol import Demand


@pytest.fixture
def store(database: str) -> Iterator[PostgresStore]:
    made = PostgresStore(f"{database}&lease=4s")
    made.migrate()
    yield made
    made.close()


def test_one_locked_row_keeps_no_other_from_being_recorded(
    store: PostgresStore, database: str
) -> None:
    worker = store.register("host", 1, ()).id
    store.insert([NewJob(new_id(), "m:f", b"\x01{}") for _ in range(5)])
    claimed = store.turn([], Demand(worker, {"thread": 3})).claimed
    ends = [Outcome(job.id, job.fence, job.attempt, "completed") for job in claimed]

    def completed() -> list[bool]:
        rows = store.get([job.id for job in claimed])
        return [row is not None and row.state is State.COMPLETED for row in rows]

    def recorded() -> list[bool]:
        assert store.turn(ends, None).took[1] in (None, True)
        return completed()

    with psycopg.connect(database) as somebody:
        somebody.execute(
            "SELECT FROM sidework.jobs WHERE id = %s FOR UPDATE", [UUID(bytes=claimed[1].id)]
        )
        with pytest.raises(StoreUnavailable, match="no answer within 1 s"):
            store.turn(ends, None)
        # The server learns only after a while that nobody waits for the first turn any more.
        until(lambda: recorded() == [True, False, True], "the others")
        assert len(store.turn(ends, Demand(worker, {"thread": 1})).claimed) == 1
    until(lambda: all(recorded()), "the last one")
    assert not store._claims._wary


def test_a_locked_child_of_an_end_is_not_asked_for_without_a_pause(
    store: PostgresStore, database: str
) -> None:
    worker = store.register("host", 1, ()).id
    parent = NewJob(new_id(), "m:f", b"\x01{}")
    child = NewJob(new_id(), "m:f", b"\x01{}", parents=(parent.id,))
    store.insert([parent, child])
    demand = Demand(worker, {"thread": 3})
    (job,) = store.turn([], demand).claimed
    with psycopg.connect(database) as somebody:
        somebody.execute(
            "SELECT FROM sidework.jobs WHERE id = %s FOR UPDATE", [UUID(bytes=child.id)]
        )
        end = Outcome(job.id, job.fence, job.attempt, "completed")
        for ends in ([end], []):
            pause = store.turn(ends, demand).due_in
            assert pause is not None
            assert 0 < pause <= 100
    assert [one.id for one in store.turn([], demand).claimed] == [child.id]
