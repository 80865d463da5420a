"""What a server, a database or a role is set to, and how a schema is called: the whole way of a job works."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import quote

import psycopg
import pytest
from psycopg import sql

from conftest import until
from servers.running import Running
from sidework.errors import StoreRefused, StoreUnavailable
from sidework.ids import new_id
from sidework.job import JobFilter, NewJob
from sidework.outcome import Failure, Outcome, encode_failure
from sidework.state import State
from sidework.store.opening import open_store
from sidework.store.protocol import RETENTION, Demand

ODD = "a\\b'\"%s :x $1 {é,€,\U0001f600}"


@pytest.fixture(scope="module")
def database(postgres: Running) -> Iterator[str]:
    url = postgres.new_database()
    yield url
    postgres.drop_database(url)


@contextmanager
def role(database: str, *settings: str) -> Iterator[str]:
    """The URL of a role, owner of the database, with these settings."""
    name = f"dba_{os.getpid()}"
    with psycopg.connect(database, autocommit=True) as connection:
        connection.execute(sql.SQL(f"CREATE ROLE {name} LOGIN"))
        base = sql.Identifier(connection.info.dbname)
        connection.execute(sql.SQL("GRANT CREATE ON DATABASE {} TO " + name).format(base))
        for one in settings:
            connection.execute(sql.SQL(f"ALTER ROLE {name} SET {one}"))
        try:
            yield database.replace("//postgres@", f"//{name}@")
        finally:
            connection.execute("DROP SCHEMA IF EXISTS sidework CASCADE")
            connection.execute(sql.SQL(f"DROP OWNED BY {name} CASCADE"))
            connection.execute(sql.SQL(f"DROP ROLE {name}"))


def whole_way(url: str) -> None:
    """Stored, claimed, recorded, failed, paused, listed, cancelled, on a caller's connection and on ours."""
    store = open_store(url)
    try:
        store.migrate()
        worker = store.register("host", 1, ("mail",)).id
        bell = store.listen("work")
        ids = [new_id() for _ in range(3)]
        jobs = [
            NewJob(ids[0], "m:f", b"\x01\x00\xff\\'", lane="mail", tags=(ODD,)),
            NewJob(ids[1], ODD, b"\x01{}", lane="mail", delay=1000),
            NewJob(ids[2], "m:f", b"\x01{}", lane=ODD),
        ]
        assert [one.verdict for one in store.insert(jobs)] == ["stored"] * 3
        assert [one.verdict for one in store.insert(jobs)] == ["present"] * 3
        turn = store.turn([], Demand(worker, {"thread": 5}))
        assert sorted(job.id for job in turn.claimed) == sorted([ids[0], ids[2]])
        by_id = {job.id: job for job in turn.claimed}
        assert by_id[ids[0]].args == b"\x01\x00\xff\\'"
        first, last = by_id[ids[0]], by_id[ids[2]]
        ends = [
            Outcome(first.id, first.fence, 1, "completed", result=b"\x01\xff\x00\\"),
            Outcome(last.id, last.fence, 1, "discarded", note=ODD,
                    failure=encode_failure(Failure("E", ODD))),
        ]  # fmt: skip
        assert store.turn(ends, None).took == [True, True]
        rows = store.get(ids)
        assert [row and row.state for row in rows] == [
            State.COMPLETED, State.SCHEDULED, State.DISCARDED,
        ]  # fmt: skip
        assert rows[0] is not None
        assert (rows[0].result, rows[0].tags) == (b"\x01\xff\x00\\", (ODD,))
        assert rows[1] is not None
        assert rows[1].task == ODD
        assert abs(rows[1].due_at - rows[1].inserted_at - 1000) < 2
        assert len(store.page(JobFilter(tag=ODD), None, 10)) == 1
        assert store.retry(last.id)
        store.pause(ODD, ODD, "why")
        assert {row.name for row in store.queues()} >= {"mail", ODD}
        assert store.turn([], Demand(worker, {"thread": 5})).claimed == []
        assert store.resume(ODD)
        assert store.cancel(ids[1], ODD) == "cancelled"
        until(bell.read, "a bell")
        bell.close()
        theirs = f"{url.partition('&schema')[0]}&client_encoding=utf8"
        with psycopg.connect(theirs) as connection:
            late = NewJob(new_id(), ODD, b"\x01\x00\xff\\'", lane="mail", tags=(ODD,))
            store.insert_on(connection, [late])
        (claimed,) = store.turn([], Demand(worker, {"thread": 5}, ("mail",))).claimed
        assert (claimed.id, claimed.task, claimed.args) == (late.id, ODD, b"\x01\x00\xff\\'")
        with psycopg.connect(theirs) as connection:
            done = Outcome(late.id, claimed.fence, 1, "completed", result=b"\x01null")
            assert store.finish_on(connection, done)
        store.promote(10)
        store.expire(10)
        store.prune(RETENTION, 10)
        assert store.rescue() == 0
        assert store.info()
        assert [one.what for one in store.findings() if one.what == "schema" and one.problem] == []
        store.vacuum()
        store.retire(worker)
        assert store.migrate() == []
    finally:
        store.close()


@pytest.mark.parametrize(
    "settings",
    [
        ["default_transaction_isolation = 'serializable'"],
        ["default_transaction_isolation = 'repeatable read'"],
        ["statement_timeout = '30s'", "lock_timeout = '10s'"],
        ["idle_in_transaction_session_timeout = '20s'"],
        ["search_path = ''"],
        ["search_path = evil, pg_catalog"],
        ["datestyle = 'German, DMY'", "intervalstyle = 'sql_standard'", "timezone = 'Asia/Kabul'"],
        ["bytea_output = 'escape'", "escape_string_warning = on"],
        ["extra_float_digits = -15", "lc_messages = 'C'", "xmlbinary = hex"],
        ["client_encoding = 'LATIN1'"],
        ["enable_indexscan = off", "enable_bitmapscan = off", "plan_cache_mode = force_custom_plan"],
        ["synchronous_commit = off", "row_security = off", "default_toast_compression = 'pglz'"],
    ],
    ids=lambda settings: settings[0],
)  # fmt: skip
def test_what_a_dba_sets_on_a_role(settings: list[str], database: str) -> None:
    with psycopg.connect(database, autocommit=True) as connection:
        connection.execute("DROP SCHEMA IF EXISTS evil CASCADE")
        connection.execute("CREATE SCHEMA evil")
        # What a path that names it before the server's own schema would prefer.
        connection.execute("""
            CREATE FUNCTION evil.pg_current_snapshot() RETURNS text LANGUAGE sql AS $$ SELECT 'x' $$;
            CREATE FUNCTION evil.statement_timestamp() RETURNS timestamptz LANGUAGE sql
                AS $$ SELECT 'epoch'::timestamptz $$;
            CREATE FUNCTION evil.pg_notify(text, text) RETURNS void LANGUAGE sql AS $$ SELECT $$;
            CREATE TABLE evil.jobs (id int);
            GRANT USAGE ON SCHEMA evil TO public
        """)
    with role(database, *settings) as url:
        whole_way(url)


def test_literals_with_escapes(database: str) -> None:
    """With them a caller's psycopg garbles bytes; our own connections send none as text."""
    with role(database, "standard_conforming_strings = off") as url:
        store = open_store(url)
        store.migrate()
        mine = NewJob(new_id(), ODD, b"\x01\x00\xff\\'", tags=(ODD,))
        assert store.insert([mine])[0].verdict == "stored"
        (row,) = store.get([mine.id])
        assert row is not None
        assert (row.task, row.args, row.tags) == (ODD, mine.args, (ODD,))
        with psycopg.connect(url) as connection:
            with pytest.raises(StoreRefused, match="SET standard_conforming_strings = on"):
                store.insert_on(connection, [NewJob(new_id(), "m:f", b"\x01{}")])
            connection.execute("SET standard_conforming_strings = on")
            late = NewJob(new_id(), "m:f", mine.args)
            store.insert_on(connection, [late])
        (row,) = store.get([late.id])
        assert row is not None
        assert row.args == mine.args
        store.close()


def test_an_idle_session_that_is_ended_is_replaced(database: str) -> None:
    with role(database, "idle_session_timeout = '100ms'") as url:
        store = open_store(url)
        store.migrate()
        for _ in range(3):
            (told,) = store.insert([NewJob(new_id(), "m:f", b"\x01{}")])
            assert told.verdict == "stored"
            until(lambda: sessions(database, url) == 0, "the end of the idle session")
        store.close()


def sessions(database: str, url: str) -> int:
    name = url.split("//")[1].split("@")[0]
    with psycopg.connect(database) as connection:
        ((count,),) = connection.execute(
            "SELECT count(*) FROM pg_stat_activity WHERE usename = %s AND application_name = 'sidework'",
            [name],
        ).fetchall()
    assert isinstance(count, int)
    return count


def test_a_statement_that_takes_longer_than_a_dba_allows(database: str) -> None:
    with role(database, "statement_timeout = '200ms'") as url:
        store = open_store(url)
        store.migrate()
        kept = NewJob(new_id(), "m:f", b"\x01{}")
        with psycopg.connect(database) as holder:
            holder.execute("LOCK TABLE sidework.jobs IN EXCLUSIVE MODE")
            with pytest.raises(StoreUnavailable, match="took too long"):
                store.insert([kept])
        assert store.get([kept.id]) == [None]
        (told,) = store.insert([kept])
        assert told.verdict == "stored"
        store.close()


@pytest.mark.parametrize(
    "schema",
    [
        "sidework.jobs", "Shop", "with space", "100%", "%s %(x)s", "a:b::c", "$1", "it's", "--", "/* */", ";",
        "schön \U0001f600", "x" * 63, "select", "back\\slash", "tab\there", "{}", "?&=#", "unnest(",
    ],
)  # fmt: skip
def test_a_schema_of_any_name(schema: str, database: str) -> None:
    url = f"{database}&schema={quote(schema, safe='')}"
    whole_way(url)
    with psycopg.connect(database) as connection:
        connection.execute(sql.SQL("DROP SCHEMA {} CASCADE").format(sql.Identifier(schema)))


def test_a_name_that_the_server_keeps_for_itself(database: str) -> None:
    store = open_store(f"{database}&schema=pg_shop")
    with pytest.raises(StoreRefused, match="pg_shop"):
        store.migrate()
    store.close()
