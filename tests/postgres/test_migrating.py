"""How the schema comes to be: once, whole, beside those who work, by hand if wished."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psycopg
import pytest

from conftest import Place, until
from servers.binaries import newest
from sidework.errors import SchemaMismatch, StoreRefused, StoreUnavailable
from sidework.ids import new_id
from sidework.job import NewJob
from sidework.store.opening import open_store
from sidework.store.postgres.connection import migrations
from sidework.store.postgres.migrating import LOCK_SECONDS, OUTSIDE, migrate, script
from sidework.store.postgres.place import Place as Where
from sidework.store.postgres.place import place_of

from .conftest import Database

ALL = list(range(1, len(migrations()) + 1))
WIDER = "ALTER TABLE sidework.jobs ADD COLUMN extra integer;\n"
INDEX = OUTSIDE + (
    "DROP INDEX CONCURRENTLY IF EXISTS sidework.jobs_extra;\n\n"
    "CREATE INDEX CONCURRENTLY jobs_extra ON sidework.jobs (task);\n"
)

SHAPE = """
SELECT c.relname::text, c.relkind::text, c.reloptions, pg_get_indexdef(c.oid),
       ARRAY(SELECT attname || ' ' || format_type(atttypid, atttypmod) || ' ' || attnotnull || ' '
                    || coalesce(pg_get_expr(adbin, adrelid), '')
             FROM pg_attribute LEFT JOIN pg_attrdef ON adrelid = attrelid AND adnum = attnum
             WHERE attrelid = c.oid AND attnum > 0 ORDER BY attnum)
FROM pg_class AS c WHERE relnamespace = to_regnamespace(quote_ident(%s)) ORDER BY relname
"""


@pytest.fixture
def where(server: Database) -> Iterator[Where]:
    """A schema that is not there yet, with a name that has to be quoted."""
    name = f"It's new {os.urandom(4).hex()}"
    yield place_of(f"{server.conninfo}&schema={name}")
    server.sql(f'DROP SCHEMA IF EXISTS "{name}" CASCADE')


def shape(where: Where) -> list[tuple[object, ...]]:
    """Every table and index, without what names the schema."""
    with psycopg.connect(where.conninfo) as connection:
        rows = connection.execute(SHAPE, [where.schema]).fetchall()
    return [
        tuple(re.sub(r'ON ".*"\.', "ON ", one) if isinstance(one, str) else one for one in row)
        for row in rows
    ]


def by_hand(where: Where, text: str, folder: Path) -> subprocess.CompletedProcess[str]:
    path = folder / "script.sql"
    path.write_text(text)
    return subprocess.run(
        [newest()["psql"], "--no-psqlrc", "-q", where.conninfo, "-f", path],
        capture_output=True, text=True,
    )  # fmt: skip


def versions(where: Where) -> list[int]:
    with psycopg.connect(where.conninfo) as connection:
        found = connection.execute(
            f'SELECT version FROM "{where.schema}".migrations ORDER BY 1'  # type: ignore[arg-type]
        )
        return [version for (version,) in found]


def test_all_versions_are_applied_once(where: Where) -> None:
    assert migrate(where) == ALL
    assert migrate(where) == []
    assert versions(where) == ALL


@pytest.mark.parametrize("since", range(len(ALL)))
def test_the_script_makes_the_same(where: Where, tmp_path: Path, since: int) -> None:
    other = place_of(where.url + "2")
    migrate(other)
    if since:
        migrate(where, migrations()[:since])
    done = by_hand(where, script(where), tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert shape(where) == shape(other)
    assert migrate(where) == []
    with psycopg.connect(where.conninfo) as connection:
        connection.execute(f'DROP SCHEMA "{other.schema}" CASCADE')  # type: ignore[arg-type]


@pytest.mark.parametrize("since", range(len(ALL)))
def test_a_script_that_is_out_of_date_changes_nothing(
    where: Where, tmp_path: Path, since: int
) -> None:
    if since:
        migrate(where, migrations()[:since])
    stale = script(where)
    migrate(where)
    before = shape(where)
    assert by_hand(where, stale, tmp_path).returncode != 0
    assert shape(where) == before


def test_a_schema_made_by_another_is_used_as_it_is(where: Where, server: Database) -> None:
    server.sql(f'CREATE SCHEMA "{where.schema}"')
    assert "CREATE SCHEMA" not in script(where)
    assert migrate(where) == ALL


def test_several_at_once_take_turns(where: Where) -> None:
    texts = [*migrations(), INDEX]
    with ThreadPoolExecutor(4) as pool:
        told = list(pool.map(lambda _: migrate(where, texts), range(4)))
    assert sorted(one for applied in told for one in applied) == [*ALL, len(texts)]


def test_killed_in_the_middle_leaves_nothing(where: Where, place: Place) -> None:
    place.url, marker = where.url, place.folder / "marker"
    place.extra = {"SIDEWORK_CRASH_AT": f"migration: before commit:{marker}"}
    assert place.sidework("db", "migrate").returncode == -9
    assert marker.exists()
    assert shape(where) == []
    place.extra = {}
    done = place.sidework("db", "migrate")
    assert done.stdout.endswith(f": applied versions {', '.join(map(str, ALL))}\n")
    assert "there is nothing to do" in place.sidework("db", "migrate").stdout


def test_a_busy_table_is_waited_for_without_a_queue_behind(where: Where) -> None:
    """Who comes after the change waits as long as it does, not as long as who is in its way."""
    migrate(where)
    store = open_store(where.url)
    store.findings()
    with psycopg.connect(where.conninfo) as reader, ThreadPoolExecutor(1) as pool:
        reader.execute(f'SELECT FROM "{where.schema}".jobs')  # type: ignore[arg-type]
        changing = pool.submit(migrate, where, [*migrations(), WIDER])
        until(lambda: waiting(where), "the change that waits")
        for _ in range(3):  # some of them meet it
            (stored,) = store.insert([NewJob(new_id(), "m:f", b"\x01{}")])
            assert stored.verdict == "stored"
        assert not changing.done()
        reader.rollback()
        assert changing.result(30) == [len(ALL) + 1]
    store.close()


def waiting(where: Where) -> bool:
    with psycopg.connect(where.conninfo) as connection:
        found = connection.execute(
            "SELECT count(*) FROM pg_locks WHERE NOT granted AND relation = to_regclass(%s)",
            [f'"{where.schema}".jobs'],
        ).fetchone()
        return found is not None and found[0] > 0


def test_one_that_stays_busy_is_told(where: Where) -> None:
    migrate(where)
    before = shape(where)
    with psycopg.connect(where.conninfo) as reader:
        reader.execute(f'SELECT FROM "{where.schema}".jobs')  # type: ignore[arg-type]
        with pytest.raises(StoreUnavailable, match="db check names long transactions"):
            migrate(where, [*migrations(), WIDER], wait=LOCK_SECONDS / 2)
    assert shape(where) == before


def test_another_that_migrates_is_waited_for(where: Where) -> None:
    with psycopg.connect(where.conninfo) as other, ThreadPoolExecutor(1) as pool:
        lock = "SELECT pg_advisory_xact_lock(hashtextextended('sidework:' || %s, 0))"
        other.execute(lock, [where.schema])
        with pytest.raises(StoreUnavailable, match="another one is migrating"):
            migrate(where, wait=0)
        later = pool.submit(migrate, where)
        other.commit()
        assert later.result(30) == ALL


def test_a_step_outside_a_transaction(where: Where, tmp_path: Path) -> None:
    """It has its place, also between others, by hand too, and when it failed half-way before."""
    texts = [*migrations(), INDEX, WIDER]
    migrate(where)
    with psycopg.connect(where.conninfo, autocommit=True) as connection:
        # What an interrupted CREATE INDEX CONCURRENTLY leaves: an index by that name, of no use.
        connection.execute(f'CREATE INDEX jobs_extra ON "{where.schema}".jobs (id)')  # type: ignore[arg-type]
    told = script(where, texts)
    assert re.search(r"CREATE INDEX CONCURRENTLY[^;]*;\nINSERT INTO [^;]*;\nBEGIN;", told)
    assert migrate(where, texts) == [len(texts) - 1, len(texts)]
    assert ("jobs_extra", True) in [(name, "(task)" in str(row)) for name, *row in shape(where)]
    other = place_of(where.url + "2")
    assert by_hand(other, script(other, texts), tmp_path).returncode == 0
    assert shape(other) == shape(where)
    with psycopg.connect(where.conninfo) as connection:
        connection.execute(f'DROP SCHEMA "{other.schema}" CASCADE')  # type: ignore[arg-type]


def test_one_version_ahead_fits_and_two_do_not(where: Where, server: Database) -> None:
    migrate(where)
    mark = f'INSERT INTO "{where.schema}".migrations (version) VALUES (%d)'
    server.sql(mark % (len(ALL) + 1))
    assert migrate(where) == []
    assert "nothing to do" in script(where)
    server.sql(mark % (len(ALL) + 2))
    for verb in (migrate, script):
        with pytest.raises(SchemaMismatch, match="upgrade Sidework"):
            verb(where)


def test_a_role_without_rights_is_told_what_to_do(where: Where, server: Database) -> None:
    name = f"nobody_{os.urandom(4).hex()}"
    server.sql(f"CREATE ROLE {name} LOGIN")
    try:
        theirs = place_of(where.url.replace(f"//{server.user}@", f"//{name}@"))
        with pytest.raises(StoreRefused, match=r"may not change schema .*--sql prints"):
            migrate(theirs)
        assert script(theirs).count("-- version") == len(ALL)
        server.sql(f'CREATE SCHEMA "{where.schema}"')
        with pytest.raises(StoreRefused, match="permission denied for schema"):
            migrate(theirs)
        server.sql(f'GRANT USAGE ON SCHEMA "{where.schema}" TO {name}')
        with pytest.raises(StoreRefused, match="may not change schema"):
            migrate(theirs)
        server.sql(f'DROP SCHEMA "{where.schema}"')
    finally:
        server.sql(f"DROP ROLE {name}")
