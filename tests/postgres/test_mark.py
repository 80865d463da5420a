"""The mark of a schema: by it a statement on a caller's connection tells another database (promise I2)."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import psycopg
import pytest

from servers.running import Running
from sidework.errors import SchemaMismatch, StoreMissing, StoreRefused
from sidework.ids import new_id
from sidework.job import NewJob
from sidework.outcome import Outcome
from sidework.store.postgres.engine import PostgresStore

from .conftest import Database
from .kinds import ASYNC, SYNC


@pytest.fixture(scope="module")
def home(postgres: Running) -> Iterator[Database]:
    """The database of the store's own."""
    url = postgres.new_database()
    yield Database(url)
    postgres.drop_database(url)


@pytest.fixture
def store(home: Database) -> Iterator[PostgresStore]:
    store = made(home.conninfo)
    yield store
    store.close()
    home.sql("DROP SCHEMA IF EXISTS sidework CASCADE")


@pytest.fixture
def elsewhere(server: Database) -> Iterator[Database]:
    """Another database, in which there is a store of the same name."""
    made(server.conninfo).close()
    yield server
    server.sql("DROP SCHEMA sidework CASCADE")


def made(url: str) -> PostgresStore:
    store = PostgresStore(url)
    store.migrate()
    return store


def job() -> NewJob:
    return NewJob(new_id(), "m:f", b"\x01{}")


def jobs_in(database: Database) -> int:
    ((count,),) = database.sql("SELECT count(*) FROM sidework.jobs")
    assert isinstance(count, int)
    return count


ENDED = Outcome(new_id(), 1, 1, "completed", result=b"\x01null")


@pytest.mark.parametrize("kind", SYNC)
def test_another_database_is_refused(kind: str, elsewhere: Database, store: PostgresStore) -> None:
    there = PostgresStore(elsewhere.conninfo)
    before = jobs_in(elsewhere)
    with SYNC[kind](elsewhere) as (connection, ends):
        with pytest.raises(StoreRefused, match="cannot span both") as told:
            store.insert_on(connection, [job()])
        assert str(told.value).startswith(f"the connection is to database {elsewhere.database}")
        with pytest.raises(StoreRefused, match="cannot span both"):
            store.finish_on(connection, ENDED)
        there.insert_on(connection, [job()])  # nothing is broken
        ends.commit()
    there.close()
    assert jobs_in(elsewhere) == before + 1


@pytest.mark.parametrize("kind", ASYNC)
def test_another_database_is_refused_in_a_coroutine(
    kind: str, elsewhere: Database, store: PostgresStore
) -> None:
    async def scenario() -> None:
        async with ASYNC[kind](elsewhere) as (connection, ends):
            with pytest.raises(StoreRefused, match="cannot span both"):
                await store.ainsert_on(connection, [job()])
            with pytest.raises(StoreRefused, match="cannot span both"):
                await store.afinish_on(connection, ENDED)
            await there.ainsert_on(connection, [job()])
            await ends.commit()

    there = PostgresStore(elsewhere.conninfo)
    before = jobs_in(elsewhere)
    asyncio.run(scenario())
    there.close()
    assert jobs_in(elsewhere) == before + 1


def test_a_database_without_a_store_is_another(postgres: Running, store: PostgresStore) -> None:
    with psycopg.connect(postgres.url()) as connection:
        with pytest.raises(StoreRefused, match=r"no such tables .* cannot span both") as told:
            store.insert_on(connection, [job()])
        assert "migrate" not in str(told.value)
        # The statement failed: their transaction is aborted, as by any other that fails in it.
        with pytest.raises(StoreRefused, match="roll back first"):
            store.insert_on(connection, [job()])


def test_a_store_that_was_made_anew_is_found_again(home: Database, store: PostgresStore) -> None:
    with psycopg.connect(home.conninfo) as connection:
        store.insert_on(connection, [job()])
    home.sql("DROP SCHEMA sidework CASCADE")
    with (
        psycopg.connect(home.conninfo) as connection,
        pytest.raises(StoreMissing, match="db migrate"),
    ):
        store.insert_on(connection, [job()])
    made(home.conninfo).close()
    with psycopg.connect(home.conninfo) as connection:
        store.insert_on(connection, [job()])
    assert jobs_in(home) == 1


def test_a_copy_of_the_database_is_taken_for_it(
    postgres: Running, home: Database, store: PostgresStore
) -> None:
    """It has the same mark: as docs/connections.md says."""
    store.close()
    copy = Database(postgres.new_database(template=home.database))
    with psycopg.connect(copy.conninfo) as connection:
        store.insert_on(connection, [job()])
    assert (jobs_in(copy), jobs_in(home)) == (1, 0)
    postgres.drop_database(copy.conninfo)


def test_a_mark_that_is_gone_is_told(home: Database, store: PostgresStore) -> None:
    home.sql("DELETE FROM sidework.place")
    with psycopg.connect(home.conninfo) as connection:
        with pytest.raises(SchemaMismatch, match="lost its mark"):
            store.insert_on(connection, [job()])
        store.close()
        home.sql("INSERT INTO sidework.place DEFAULT VALUES")
        store.insert_on(connection, [job()])
