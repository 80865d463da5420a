"""The server ends in the middle of what it was asked: a typed error in time, nothing half, nothing lost.

In the middle means: the statement has begun and waits for a lock of the test's. The server is stopped as
in a crash; afterwards the same request is made again.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from time import monotonic
from typing import Any

import psycopg
import pytest
from psycopg import sql

from conftest import until
from servers.postgres import Mode, Server
from servers.proxy import Proxy, named
from sidework.errors import StoreError, StoreUnavailable
from sidework.ids import new_id
from sidework.job import NewJob
from sidework.outcome import Outcome
from sidework.state import State
from sidework.store.opening import open_store
from sidework.store.protocol import Demand, Store

CONNECT, PATIENCE = 5.0, 10.0
"""What docs/connections.md says: a new connection, and an answer, are waited for no longer."""
ENDS: list[Mode] = ["fast", "immediate", "kill"]


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with Server(settings={"max_prepared_transactions": "2"}, durable=True) as server:
        yield server


@pytest.fixture
def store(server: Server) -> Iterator[Store]:
    store = open_store(server.url())
    store.migrate()
    yield store
    store.close()
    server.psql("DROP SCHEMA sidework CASCADE")


def job(**given: Any) -> NewJob:
    return NewJob(new_id(), "m:f", b"\x01{}", **given)


def cut_off(server: Server, table: str, mode: Mode, work: Callable[[], object]) -> StoreError:
    """Ask for something that has to wait to write to the table, and end the server meanwhile; the error."""
    told: list[BaseException] = []

    def asked() -> None:
        try:
            work()
        except BaseException as error:  # noqa: BLE001 - looked at by the test
            told.append(error)

    with psycopg.connect(server.url(), autocommit=True) as holder:
        # Prepared, the lock outlives its backend: one that a fast stop ended first would let the statement
        # on, which could commit before it is ended itself.
        holder.execute("BEGIN")
        holder.execute(sql.SQL(f"LOCK TABLE {table} IN SHARE MODE"))
        holder.execute("PREPARE TRANSACTION 'holder'")
    thread = threading.Thread(target=asked)
    thread.start()
    until(
        lambda: server.psql("SELECT pid FROM pg_stat_activity WHERE wait_event_type = 'Lock'"),
        "the statement in its wait",
    )
    began = monotonic()
    server.stop(mode)
    thread.join(30)
    took = monotonic() - began
    server.start()
    server.psql("ROLLBACK PREPARED 'holder'")
    (error,) = told
    assert isinstance(error, StoreError)
    assert type(error) is StoreUnavailable
    assert "\n" not in str(error)
    assert took < CONNECT + PATIENCE
    return error


@pytest.mark.parametrize("mode", ENDS)
def test_in_the_middle_of_enqueue(mode: Mode, server: Server, store: Store) -> None:
    before, mine = job(), job()
    store.insert([before])
    cut_off(server, "sidework.jobs", mode, lambda: store.insert([mine]))
    kept, lost = store.get([before.id, mine.id])
    assert kept is not None
    assert lost is None
    assert store.insert([mine])[0].verdict == "stored"
    assert store.insert([mine])[0].verdict == "present"


@pytest.mark.parametrize("mode", ENDS)
def test_in_the_middle_of_a_claim(mode: Mode, server: Server, store: Store) -> None:
    mine = job()
    store.insert([mine])
    worker = store.register("host", 1, ()).id
    cut_off(server, "sidework.jobs", mode, lambda: store.turn([], Demand(worker, {"thread": 1})))
    (row,) = store.get([mine.id])
    assert row is not None
    assert (row.state, row.attempt, row.fence) == (State.AVAILABLE, 0, 0)
    (claimed,) = store.turn([], Demand(worker, {"thread": 1})).claimed
    assert claimed.id == mine.id
    store.retire(worker)


@pytest.mark.parametrize("mode", ENDS)
def test_in_the_middle_of_a_record(mode: Mode, server: Server, store: Store) -> None:
    mine = job()
    store.insert([mine])
    worker = store.register("host", 1, ()).id
    (claimed,) = store.turn([], Demand(worker, {"thread": 1})).claimed
    done = Outcome(mine.id, claimed.fence, 1, "completed", result=b"\x0142")
    cut_off(server, "sidework.jobs", mode, lambda: store.turn([done], None))
    (row,) = store.get([mine.id])
    assert row is not None
    assert row.state is State.RUNNING
    assert store.turn([done], None).took == [True]
    (row,) = store.get([mine.id])
    assert row is not None
    assert (row.state, row.result) == (State.COMPLETED, b"\x0142")
    store.retire(worker)


@pytest.mark.parametrize("mode", ENDS)
def test_in_the_middle_of_a_migration(mode: Mode, server: Server) -> None:
    """Its last statement writes the version; it waits there with everything else done."""
    url = server.url(schema="stopped")
    server.psql("CREATE SCHEMA stopped")
    server.psql(
        "CREATE TABLE stopped.migrations "
        "(version integer NOT NULL PRIMARY KEY, applied_at timestamptz NOT NULL DEFAULT now())"
    )
    try:
        cut_off(server, "stopped.migrations", mode, lambda: open_store(url).migrate())
        tables = server.psql("SELECT tablename FROM pg_tables WHERE schemaname = 'stopped'")
        assert tables == [("migrations",)]
        store = open_store(url)
        assert store.migrate() == [1, 2, 3]
        assert store.insert([job()])[0].verdict == "stored"
        store.close()
    finally:
        server.psql("DROP SCHEMA stopped CASCADE")


def test_on_the_callers_connection(server: Server, store: Store) -> None:
    """I2: what was not committed is not there."""
    mine = job()
    with psycopg.connect(server.url()) as connection:
        store.insert_on(connection, [mine])
        server.restart("immediate")
        with pytest.raises(StoreUnavailable):
            store.insert_on(connection, [job()])
    assert store.get([mine.id]) == [None]
    with psycopg.connect(server.url()) as connection:
        assert store.insert_on(connection, [mine])[0].verdict == "stored"
    assert store.get([mine.id]) != [None]


def test_an_answer_that_is_lost(server: Server, store: Store) -> None:
    """I12: asked again for the same job, it is stored once, and the caller sees no error."""
    mine = job()
    with Proxy(server) as proxy:
        through = open_store(proxy.url())
        through.insert([job()])
        proxy.swallow(only=named("sidework"))  # not the pulse, which may ring just now
        assert through.insert([mine])[0].verdict == "present"
        assert proxy.landed["swallow"] == 1
        through.close()
    assert store.insert([mine])[0].verdict == "present"


def test_a_server_that_does_not_answer_any_more(server: Server, store: Store) -> None:
    """The connection stays open and nothing comes: in time there is an error."""
    mine = job()
    with Proxy(server) as proxy:
        through = open_store(proxy.url(connect_timeout="2"))
        through.insert([job()])
        proxy.stall()
        began = monotonic()
        with pytest.raises(StoreUnavailable, match="no answer within 10 s"):
            through.insert([mine])
        assert monotonic() - began < CONNECT + PATIENCE
        proxy.heal()
        assert through.insert([mine])[0].verdict in ("stored", "present")
        through.close()
    assert store.insert([mine])[0].verdict == "present"
