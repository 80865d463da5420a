"""One statement on the caller's own connection: every kind of it, in its transaction (promise I2)."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Iterator
from typing import Any

import asyncpg
import django.db
import psycopg
import pytest
import sqlalchemy.ext.asyncio as sa_async
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column

from sidework.store.postgres.callers import Where, arun, run, where
from sidework.store.postgres.statement import Statement

from .conftest import Database
from .kinds import ASYNC, SYNC, asyncpg_options, engine_of, use_django

# A "%", a ":name" and quotes are there to be misread by some driver.
INSERT = Statement("""
    INSERT INTO app.jobs AS j (id, task, tags, rank, big, held, args, share)  -- 100 % of $1, it's :all
    SELECT n.id, n.task, n.tags, n.rank, n.big, n.held, n.args, '5% of :x, $2'
    FROM unnest($1::uuid[], $2::text[], $3::jsonb[], $4::smallint[], $5::bigint[], $6::boolean[],
                $7::bytea[]) AS n (id, task, tags, rank, big, held, args)
    WHERE $8::text IS NOT DISTINCT FROM $8::text AND 7 % 4 = 3 AND $9::bigint > 0
    ON CONFLICT DO NOTHING
    RETURNING j.id::text, j.rank, j.held, j.task
""")
IDS = [uuid.UUID(int=i) for i in range(3)]
VALUES: list[Any] = [
    IDS,
    ["plain", "quotes \"' \\ {a,b}", "100 % ü :x $1"],
    ['{"a": "b\\"c"}', None, "[1, 2]"],
    [-100, 0, 100],
    [1, None, 2**63 - 1],
    [True, False, None],
    [b"\x00\x01\xff", None, b"%s"],
    None,
    2**40,
]
ROWS = [(str(i), rank, held, task) for i, rank, held, task in zip(
    IDS, VALUES[3], VALUES[5], VALUES[1], strict=True)]  # fmt: skip
STORED = [
    (IDS[0], "plain", {"a": 'b"c'}, -100, 1, True, b"\x00\x01\xff", "5% of :x, $2"),
    (IDS[1], VALUES[1][1], None, 0, None, False, None, "5% of :x, $2"),
    (IDS[2], VALUES[1][2], [1, 2], 100, 2**63 - 1, None, b"%s", "5% of :x, $2"),
]

ONE = Statement("SELECT $2::bigint, $1::text")


@pytest.fixture(autouse=True)
def table(server: Database) -> Iterator[None]:
    server.sql("""
        CREATE SCHEMA app;
        CREATE TABLE app.jobs (id uuid PRIMARY KEY, task text, tags jsonb, rank smallint, big bigint,
                               held boolean, args bytea, share text);
        CREATE TABLE app.notes (id bigint PRIMARY KEY)
    """)
    yield
    server.sql("DROP SCHEMA app CASCADE")


def stored(server: Database) -> list[tuple[object, ...]]:
    return server.sql("SELECT * FROM app.jobs ORDER BY id")


@pytest.mark.parametrize("kind", SYNC)
def test_a_statement_is_of_the_callers_transaction(kind: str, server: Database) -> None:
    with SYNC[kind](server) as (connection, ends):
        assert run(connection, INSERT, VALUES) == ROWS
        ends.rollback()
        assert stored(server) == []
        assert run(connection, INSERT, VALUES) == ROWS
        assert run(connection, INSERT, VALUES) == []  # all there
        assert run(connection, ONE, ["x", None]) == [(None, "x")]
        assert run(connection, INSERT, [*([] for _ in range(7)), "x", 1]) == []
        assert stored(server) == []
        ends.commit()
        assert stored(server) == STORED


@pytest.mark.parametrize("kind", ASYNC)
def test_a_coroutines_statement_is_of_the_callers_transaction(kind: str, server: Database) -> None:
    async def scenario(end: str) -> None:
        async with ASYNC[kind](server) as (connection, ends):
            assert await arun(connection, INSERT, VALUES) == ROWS
            assert await arun(connection, INSERT, VALUES) == []
            assert await arun(connection, ONE, ["x", None]) == [(None, "x")]
            assert await arun(connection, INSERT, [*([] for _ in range(7)), "x", 1]) == []
            assert stored(server) == []
            await getattr(ends, end)()

    asyncio.run(scenario("rollback"))
    assert stored(server) == []
    asyncio.run(scenario("commit"))
    assert stored(server) == STORED


def rows_of(server: Database) -> int:
    return len(stored(server))


# --- what the caller has set stays theirs ------------------------------------------------------------


def test_autocommit_works(server: Database) -> None:
    use_django(server)
    with psycopg.connect(server.conninfo, autocommit=True) as connection:
        run(connection, INSERT, VALUES)
        assert rows_of(server) == 3
    server.sql("DELETE FROM app.jobs")
    with engine_of(server, "psycopg") as engine, engine.connect() as connected:
        run(connected.execution_options(isolation_level="AUTOCOMMIT"), INSERT, VALUES)
        assert rows_of(server) == 3
    server.sql("DELETE FROM app.jobs")
    run(django.db.connection, INSERT, VALUES)
    assert rows_of(server) == 3
    django.db.connection.close()
    server.sql("DELETE FROM app.jobs")

    async def scenario() -> None:
        connection = await asyncpg.connect(**asyncpg_options(server))
        await arun(connection, INSERT, VALUES)
        assert rows_of(server) == 3
        await connection.close()

    asyncio.run(scenario())


def test_autocommit_in_a_pipeline_is_committed_at_its_sync(server: Database) -> None:
    connecting = psycopg.connect(server.conninfo, autocommit=True)
    with connecting as connection, connection.pipeline() as pipeline:
        assert run(connection, INSERT, VALUES) == ROWS
        assert rows_of(server) == 0
        pipeline.sync()
        connection.execute("SELECT 1").fetchall()
        assert rows_of(server) == 3


def test_a_savepoint_takes_the_row_with_it(server: Database) -> None:
    use_django(server)
    with psycopg.connect(server.conninfo) as connection:
        with connection.transaction(force_rollback=True):
            run(connection, INSERT, VALUES)
        connection.commit()
    with engine_of(server, "psycopg") as engine, Session(engine) as session:
        nested = session.begin_nested()
        run(session, INSERT, VALUES)
        nested.rollback()
        session.commit()
    with django.db.transaction.atomic():
        with pytest.raises(LookupError), django.db.transaction.atomic():
            run(django.db.connection, INSERT, VALUES)
            raise LookupError
        assert run(django.db.connection, ONE, ["x", 1]) == [(1, "x")]
    django.db.connection.close()
    assert rows_of(server) == 0


class Base(DeclarativeBase):
    pass


class Note(Base):
    __tablename__ = "notes"
    __table_args__ = {"schema": "app"}  # noqa: RUF012
    id: Mapped[int] = mapped_column(primary_key=True)


def test_a_session_is_joined_and_not_flushed(server: Database) -> None:
    with engine_of(server, "psycopg") as engine, Session(engine) as session:
        note = Note(id=7)
        session.add(note)
        assert run(session, INSERT, VALUES) == ROWS
        assert note in session.new
        session.commit()
    assert rows_of(server) == 3
    assert server.sql("SELECT id FROM app.notes") == [(7,)]


@pytest.mark.parametrize("driver", ["psycopg", "asyncpg"])
def test_sync_code_of_an_async_session(driver: str, server: Database) -> None:
    async def scenario() -> None:
        engine = sa_async.create_async_engine(server.url(f"postgresql+{driver}"))
        async with sa_async.AsyncSession(engine) as session:
            assert await session.run_sync(lambda inner: run(inner, INSERT, VALUES)) == ROWS
            await session.commit()
        await engine.dispose()

    asyncio.run(scenario())
    assert rows_of(server) == 3


# --- which database it is ----------------------------------------------------------------------------


@pytest.mark.parametrize("kind", SYNC)
def test_a_connection_tells_where_it_leads(kind: str, server: Database) -> None:
    with SYNC[kind](server) as (connection, _):
        found = where(connection)
    assert found == Where(server.database, server.host, server.port)
    assert str(found) == f"database {server.database} at {server.host}:{server.port}"


@pytest.mark.parametrize("kind", ASYNC)
def test_an_async_connection_tells_where_it_leads(kind: str, server: Database) -> None:
    async def scenario() -> Where:
        async with ASYNC[kind](server) as (connection, _):
            return where(connection)

    assert asyncio.run(scenario()) == Where(server.database, server.host, server.port)


def test_who_cannot_tell_tells_nothing(server: Database) -> None:
    with Session() as session:
        assert str(where(session)) == ""
    connection = psycopg.connect(server.conninfo)
    connection.close()
    assert where(connection) == Where()


HERE = Statement("""
    WITH here AS (SELECT mark = $2::uuid AS same FROM app.place),
    put AS (INSERT INTO app.jobs (id) SELECT n.id FROM here, unnest($1::uuid[]) AS n (id)
            WHERE here.same ON CONFLICT DO NOTHING RETURNING id)
    SELECT here.same, put.id::text FROM here LEFT JOIN put ON true
""")


@pytest.mark.parametrize("kind", SYNC)
def test_a_statement_can_tell_another_database(kind: str, server: Database) -> None:
    """The database's own mark, compared in the statement itself: no name and no pooler can deceive it."""
    server.sql(f"CREATE TABLE app.place AS SELECT '{IDS[2]}'::uuid AS mark")
    with SYNC[kind](server) as (connection, ends):
        assert run(connection, HERE, [[IDS[0]], IDS[1]]) == [(False, None)]
        assert run(connection, HERE, [[IDS[0]], IDS[2]]) == [(True, str(IDS[0]))]
        assert run(connection, HERE, [[IDS[0]], IDS[2]]) == [(True, None)]
        ends.commit()
    assert rows_of(server) == 1
