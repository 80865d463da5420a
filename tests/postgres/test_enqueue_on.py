"""Jobs stored on the caller's own connection, through the engine: every kind of connection (promise I2)."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest

from sidework.errors import StoreMissing
from sidework.ids import new_id
from sidework.job import NewJob
from sidework.store.postgres.engine import PostgresStore

from .conftest import Database
from .kinds import ASYNC, SYNC

NOW = 1_700_000_000_000


@pytest.fixture
def store(server: Database) -> Iterator[PostgresStore]:
    store = PostgresStore(f"{server.conninfo}&schema=on callers%25")
    store.migrate()
    yield store
    store.close()
    server.sql('DROP SCHEMA "on callers%" CASCADE')


def jobs() -> list[NewJob]:
    return [
        NewJob(new_id(), "m:f", b'\x01{"a": "%s :x $1"}', priority=-100, tags=("a:b", "c\"'{}")),
        NewJob(new_id(), "m:g", b"\x01{}\x00\xff", lane="mail", delay=1000, timeout=5, backoff=7),
        NewJob(new_id(), "m:h", b"\x01{}", runner="loop", due_at=NOW - 1, expires_in=50),
    ]


def without_id(rows: list[Any]) -> list[Any]:
    return [
        {field: getattr(row, field) for field in row.__struct_fields__ if field != "id"}
        for row in rows
    ]


@pytest.mark.parametrize("kind", SYNC)
def test_jobs_are_of_the_callers_transaction(
    kind: str, server: Database, store: PostgresStore
) -> None:
    gone, kept, plain = jobs(), jobs(), jobs()
    other = NewJob(kept[0].id, "m:other", b"\x01{}")
    with SYNC[kind](server) as (connection, ends):
        store.insert_on(connection, gone, NOW)
        ends.rollback()
        told = store.insert_on(connection, kept, NOW)
        again = store.insert_on(connection, [*kept[1:], other], NOW)
        assert store.get([job.id for job in kept]) == [None, None, None]
        ends.commit()
    assert [one.verdict for one in told] == ["stored", "stored", "stored"]
    assert [one.verdict for one in again] == ["present", "present", "conflict"]
    assert store.get([job.id for job in gone]) == [None, None, None]
    store.insert(plain, NOW)
    found = without_id(store.get([job.id for job in kept]))
    assert found == without_id(store.get([job.id for job in plain]))


@pytest.mark.parametrize("kind", ASYNC)
def test_a_coroutines_jobs_are_of_its_transaction(
    kind: str, server: Database, store: PostgresStore
) -> None:
    gone, kept, plain = jobs(), jobs(), jobs()
    other = NewJob(kept[0].id, "m:other", b"\x01{}")

    async def scenario(some: list[NewJob], end: str) -> None:
        async with ASYNC[kind](server) as (connection, ends):
            told = await store.ainsert_on(connection, some, NOW)
            assert [one.verdict for one in told] == ["stored", "stored", "stored"]
            if some is kept:
                again = await store.ainsert_on(connection, [*kept[1:], other], NOW)
                assert [one.verdict for one in again] == ["present", "present", "conflict"]
            await getattr(ends, end)()

    asyncio.run(scenario(gone, "rollback"))
    asyncio.run(scenario(kept, "commit"))
    assert store.get([job.id for job in gone]) == [None, None, None]
    store.insert(plain, NOW)
    found = without_id(store.get([job.id for job in kept]))
    assert found == without_id(store.get([job.id for job in plain]))


@pytest.mark.parametrize("kind", SYNC)
def test_a_connection_to_where_no_jobs_are(kind: str, server: Database) -> None:
    store = PostgresStore(f"{server.conninfo}&schema=nowhere")
    refused = pytest.raises(StoreMissing, match="sidework db migrate")
    with SYNC[kind](server) as (connection, _), refused:
        store.insert_on(connection, jobs(), NOW)
    store.close()


def flow(store: PostgresStore) -> list[NewJob]:
    """A job that waits for one that is stored and for one beside it, and has callbacks."""
    stored, beside = (NewJob(new_id(), "m:f", b"\x01{}") for _ in range(2))
    store.insert([stored], NOW)
    child = NewJob(new_id(), "m:g", b"\x01{}", parents=(stored.id, beside.id), callbacks=b"[]")
    return [child, beside]


def waits(store: PostgresStore, job: NewJob) -> tuple[int, int]:
    (row,) = store.get([job.id])
    assert row is not None
    return row.pending, len(store.flows.edges([job.id]))


@pytest.mark.parametrize("kind", SYNC)
def test_what_a_job_waits_for_is_of_the_callers_transaction(
    kind: str, server: Database, store: PostgresStore
) -> None:
    jobs = flow(store)
    with SYNC[kind](server) as (connection, ends):
        assert {one.verdict for one in store.insert_on(connection, jobs, NOW)} == {"stored"}
        ends.commit()
    assert waits(store, jobs[0]) == (2, 3)


@pytest.mark.parametrize("kind", ASYNC)
def test_what_a_coroutines_job_waits_for_too(
    kind: str, server: Database, store: PostgresStore
) -> None:
    jobs = flow(store)

    async def scenario() -> None:
        async with ASYNC[kind](server) as (connection, ends):
            assert len(await store.ainsert_on(connection, jobs, NOW)) == 2
            await ends.commit()

    asyncio.run(scenario())
    assert waits(store, jobs[0]) == (2, 3)
