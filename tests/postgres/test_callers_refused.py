"""What a caller may pass by mistake, or in a bad state: one typed line, and never a driver's error."""

from __future__ import annotations

import asyncio
import sqlite3
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from typing import Any

import apsw
import asyncpg
import django.db
import psycopg
import psycopg2
import psycopg_pool
import pytest
import sqlalchemy as sa
import sqlalchemy.ext.asyncio as sa_async
import sqlalchemy.orm as sa_orm
from asgiref.sync import sync_to_async
from django.core.cache import cache

from sidework.errors import (
    SchemaMismatch,
    StoreError,
    StoreMissing,
    StoreRefused,
    StoreUnavailable,
)
from sidework.store.postgres.callers import arun, run
from sidework.store.postgres.statement import Statement

from .conftest import Database
from .kinds import ASYNC, SYNC, asyncpg_options, engine_of, use_django

ONE = Statement("SELECT $1::bigint")
FAIL = Statement("SELECT app.fail($1::text)")
PID = Statement("SELECT pg_backend_pid() + $1::bigint")


@pytest.fixture(scope="module", autouse=True)
def failing(server: Database) -> Iterator[None]:
    server.sql("""
        CREATE SCHEMA app;
        CREATE FUNCTION app.fail(code text) RETURNS int LANGUAGE plpgsql AS $$
        BEGIN RAISE EXCEPTION 'as asked' USING ERRCODE = code, DETAIL = 'secret'; END $$
    """)
    yield
    server.sql("DROP SCHEMA app CASCADE")


def check(error: StoreError, kind: type[StoreError], words: str) -> None:
    assert type(error) is kind
    assert words in str(error)
    assert "\n" not in str(error)
    assert "secret" not in str(error)


STATES = [
    ("42P01", StoreMissing, "sidework db migrate"),
    ("42703", SchemaMismatch, "as asked"),
    ("42501", StoreRefused, "no right"),
    ("25006", StoreRefused, "read-only"),
    ("40P01", StoreUnavailable, "try again"),
    ("55P03", StoreUnavailable, "try again"),
    ("57014", StoreUnavailable, "too long"),
    ("22021", StoreError, "as asked"),
]


@pytest.mark.parametrize("kind", SYNC)
def test_errors_are_ours(kind: str, server: Database) -> None:
    for state, expected, words in STATES:
        with SYNC[kind](server) as (connection, ends):
            with pytest.raises(StoreError) as caught:
                run(connection, FAIL, [state])
            check(caught.value, expected, words)
            assert caught.value.__cause__ is not None
            if "pipeline" in kind:
                continue
            with pytest.raises(StoreRefused, match="roll back first"):
                run(connection, ONE, [1])
            ends.rollback()
            assert run(connection, ONE, [1]) == [(1,)]


@pytest.mark.parametrize("kind", ASYNC)
def test_errors_are_ours_in_coroutines(kind: str, server: Database) -> None:
    async def scenario(state: str, expected: type[StoreError], words: str) -> None:
        async with ASYNC[kind](server) as (connection, ends):
            with pytest.raises(StoreError) as caught:
                await arun(connection, FAIL, [state])
            check(caught.value, expected, words)
            assert caught.value.__cause__ is not None
            if "pipeline" in kind:
                return
            with pytest.raises(StoreRefused, match="roll back first"):
                await arun(connection, ONE, [1])
            await ends.rollback()
            assert await arun(connection, ONE, [1]) == [(1,)]

    for each in STATES:
        asyncio.run(scenario(*each))


@pytest.mark.parametrize("kind", [kind for kind in SYNC if "pipeline" not in kind])
def test_a_connection_lost(kind: str, server: Database) -> None:
    with SYNC[kind](server) as (connection, _):
        ((pid,),) = run(connection, PID, [0])
        server.sql(f"SELECT pg_terminate_backend({pid}, 5000)")
        with pytest.raises(StoreUnavailable) as caught:
            run(connection, ONE, [1])
        check(caught.value, StoreUnavailable, "")
        if kind.startswith("psycopg"):
            with pytest.raises(StoreRefused, match="closed"):
                run(connection, ONE, [1])


@pytest.mark.parametrize("kind", [kind for kind in ASYNC if "pipeline" not in kind])
def test_a_coroutines_connection_lost(kind: str, server: Database) -> None:
    async def scenario() -> None:
        async with ASYNC[kind](server) as (connection, _):
            ((pid,),) = await arun(connection, PID, [0])
            await asyncio.to_thread(server.sql, f"SELECT pg_terminate_backend({pid}, 5000)")
            # asyncpg notices by itself that it is closed, and then says no more than that.
            with pytest.raises((StoreUnavailable, StoreRefused)) as caught:
                await arun(connection, ONE, [1])
            assert "\n" not in str(caught.value)

    asyncio.run(scenario())


@pytest.mark.parametrize("kind", ASYNC)
def test_an_async_connection_in_sync_code(kind: str, server: Database) -> None:
    async def scenario() -> None:
        async with ASYNC[kind](server) as (connection, _):
            with pytest.raises(StoreRefused, match="aenqueue"):
                run(connection, ONE, [1])

    asyncio.run(scenario())


@pytest.mark.parametrize("kind", SYNC)
def test_a_sync_connection_in_a_coroutine(kind: str, server: Database) -> None:
    with SYNC[kind](server) as (connection, _):
        if kind.startswith("django"):
            with pytest.raises(StoreRefused, match="sync_to_async"):
                asyncio.run(arun(connection, ONE, [1]))
        else:
            assert asyncio.run(arun(connection, ONE, [1])) == [(1,)]


def test_django_in_a_coroutine_by_its_bridge(server: Database) -> None:
    use_django(server)

    def work() -> list[tuple[Any, ...]]:
        try:
            return run(django.db.connection, ONE, [1])
        finally:
            django.db.connection.close()

    async def scenario() -> list[tuple[Any, ...]]:
        return await sync_to_async(work)()

    assert asyncio.run(scenario()) == [(1,)]


def test_what_is_no_connection(server: Database) -> None:
    use_django(server)
    engine = sa.create_engine("sqlite://")
    with psycopg_pool.ConnectionPool(server.conninfo, min_size=1, open=False) as pool:
        wrong: list[tuple[object, str]] = [
            (None, "NoneType"),
            ("postgresql://ann:hunter2@db/shop", "connection=str"),
            (object(), "connection=object cannot"),
            (pool, "ConnectionPool"),
            (engine, "connection=sqlalchemy.engine.base.Engine cannot"),
            (apsw.Connection(":memory:"), "apsw"),
            (sqlite3.connect(":memory:"), "sqlite3"),
            (django.db.connections["lite"], "sqlite"),
            (cache, "no database"),
        ]
        for each, words in wrong:
            for refused in (lambda it=each: run(it, ONE, [1]), lambda it=each: arunning(it)):
                with pytest.raises(StoreRefused) as caught:
                    refused()
                check(caught.value, StoreRefused, words)
                assert "hunter2" not in str(caught.value)
    with engine.connect() as connection, sa_orm.Session(engine) as session:
        for each in (connection, session):
            with pytest.raises(StoreRefused, match="sqlite"):
                run(each, ONE, [1])


def arunning(connection: object) -> None:
    asyncio.run(arun(connection, ONE, [1]))


def test_a_refusal_names_what_is_taken() -> None:
    with pytest.raises(StoreRefused, match=r"psycopg .*asyncpg.*SQLAlchemy.*Django"):
        run(object(), ONE, [1])


def test_closed_connections(server: Database) -> None:
    plain = psycopg.connect(server.conninfo)
    plain.close()
    old = psycopg2.connect(server.conninfo)
    old.close()
    with engine_of(server, "psycopg") as engine:
        alchemy = engine.connect()
        alchemy.close()
        for each in (plain, old, alchemy):
            with pytest.raises(StoreRefused, match="closed"):
                run(each, ONE, [1])

    async def scenario() -> None:
        plain = await psycopg.AsyncConnection.connect(server.conninfo)
        await plain.close()
        other = await asyncpg.connect(**asyncpg_options(server))
        await other.close()
        for each in (plain, other):
            with pytest.raises(StoreRefused, match="closed"):
                await arun(each, ONE, [1])
        async with asyncpg.create_pool(**asyncpg_options(server), min_size=1) as pool:
            given_back = await pool.acquire()
            await pool.release(given_back)
            with pytest.raises(StoreRefused, match="released back to the pool"):
                await arun(given_back, ONE, [1])

    asyncio.run(scenario())


def test_an_asyncpg_connection_that_is_busy(server: Database) -> None:
    async def scenario() -> None:
        connection = await asyncpg.connect(**asyncpg_options(server))
        first = asyncio.ensure_future(connection.fetch("SELECT pg_advisory_lock(1)"))
        with psycopg.connect(server.conninfo, autocommit=True) as holder:
            holder.execute("SELECT pg_advisory_lock(1)")
            await asyncio.sleep(0)  # the other one has begun
            with pytest.raises(StoreRefused, match="another operation is in progress"):
                await arun(connection, ONE, [1])
        await first
        await connection.close()

    asyncio.run(scenario())


def test_a_value_that_no_text_can_hold(server: Database) -> None:
    statement = Statement("SELECT $1::text")

    async def scenario() -> None:
        connection = await asyncpg.connect(**asyncpg_options(server))
        with pytest.raises(StoreError):
            await arun(connection, statement, ["a\0"])
        await connection.close()

    with psycopg.connect(server.conninfo) as connection, pytest.raises(StoreError):
        run(connection, statement, ["a\0"])
    asyncio.run(scenario())


def test_an_aborted_pipeline(server: Database) -> None:
    with psycopg.connect(server.conninfo) as connection, connection.pipeline():
        connection.execute("SELECT 1/0")
        with pytest.raises(StoreError, match="division by zero"):
            run(connection, ONE, [1])
        with pytest.raises(StoreRefused, match="roll back first"):
            run(connection, ONE, [1])


def test_a_broken_atomic_block(server: Database) -> None:
    use_django(server)
    try:
        with django.db.transaction.atomic():
            django.db.transaction.set_rollback(True)
            with pytest.raises(StoreRefused, match="roll back first"):
                run(django.db.connection, ONE, [1])
    finally:
        django.db.connection.close()


def test_a_session_whose_flush_failed(server: Database) -> None:
    with engine_of(server, "psycopg") as engine, engine.connect() as connection:
        with pytest.raises(sa.exc.ProgrammingError):
            connection.execute(sa.text("SELECT nothing"))
        with pytest.raises(StoreRefused, match="roll back first"):
            run(connection, ONE, [1])


def test_a_pool_with_nothing_left(server: Database) -> None:
    engine = sa.create_engine(
        server.url("postgresql+psycopg"), pool_size=1, max_overflow=0, pool_timeout=0.01
    )
    refused = pytest.raises(StoreUnavailable, match=r"QueuePool limit .*give one back")
    with engine.connect(), sa_orm.Session(engine) as session, refused:
        run(session, ONE, [1])
    engine.dispose()


@pytest.mark.parametrize("driver", ["psycopg", "psycopg2"])
def test_what_connects_late_and_cannot(driver: str, server: Database) -> None:
    good = sa.make_url(server.url(f"postgresql+{driver}")).set(password="hunter2")
    nowhere = good.update_query_dict({"port": "1"})
    for url, expected in [
        (nowhere, StoreUnavailable),
        (good.set(database="nothing"), StoreMissing),
        (good.set(username="nobody"), StoreRefused),
    ]:
        engine = sa.create_engine(url)
        with sa_orm.Session(engine) as session, pytest.raises(StoreError) as caught:
            run(session, ONE, [1])
        check(caught.value, expected, "")
        assert "hunter2" not in str(caught.value)
        engine.dispose()


def test_asyncpg_that_connects_late_and_cannot(server: Database) -> None:
    async def scenario() -> None:
        good = sa.make_url(server.url("postgresql+asyncpg"))
        for url, expected in [
            (good.update_query_dict({"port": "1"}), StoreUnavailable),
            (good.set(database="nothing"), StoreMissing),
        ]:
            engine = sa_async.create_async_engine(url)
            async with sa_async.AsyncSession(engine) as session:
                with pytest.raises(StoreError) as caught:
                    await arun(session, ONE, [1])
                check(caught.value, expected, "")
            await engine.dispose()

    asyncio.run(scenario())


def test_an_error_of_a_hook_of_the_callers_passes(server: Database) -> None:
    def hook(*_: object) -> None:
        raise LookupError("mine")

    with engine_of(server, "psycopg") as engine, engine.connect() as connection:
        sa.event.listen(engine, "before_cursor_execute", hook)
        with pytest.raises(LookupError, match="mine"):
            run(connection, ONE, [1])


@pytest.mark.filterwarnings("ignore:coroutine 'connect' was never awaited")
def test_a_session_of_an_async_engine_outside_its_greenlet(server: Database) -> None:
    async def scenario() -> None:
        engine = sa_async.create_async_engine(server.url("postgresql+asyncpg"))
        refused = pytest.raises(StoreRefused, match="greenlet")
        with sa_orm.Session(engine.sync_engine) as session, refused:
            await arun(session, ONE, [1])
        await engine.dispose()

    asyncio.run(scenario())


def test_no_driver_is_imported() -> None:
    source = """
        import sys, types
        from sidework.store.postgres.callers import run, Statement
        one = Statement("SELECT $1::int")
        for it in (object(), type("Session", (), {"__module__": "elsewhere"})()):
            try:
                run(it, one, [1])
            except Exception as error:
                assert type(error).__name__ == "StoreRefused", error
        loaded = {name.partition(".")[0] for name in sys.modules}
        print(sorted(loaded & {"psycopg", "psycopg2", "asyncpg", "sqlalchemy", "django", "apsw"}))
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(source)], capture_output=True, text=True
    )
    assert (done.stdout.strip(), done.stderr) == ("[]", "")
