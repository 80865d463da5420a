"""The pulse when nobody needs it, and when it is to end."""

from __future__ import annotations

import psycopg
import pytest

from conftest import until
from servers.running import Running
from sidework.clock import monotonic
from sidework.ids import new_id
from sidework.job import NewJob
from sidework.store.postgres import pulse
from sidework.store.postgres.engine import PostgresStore


def test_nobody_needs_it_it_gives_its_connection_back_and_waits(
    store: PostgresStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A program that enqueued something and goes on with other things: no connection, no turns."""
    monkeypatch.setattr(pulse, "IDLE_SECONDS", 0.1)
    store.insert([NewJob(new_id(), "m:f", b"\x01{}")])
    until(lambda: store._pulse._used_at, "the ring")
    until(lambda: store._pulse._opened is None, "the end of its connection")
    until(lambda: store._pulse._due() > monotonic() + 10, "rest")
    bell = store.listen("work")
    until(bell.read, "the first look")
    store.insert([NewJob(new_id(), "m:f", b"\x01{}")])
    until(bell.read, "the bell")
    bell.close()


def test_it_ends_as_soon_as_all_is_rung(store: PostgresStore, database: str) -> None:
    """Also when what is to be rung comes up only after it was told to end."""
    for _ in range(5):
        with psycopg.connect(database) as connection:
            store.insert_on(connection, [NewJob(new_id(), "m:f", b"\x01{}")])
        store.close()
        assert store._pulse._thread is None


def test_a_transaction_that_a_failover_has_lost_stops_no_bell(store: PostgresStore) -> None:
    """The server that answers now has not yet given out its number, which is an error there."""
    bell = store.listen("work")
    until(bell.read, "the first look")
    with store.transaction() as connection:
        ((number,),) = connection.execute("SELECT pg_current_xact_id()::text").fetchall()
    until(bell.read, "the end of the transaction")
    store._pulse.watch(str(int(number) + 1_000_000))
    until(lambda: not store._pulse._watched, "its end")
    until(bell.read, "a look, since nobody knows")
    opened = store._pulse._opened
    store.insert([NewJob(new_id(), "m:f", b"\x01{}")])
    until(bell.read, "the bell")
    assert store._pulse._opened is opened
    bell.close()


def test_a_heart_without_bells_rests_between_its_beats(
    store: PostgresStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However long nothing else was done on its connection."""
    monkeypatch.setattr(pulse, "IDLE_SECONDS", 0.0)
    store.register("host", 1, ())
    until(lambda: store._pulse._opened is not None, "its connection")
    assert store._pulse._due() > monotonic() + 1


def test_the_last_ring_goes_out_though_the_connection_was_lost_before(
    store: PostgresStore, postgres: Running, database: str
) -> None:
    """Only a server that was not to be had for the next one is not waited for at the end."""
    with psycopg.connect(database, autocommit=True) as other:
        other.execute('LISTEN "sidework:work"')
        store.insert([NewJob(new_id(), "m:f", b"\x01{}")])
        assert list(other.notifies(timeout=30, stop_after=1))
        postgres.kill_backends(
            "application_name = 'sidework pulse' AND datname = %s", other.info.dbname
        )
        until(lambda: store._pulse._opened is None, "the loss")
        store.insert([NewJob(new_id(), "m:f", b"\x01{}")])
        store.close()
        assert list(other.notifies(timeout=5, stop_after=1))
