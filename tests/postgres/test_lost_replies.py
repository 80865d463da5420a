"""What is said again when its answer was lost, or the server undid it, is said once."""

from __future__ import annotations

from collections.abc import Iterator

import psycopg
import pytest

from conftest import until
from servers.plan import Plan
from servers.proxy import Proxy, named
from servers.running import Running
from sidework.errors import StoreUnavailable
from sidework.job import JobFilter, NewJob
from sidework.store.opening import open_store
from sidework.store.postgres.bells import channel, payloads_of
from sidework.store.postgres.engine import PostgresStore


@pytest.fixture
def proxy(postgres: Running) -> Iterator[Proxy]:
    with Proxy(postgres) as made:
        yield made


@pytest.fixture
def store(proxy: Proxy, database: str) -> Iterator[PostgresStore]:
    name = str(psycopg.conninfo.conninfo_to_dict(database)["dbname"])
    made = open_store(proxy.url(name))
    assert isinstance(made, PostgresStore)
    made.migrate()
    yield made
    made.close()


def test_jobs_whose_insert_went_unanswered_are_stored_once(
    store: PostgresStore, proxy: Proxy
) -> None:
    store.workers()  # opens the connection
    proxy.swallow(only=named("sidework"))
    job = NewJob(bytes(16), "app:work", b"\x01{}")
    (answer,) = store.insert([job])
    assert proxy.landed["swallow"] == 1
    assert answer.verdict == "present"
    assert [row.id for row in store.page(JobFilter(), None, 10)] == [job.id]


def test_a_bell_rings_again_after_its_connection_was_killed(
    postgres: Running, store: PostgresStore, database: str
) -> None:
    name = str(psycopg.conninfo.conninfo_to_dict(database)["dbname"])
    bell = store.listen("done")
    try:
        for n in range(3):
            rung: list[bytes] = []

            def heard(n: int = n, rung: list[bytes] = rung) -> bool:
                # Past the store's own pulse, which rings when it comes back, whoever listens.
                postgres.psql(
                    "SELECT pg_notify(%s, %s)", channel("sidework", "done"),
                    payloads_of([bytes([n + 1] * 16)])[0], database=name,
                )  # fmt: skip
                rung.extend(bell.read())
                return any(bytes([n + 1] * 16) in payload for payload in rung)

            until(heard, "the bell")
            postgres.kill_backends("application_name = 'sidework pulse' AND datname = %s", name)
    finally:
        bell.close()


def test_a_worker_whose_registration_went_unanswered_is_registered_once(
    store: PostgresStore, proxy: Proxy
) -> None:
    store.workers()  # opens the connection
    proxy.swallow(only=named("sidework"))
    worker = store.register("here", 1, ())
    assert proxy.landed["swallow"] == 1
    assert [one.id for one in store.workers()] == [worker.id]


def test_a_connection_that_breaks_while_it_is_made_is_not_told(
    store: PostgresStore, proxy: Proxy
) -> None:
    store.close()
    proxy.swallow(2, only=named("sidework"))
    store.register("here", 1, ())
    assert proxy.landed["swallow"] == 2
    assert proxy.landed["connections"] >= 4


def test_what_the_server_undoes_is_tried_again_also_while_a_connection_is_made(
    store: PostgresStore, proxy: Proxy
) -> None:
    store.close()
    proxy.follow(Plan(4, fail=0.4))
    jobs = [NewJob(bytes([n]) * 16, "app:work", b"\x01{}") for n in range(20)]
    assert [store.insert([job])[0].verdict for job in jobs] == ["stored"] * 20
    assert proxy.landed["fail"] > 5
    proxy.follow(None)
    assert None not in store.get([job.id for job in jobs])


def test_a_stricter_default_of_the_role_is_not_ours(postgres: Running, database: str) -> None:
    name = str(psycopg.conninfo.conninfo_to_dict(database)["dbname"])
    postgres.psql(f'ALTER DATABASE "{name}" SET default_transaction_isolation = serializable')
    store = open_store(postgres.url(name))
    assert isinstance(store, PostgresStore)
    store.migrate()
    shown = store._session.read(lambda c: c.execute(b"SHOW transaction_isolation").fetchall())
    store.close()
    assert shown == [("read committed",)]


def test_an_insert_that_went_unanswered_for_good_is_told_as_in_doubt(
    store: PostgresStore, proxy: Proxy
) -> None:
    store.workers()  # opens the connection
    job = NewJob(bytes(16), "app:work", b"\x01{}")
    proxy.swallow(only=named("sidework"))
    proxy.refuse()
    with pytest.raises(StoreUnavailable, match="may be stored or not"):
        store.insert([job])
    assert proxy.landed["swallow"] == 1
    with pytest.raises(StoreUnavailable, match="cannot be reached"):
        store.insert([job])
    proxy.heal()
    assert store.insert([job])[0].verdict == "present"
