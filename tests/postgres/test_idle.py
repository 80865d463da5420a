"""What is asked of a server when there is nothing to do: so much in a second, however long it lasts."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from time import monotonic

import psycopg
import pytest

from conftest import Place, until
from e2e.conftest import loaded
from servers.pgbouncer import PgBouncer, why_not
from servers.proxy import Proxy
from servers.running import Running
from sidework.ids import new_id
from sidework.job import NewJob
from sidework.store.postgres.engine import PostgresStore
from sidework.store.postgres.pulse import POLL_FIRST, POLL_MOST
from sidework.store.protocol import Demand

BEATS = 3
"""Heartbeats during which is counted, a second apart with the shortest lease."""
STEADY, PER_SECOND = 12, {"straight": 28, "behind a pooler": 75}
"""Statements of an idle worker: what may fall into the window besides, and in a second. Its chores ask three
questions twice a second and five once a second; its loop asks for news once a second, for jobs (seven
statements) as often and after each change, for what it holds every five; its heart beats. Behind a pooler
news are asked for twice a second, and what is one statement elsewhere is a transaction of four."""


@pytest.fixture
def migrated(database: str) -> str:
    """The name of a database with our tables."""
    store = PostgresStore(database)
    store.migrate()
    store.close()
    return str(psycopg.conninfo.conninfo_to_dict(database)["dbname"])


@contextmanager
def reached(server: Running, how: str) -> Iterator[Proxy]:
    """What the clients say is counted before the pooler."""
    if how == "straight":
        with Proxy(server) as proxy:
            yield proxy
    else:
        with PgBouncer(server) as pooler, Proxy(pooler) as proxy:
            yield proxy


@pytest.mark.parametrize("how", PER_SECOND)
def test_an_idle_worker_asks_little_and_an_idle_program_nothing(
    place: Place, migrated: str, postgres: Running, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    if how != "straight" and (missing := why_not()) is not None:
        pytest.skip(missing)
    with reached(postgres, how) as theirs, reached(postgres, "straight") as ours:
        monkeypatch.setenv("SIDEWORK_URL", ours.url(migrated, lease="4s"))
        place.url = theirs.url(migrated, lease="4s")
        with loaded(place, "ways") as module:
            worker = place.worker("ways", "--children", "1")
            assert module.thread.enqueue(1).result(timeout=20) == 2
            beats(theirs, 1)
            began, before, quiet = (
                monotonic(),
                theirs.statements.total(),
                ours.statements["sidework"],
            )
            beats(theirs, BEATS)
            asked, seconds = theirs.statements.total() - before, monotonic() - began
            assert BEATS <= asked <= STEADY + PER_SECOND[how] * seconds, theirs.statements
            assert ours.statements["sidework"] == quiet
            assert worker.stop() == 0


def beats(proxy: Proxy, count: int) -> None:
    """Wait for so many heartbeats: an idle worker's pulse says nothing else."""
    before = proxy.statements["sidework pulse"]
    until(lambda: proxy.statements["sidework pulse"] >= before + count, "heartbeats")


def test_strangers_commits_hasten_no_look_for_news(migrated: str, postgres: Running) -> None:
    """Heartbeats, and whatever else the cluster has, change the version: many who hurry for each other's
    would never be at rest."""
    if (missing := why_not()) is not None:
        pytest.skip(missing)
    with reached(postgres, "behind a pooler") as proxy:
        store = PostgresStore(proxy.url(migrated))
        seen = set()
        for _ in range(10):
            postgres.psql("SELECT txid_current()")
            seen.add(store.version())
        assert len(seen) == 10
        assert store.pace() >= POLL_MOST * 0.8
        store.insert([NewJob(new_id(), "m:f", b"\x01{}")])
        assert store.pace() <= POLL_FIRST * 1.2
        while store.pace() < POLL_MOST * 0.8:
            store.version()
        me = store.register("host", 1, ()).id
        assert store.turn([], Demand(me, {"thread": 2})).claimed
        assert store.pace() <= POLL_FIRST * 1.2
        store.retire(me)
        store.close()
