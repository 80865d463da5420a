"""How long a worker's store waits for its server, and what becomes of what was left half done."""

from __future__ import annotations

from collections.abc import Iterator
from time import monotonic

import psycopg
import pytest

from conftest import until
from servers.proxy import Proxy
from servers.running import Running
from sidework.errors import StoreError
from sidework.job import NewJob
from sidework.store.opening import open_store
from sidework.store.postgres.connection import open_connection
from sidework.store.postgres.engine import PostgresStore
from sidework.store.postgres.place import place_of
from sidework.store.protocol import Demand

LEASE = 4.0
SLACK = 0.5


@pytest.fixture
def proxy(postgres: Running) -> Iterator[Proxy]:
    with Proxy(postgres) as made:
        yield made


@pytest.fixture
def store(proxy: Proxy, database: str) -> Iterator[PostgresStore]:
    name = str(psycopg.conninfo.conninfo_to_dict(database)["dbname"])
    made = open_store(proxy.url(name, lease=f"{LEASE:g}s"))
    assert isinstance(made, PostgresStore)
    made.migrate()
    yield made
    proxy.heal()
    made.close()


def test_a_workers_verbs_fail_soon_once_there_is_little_trust(
    proxy: Proxy, store: PostgresStore
) -> None:
    worker = store.register("here", 1, ()).id
    proxy.stall()
    until(lambda: store.trust(worker) < 2.1)
    for _ in range(3):  # on the connection that it has, and on new ones that nobody answers
        began = monotonic()
        with pytest.raises(StoreError):
            store.cancelling(worker)
        assert monotonic() - began < 2 * 0.3 + SLACK
    assert store.trust(worker) > 0


def test_connecting_takes_no_longer_than_a_statement_may(
    proxy: Proxy, store: PostgresStore
) -> None:
    worker = store.register("here", 1, ()).id
    proxy.stall()
    store._session.close()
    began = monotonic()
    with pytest.raises(StoreError, match="no connection within 1 s"):
        store.cancelling(worker)
    assert monotonic() - began < LEASE / 4 + SLACK


def test_a_slow_server_is_reached_in_the_end(proxy: Proxy, store: PostgresStore) -> None:
    """A connection takes longer here than any verb has patience; what was begun is gone on with."""
    worker = store.register("here", 1, ()).id
    store._session.close()
    proxy.delay(0.2)
    refused = 0

    def answered() -> bool:
        nonlocal refused
        try:
            return store.held(worker) == []
        except StoreError:
            refused += 1
            return False

    until(answered)
    assert refused


def test_whoever_was_taken_for_dead_is_trusted_no_more_and_can_register_again(
    store: PostgresStore, database: str
) -> None:
    worker = store.register("here", 1, ()).id
    with psycopg.connect(database) as other:
        other.execute("DELETE FROM sidework.workers")
    until(lambda: store.trust(worker) < 0)
    again = store.register("here", 1, ()).id
    assert store.held(again) == []
    assert store.trust(again) > LEASE / 2


def test_rows_locked_by_one_that_was_cut_off_come_back(store: PostgresStore, database: str) -> None:
    """It has neither committed nor gone away, as far as the server can tell."""
    (job,) = [NewJob(bytes(range(16)), "app:work", b"{}")]
    store.insert([job])
    worker = store.register("here", 1, ()).id
    (claimed,) = store.turn([], Demand(worker, {"thread": 1}, ())).claimed
    silent = open_connection(place_of(store.url), 5.0).connection
    silent.execute("BEGIN")
    silent.execute("SELECT 1 FROM sidework.jobs FOR UPDATE")
    with psycopg.connect(database) as other:
        other.execute("DELETE FROM sidework.workers")
    assert store.rescue() == 0
    until(store.rescue)
    (row,) = store.get([claimed.id])
    assert row is not None
    assert row.state == "available"
    silent.close()
