"""One statement on the caller's own connection: every kind of it, in its transaction (promise I2)."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Iterator
from typing import Any

import pytest

from sidework.store.postgres.callers import arun, run
from sidework.store.postgres.statement import Statement

from .conftest import Server

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
def table(server: Server) -> Iterator[None]:
    server.sql("""
        CREATE SCHEMA app;
        CREATE TABLE app.jobs (id uuid PRIMARY KEY, task text, tags jsonb, rank smallint, big bigint,
                               held boolean, args bytea, share text);
        CREATE TABLE app.notes (id bigint PRIMARY KEY)
    """)
    yield
    server.sql("DROP SCHEMA app CASCADE")


def stored(server: Server) -> list[tuple[object, ...]]:
    return server.sql("SELECT * FROM app.jobs ORDER BY id")


# --- the transaction is the caller's -----------------------------------------------------------------


@pytest.mark.parametrize("kind", SYNC)
def test_a_statement_is_of_the_callers_transaction(kind: str, server: Server) -> None:
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
def test_a_coroutines_statement_is_of_the_callers_transaction(kind: str, server: Server) -> None:
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
