"""Every kind of connection that a caller may pass, each with what ends its transaction.

A kind is a context manager that gives both: ``commit()`` and ``rollback()`` are of the second. ``SYNC``
and ``ASYNC`` hold them by name.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any

import asyncpg
import django
import django.db
import psycopg
import psycopg2
import psycopg2.extras
import psycopg_pool
import sqlalchemy.ext.asyncio as sa_async
from django.conf import settings
from sqlalchemy import create_engine
from sqlalchemy.engine import Engine
from sqlalchemy.orm import Session, scoped_session
from sqlalchemy.orm import sessionmaker as session_maker

from .conftest import Database

SYNC: dict[str, Callable[[Database], Any]] = {}
ASYNC: dict[str, Callable[[Database], Any]] = {}


def sync_kind(function: Callable[[Database], Iterator[tuple[Any, Any]]]) -> None:
    SYNC[function.__name__] = contextmanager(function)


def async_kind(function: Callable[[Database], AsyncIterator[tuple[Any, Any]]]) -> None:
    ASYNC[function.__name__] = asynccontextmanager(function)


@sync_kind
def psycopg_plain(server: Database) -> Iterator[tuple[Any, Any]]:
    with psycopg.connect(server.conninfo) as connection:
        yield connection, connection


@sync_kind
def psycopg_of_a_taste(server: Database) -> Iterator[tuple[Any, Any]]:
    with psycopg.connect(
        server.conninfo,
        row_factory=psycopg.rows.dict_row,
        cursor_factory=psycopg.ClientCursor,
        prepare_threshold=0,
    ) as connection:
        yield connection, connection


@sync_kind
def psycopg_in_a_pipeline(server: Database) -> Iterator[tuple[Any, Any]]:
    with (
        psycopg.connect(server.conninfo, prepare_threshold=None) as connection,
        connection.pipeline(),
    ):
        yield connection, connection


@sync_kind
def psycopg_from_a_pool(server: Database) -> Iterator[tuple[Any, Any]]:
    with (
        psycopg_pool.ConnectionPool(server.conninfo, min_size=1) as pool,
        pool.connection() as connection,
    ):
        yield connection, connection


@sync_kind
def psycopg2_plain(server: Database) -> Iterator[tuple[Any, Any]]:
    connection = psycopg2.connect(server.conninfo, cursor_factory=psycopg2.extras.RealDictCursor)
    try:
        yield connection, connection
    finally:
        connection.close()


@contextmanager
def engine_of(server: Database, driver: str) -> Iterator[Engine]:
    engine = create_engine(server.url(f"postgresql+{driver}"))
    try:
        yield engine
    finally:
        engine.dispose()


def sqlalchemy_kinds(driver: str) -> None:
    def connection(server: Database) -> Iterator[tuple[Any, Any]]:
        with engine_of(server, driver) as engine, engine.connect() as connection:
            yield connection, connection

    def session(server: Database) -> Iterator[tuple[Any, Any]]:
        with engine_of(server, driver) as engine, Session(engine) as session:
            yield session, session

    def scoped(server: Database) -> Iterator[tuple[Any, Any]]:
        with engine_of(server, driver) as engine:
            session = scoped_session(session_maker(engine))
            yield session, session
            session.remove()

    for function in (connection, session, scoped):
        SYNC[f"sqlalchemy_{driver}_{function.__name__}"] = contextmanager(function)


sqlalchemy_kinds("psycopg")
sqlalchemy_kinds("psycopg2")


def use_django(server: Database) -> None:
    """A project of nothing but a database."""
    database = {
        "ENGINE": "django.db.backends.postgresql",
        "NAME": server.database,
        "USER": server.user,
        "HOST": server.host,
        "PORT": str(server.port),
    }
    if not settings.configured:
        settings.configure(
            DATABASES={
                "default": database,
                "server_side": {**database, "OPTIONS": {"server_side_binding": True}},
                "lite": {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"},
            }
        )
        django.setup()


@contextmanager
def atomic(server: Database, alias: str, connection: Any) -> Iterator[tuple[Any, Any]]:
    use_django(server)
    django.db.connections[alias].set_autocommit(False)
    try:
        yield connection, django.db.connections[alias]
    finally:
        django.db.connections[alias].close()


@sync_kind
def django_connection(server: Database) -> Iterator[tuple[Any, Any]]:
    use_django(server)
    with atomic(server, "default", django.db.connection) as both:
        yield both


@sync_kind
def django_by_alias(server: Database) -> Iterator[tuple[Any, Any]]:
    use_django(server)
    with atomic(server, "server_side", django.db.connections["server_side"]) as both:
        yield both


@async_kind
async def psycopg_async(server: Database) -> AsyncIterator[tuple[Any, Any]]:
    async with await psycopg.AsyncConnection.connect(
        server.conninfo, row_factory=psycopg.rows.dict_row, prepare_threshold=0
    ) as connection:
        yield connection, connection


@async_kind
async def psycopg_async_in_a_pipeline(server: Database) -> AsyncIterator[tuple[Any, Any]]:
    async with (
        await psycopg.AsyncConnection.connect(server.conninfo) as connection,
        connection.pipeline(),
    ):
        yield connection, connection


@async_kind
async def psycopg_async_from_a_pool(server: Database) -> AsyncIterator[tuple[Any, Any]]:
    async with (
        psycopg_pool.AsyncConnectionPool(server.conninfo, min_size=1) as pool,
        pool.connection() as connection,
    ):
        yield connection, connection


def asyncpg_options(server: Database) -> dict[str, Any]:
    return {
        "host": server.host,
        "port": server.port,
        "user": server.user,
        "database": server.database,
    }


class Begun:
    """asyncpg's transaction, with the names of the others for its ends."""

    def __init__(self, transaction: Any) -> None:
        self.commit = transaction.commit
        self.rollback = transaction.rollback


@async_kind
async def asyncpg_plain(server: Database) -> AsyncIterator[tuple[Any, Any]]:
    connection = await asyncpg.connect(**asyncpg_options(server))
    # What many programs set: then a str given as jsonb would become a JSON string.
    await connection.set_type_codec(
        "jsonb", schema="pg_catalog", encoder=repr, decoder=repr, format="text"
    )
    try:
        transaction = connection.transaction()
        await transaction.start()
        yield connection, Begun(transaction)
    finally:
        await connection.close()


@async_kind
async def asyncpg_from_a_pool(server: Database) -> AsyncIterator[tuple[Any, Any]]:
    async with (
        asyncpg.create_pool(**asyncpg_options(server), min_size=1, max_size=1) as pool,
        pool.acquire() as connection,
    ):
        transaction = connection.transaction()
        await transaction.start()
        yield connection, Begun(transaction)


def sqlalchemy_async_kinds(driver: str) -> None:
    @asynccontextmanager
    async def made(server: Database) -> AsyncIterator[sa_async.AsyncEngine]:
        engine = sa_async.create_async_engine(server.url(f"postgresql+{driver}"))
        try:
            yield engine
        finally:
            await engine.dispose()

    async def connection(server: Database) -> AsyncIterator[tuple[Any, Any]]:
        async with made(server) as engine, engine.connect() as connection:
            yield connection, connection

    async def session(server: Database) -> AsyncIterator[tuple[Any, Any]]:
        async with made(server) as engine, sa_async.AsyncSession(engine) as session:
            yield session, session

    async def scoped(server: Database) -> AsyncIterator[tuple[Any, Any]]:
        async with made(server) as engine:
            session = sa_async.async_scoped_session(
                sa_async.async_sessionmaker(engine), asyncio.current_task
            )
            yield session, session
            await session.remove()

    for function in (connection, session, scoped):
        ASYNC[f"sqlalchemy_async_{driver}_{function.__name__}"] = asynccontextmanager(function)


sqlalchemy_async_kinds("psycopg")
sqlalchemy_async_kinds("asyncpg")
