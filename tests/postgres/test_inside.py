"""What is only to run inside a transaction: every kind of connection is known to have one, or none."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any

import asyncpg
import django.db
import psycopg
import psycopg2
import psycopg_pool
import pytest
import sqlalchemy as sa
import sqlalchemy.ext.asyncio as sa_async
from sqlalchemy.orm import Session

from sidework.errors import StoreRefused
from sidework.store.postgres.callers import arun, run
from sidework.store.postgres.statement import Statement

from .conftest import Database
from .kinds import ASYNC, SYNC, asyncpg_options, engine_of, use_django

ONE = Statement("SELECT $1::bigint")

BARE: dict[str, Callable[[Database], Any]] = {}
ABARE: dict[str, Callable[[Database], Any]] = {}


def bare(function: Callable[[Database], Iterator[Any]]) -> None:
    BARE[function.__name__] = contextmanager(function)


def abare(function: Callable[[Database], AsyncIterator[Any]]) -> None:
    ABARE[function.__name__] = asynccontextmanager(function)


@bare
def psycopg_in_autocommit(server: Database) -> Iterator[Any]:
    with psycopg.connect(server.conninfo, autocommit=True) as connection:
        yield connection


@bare
def psycopg_in_autocommit_from_a_pool(server: Database) -> Iterator[Any]:
    options = {"autocommit": True}
    with (
        psycopg_pool.ConnectionPool(server.conninfo, min_size=1, kwargs=options) as pool,
        pool.connection() as connection,
    ):
        yield connection


@bare
def psycopg_in_autocommit_in_a_pipeline(server: Database) -> Iterator[Any]:
    connecting = psycopg.connect(server.conninfo, autocommit=True)
    with connecting as connection, connection.pipeline():
        yield connection


@bare
def psycopg2_in_autocommit(server: Database) -> Iterator[Any]:
    connection = psycopg2.connect(server.conninfo)
    connection.autocommit = True
    yield connection
    connection.close()


def alchemy(driver: str) -> None:
    def by_option(server: Database) -> Iterator[Any]:
        with engine_of(server, driver) as engine, engine.connect() as connection:
            yield connection.execution_options(isolation_level="AUTOCOMMIT")

    def by_engine(server: Database) -> Iterator[Any]:
        url = server.url(f"postgresql+{driver}")
        engine = sa.create_engine(url, isolation_level="AUTOCOMMIT")
        with engine.connect() as connection:
            yield connection
        engine.dispose()

    def session(server: Database) -> Iterator[Any]:
        with engine_of(server, driver) as engine:
            bound = engine.execution_options(isolation_level="AUTOCOMMIT")
            with Session(bound) as session:
                yield session

    for function in (by_option, by_engine, session):
        BARE[f"sqlalchemy_{driver}_{function.__name__}"] = contextmanager(function)


alchemy("psycopg")
alchemy("psycopg2")


@bare
def django_outside_atomic(server: Database) -> Iterator[Any]:
    use_django(server)
    yield django.db.connection
    django.db.connection.close()


@abare
async def psycopg_async_in_autocommit(server: Database) -> AsyncIterator[Any]:
    connecting = psycopg.AsyncConnection.connect(server.conninfo, autocommit=True)
    async with await connecting as connection:
        yield connection


@abare
async def asyncpg_plain(server: Database) -> AsyncIterator[Any]:
    connection = await asyncpg.connect(**asyncpg_options(server))
    yield connection
    await connection.close()


@abare
async def asyncpg_from_a_pool(server: Database) -> AsyncIterator[Any]:
    async with (
        asyncpg.create_pool(**asyncpg_options(server), min_size=1, max_size=1) as pool,
        pool.acquire() as connection,
    ):
        yield connection


def async_alchemy(driver: str) -> None:
    async def connection(server: Database) -> AsyncIterator[Any]:
        url = server.url(f"postgresql+{driver}")
        engine = sa_async.create_async_engine(url, isolation_level="AUTOCOMMIT")
        async with engine.connect() as connection:
            yield connection
        await engine.dispose()

    async def session(server: Database) -> AsyncIterator[Any]:
        engine = sa_async.create_async_engine(server.url(f"postgresql+{driver}"))
        bound = engine.execution_options(isolation_level="AUTOCOMMIT")
        async with sa_async.AsyncSession(bound) as session:
            yield session
        await engine.dispose()

    for function in (connection, session):
        ABARE[f"sqlalchemy_async_{driver}_{function.__name__}"] = asynccontextmanager(function)


async_alchemy("psycopg")
async_alchemy("asyncpg")


@pytest.mark.parametrize("kind", BARE)
def test_outside_a_transaction_is_refused(kind: str, server: Database) -> None:
    with BARE[kind](server) as connection:
        with pytest.raises(StoreRefused, match="in no transaction"):
            run(connection, ONE, [1], inside=True)
        assert run(connection, ONE, [1]) == [(1,)]  # what need not be inside runs


@pytest.mark.parametrize("kind", ABARE)
def test_outside_a_transaction_is_refused_in_a_coroutine(kind: str, server: Database) -> None:
    async def scenario() -> None:
        async with ABARE[kind](server) as connection:
            with pytest.raises(StoreRefused, match="in no transaction"):
                await arun(connection, ONE, [1], inside=True)
            assert await arun(connection, ONE, [1]) == [(1,)]

    asyncio.run(scenario())


@pytest.mark.parametrize("kind", SYNC)
def test_inside_a_transaction_it_runs(kind: str, server: Database) -> None:
    with SYNC[kind](server) as (connection, _):
        assert run(connection, ONE, [1], inside=True) == [(1,)]
        assert run(connection, ONE, [2], inside=True) == [(2,)]


@pytest.mark.parametrize("kind", ASYNC)
def test_inside_a_transaction_it_runs_in_a_coroutine(kind: str, server: Database) -> None:
    async def scenario() -> None:
        async with ASYNC[kind](server) as (connection, _):
            assert await arun(connection, ONE, [1], inside=True) == [(1,)]
            assert await arun(connection, ONE, [2], inside=True) == [(2,)]

    asyncio.run(scenario())


def test_a_transaction_that_was_begun_in_autocommit_is_one(server: Database) -> None:
    use_django(server)
    with psycopg.connect(server.conninfo, autocommit=True) as connection:
        with connection.transaction():
            assert run(connection, ONE, [1], inside=True) == [(1,)]
        connection.execute("BEGIN")
        assert run(connection, ONE, [1], inside=True) == [(1,)]
        connection.rollback()
        with connection.pipeline(), connection.transaction():
            assert run(connection, ONE, [1], inside=True) == [(1,)]
    with django.db.transaction.atomic():
        assert run(django.db.connection, ONE, [1], inside=True) == [(1,)]
    django.db.connection.close()
