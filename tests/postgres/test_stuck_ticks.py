"""Ticks while a stranger's open transaction holds the unique key of one: the others come, deaths are seen."""

from __future__ import annotations

from contextlib import closing
from time import monotonic

import psycopg
import pytest

from sidework.errors import StoreUnavailable
from sidework.ids import new_id
from sidework.job import JobFilter, NewJob
from sidework.periodic import Declaration, Periodic
from sidework.schedule import Schedule
from sidework.store.postgres.engine import PostgresStore
from sidework.worker import periodics as worker_periodics
from sidework.worker.chores import EVERY, LOOK_SECONDS, Chores
from sidework.worker.periodics import BUSY_MS, STUCK_SECONDS, Periodics, fire_due

NOW = 1_700_000_000_000
KEY = {"unique_key": "K", "unique_until": "final"}


def job(lane: str, **given: str) -> NewJob:
    return NewJob(new_id(), "m:f", b"\x01{}", lane=lane, **given)  # type: ignore[arg-type]


def lanes(store: PostgresStore) -> list[str]:
    return sorted(row.lane for row in store.page(JobFilter(), None, 100))


def test_one_that_is_held_up_keeps_nothing_else_from_its_time(
    store: PostgresStore,
    database: str,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """I7, I8."""
    store.take_turns(EVERY, NOW)  # as a worker before has done
    worker = store.register("host", 1, (), NOW).id
    made = [Periodic(f"p{n}", "m", Schedule(every=1000), job(f"p{n}")) for n in range(4)]
    made[1] = Periodic("p1", "m", Schedule(every=1000), job("p1", **KEY))
    periodics = Periodics(lambda: worker, Declaration(("m",), tuple(made)))
    chores = Chores(lambda: store, {}, periodics)
    periodics.declare(store, NOW)
    fire_due(store, NOW)
    tick = NOW + 1000
    stranger = PostgresStore(database)
    with closing(stranger), stranger.transaction() as connection:
        stranger.insert_on(connection, [job("other", **KEY)])
        while lanes(store) != ["p0", "p2", "p3"]:
            began = monotonic()
            chores.tick(store, tick)
            assert monotonic() - began < LOOK_SECONDS
        chores.tick(store, tick)
    assert [one.getMessage()[:41] for one in caplog.records] == [
        "periodic p1 waits, the others go on: anot"
    ]
    assert lanes(store) == ["other", "p0", "p2", "p3"]
    (other,) = store.page(JobFilter(lanes=("other",)), None, 1)
    store.cancel(other.id, "", tick)
    later = monotonic() + STUCK_SECONDS
    monkeypatch.setattr(worker_periodics, "monotonic", lambda: later)
    chores.tick(store, tick)
    assert lanes(store) == ["other", "p0", "p1", "p2", "p3"]


def test_what_others_have_in_hand_is_not_looked_at_without_a_pause(
    store: PostgresStore, database: str
) -> None:
    worker = store.register("host", 1, (), NOW).id
    mine = Declaration(("m",), (Periodic("p", "m", Schedule(every=1000), job("p", **KEY)),))
    periodics = Periodics(lambda: worker, mine)
    periodics.declare(store, NOW)
    fire_due(store, NOW)
    with psycopg.connect(database) as somebody:
        somebody.execute("SELECT FROM sidework.periodics FOR UPDATE")
        assert periodics.tick(store, NOW + 1000) == BUSY_MS / 1000
    assert fire_due(store, NOW + 1000).rows
    assert lanes(store) == ["p"]


def test_an_error_of_theirs_is_told_and_keeps_no_death_from_being_seen(
    store: PostgresStore, caplog: pytest.LogCaptureFixture
) -> None:
    store.take_turns(EVERY, NOW)

    def unknown() -> int:
        raise errors.pop()

    errors: list[Exception] = [StoreUnavailable("away"), KeyError("x")]
    for said in ("periodics failed; they are tried again", "periodics wait: away"):
        chores = Chores(lambda: store, {}, Periodics(unknown, Declaration()))
        for _ in range(2):
            assert chores.tick(store, NOW) <= LOOK_SECONDS
        assert [one.getMessage() for one in caplog.records] == [said]
        caplog.clear()
