"""What ``db check``, ``db info`` and ``doctor`` say of a server: each thing that hurts, and what to do."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator

import psycopg
import pytest

from conftest import Place, until
from servers.pgbouncer import PgBouncer, why_not
from servers.postgres import Server
from sidework.errors import StoreRefused
from sidework.ids import new_id
from sidework.job import NewJob
from sidework.store.opening import open_store
from sidework.store.postgres.connection import migrations
from sidework.store.postgres.looking import (
    CLIENT_CONNECTIONS,
    RIGHTS,
    WORKER_CONNECTIONS,
    findings,
    table_settings,
)
from sidework.store.postgres.migrating import migrate
from sidework.store.postgres.place import place_of
from sidework.store.postgres.upkeep import EXACT
from sidework.store.protocol import Finding


class Host:
    """A durable server of the tests' own, where each of them has a database that is migrated."""

    def __init__(self, server: Server) -> None:
        self.server = server
        self.url = server.new_database()
        self.renew()

    def renew(self) -> None:
        store = open_store(self.url)
        store.migrate()
        store.close()

    def sql(self, text: str) -> None:
        with psycopg.connect(self.url, autocommit=True) as connection:
            connection.execute(text)  # type: ignore[arg-type]

    def found(self, long: float = 60.0) -> list[Finding]:
        """What is not as it should be."""
        return [one for one in findings(place_of(self.url), long) if one.advice or one.problem]

    def as_role(self, name: str) -> str:
        return self.url.replace("//postgres@", f"//{name}@")


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    settings = {"max_prepared_transactions": "4", "max_connections": "60", "wal_level": "logical"}
    with Server(settings=settings, durable=True) as made:
        yield made


@pytest.fixture
def host(server: Server) -> Host:
    return Host(server)


def test_nothing_is_wrong_with_a_server_as_it_comes(host: Host) -> None:
    assert host.found() == []
    told = {one.what: one.value for one in findings(place_of(host.url))}
    assert set(told) >= {"server", "role", "lease", "pooler", "connections", "rights", "schema"}
    assert told["lease"] == "10s"


SPOILED = {
    "ALTER DATABASE {db} SET synchronous_commit = off": ("synchronous_commit", True),
    "ALTER DATABASE {db} SET default_transaction_read_only = on": ("read-only", True),
    "ALTER DATABASE {db} SET track_counts = off": ("track_counts", True),
    "ALTER TABLE sidework.jobs SET (autovacuum_enabled = false)": ("autovacuum", True),
    "ALTER TABLE sidework.jobs RESET (autovacuum_vacuum_scale_factor)": ("autovacuum", False),
    f"DELETE FROM sidework.migrations WHERE version = {len(migrations())}": ("schema", True),
    "DELETE FROM sidework.migrations": ("schema", True),
    "INSERT INTO sidework.migrations VALUES (1000)": ("schema", True),
    "DROP TABLE sidework.migrations": ("schema", True),
    "DROP SCHEMA sidework CASCADE": ("schema", True),
}


@pytest.mark.parametrize("how", SPOILED)
def test_what_hurts_is_told_with_what_to_do(host: Host, how: str) -> None:
    database = host.url.partition("?")[0].rpartition("/")[2]
    host.sql(how.format(db=database))
    (found,) = host.found()
    assert (found.what, found.problem) == SPOILED[how]
    assert found.advice


def test_the_advice_of_a_missing_setting_brings_it_back(host: Host) -> None:
    host.sql("ALTER TABLE sidework.jobs RESET (autovacuum_vacuum_scale_factor, fillfactor)")
    host.sql("ALTER TABLE sidework.workers RESET (fillfactor, autovacuum_vacuum_threshold)")
    for one in host.found():
        host.sql(one.advice)
    assert host.found() == []
    assert {"jobs", "attempts", "workers", "chores"} <= set(table_settings())


def test_a_migration_that_is_due_is_told_without_the_settings_that_it_brings(host: Host) -> None:
    host.sql("DROP SCHEMA sidework CASCADE")
    migrate(place_of(host.url), migrations()[:-1])
    assert [one.what for one in host.found()] == ["schema"]


@pytest.mark.parametrize("setting", ["fsync", "full_page_writes", "autovacuum"])
def test_a_server_that_does_not_keep_is_told(host: Host, setting: str) -> None:
    host.server.psql(f"ALTER SYSTEM SET {setting} = off")
    host.server.psql("SELECT pg_reload_conf()")
    try:
        (found,) = until(host.found, "the setting")
        assert (found.what, found.problem) == (setting, True)
    finally:
        host.server.psql(f"ALTER SYSTEM RESET {setting}")
        host.server.psql("SELECT pg_reload_conf()")
        until(lambda: not host.found(), "the setting as it was")


def test_another_encoding_is_told(host: Host) -> None:
    host.server.psql("CREATE DATABASE ascii ENCODING 'SQL_ASCII' TEMPLATE template0")
    host.url = host.server.url("ascii")
    found, _ = host.found()  # the other: no schema, and none can be made there
    assert (found.what, found.problem) == ("encoding", True)
    assert "createdb -E UTF8" in found.advice


def test_a_transaction_that_pins_the_horizon_is_named(host: Host) -> None:
    with psycopg.connect(host.url, application_name="report") as reader:
        reader.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        reader.execute("SELECT FROM sidework.jobs")
        (found,) = host.found(long=0)
        assert (found.what, found.problem) == ("transaction", True)
        assert (
            f"pid {reader.info.backend_pid}, postgres, report, idle in transaction" in found.value
        )
        assert found.advice == f"end it: SELECT pg_terminate_backend({reader.info.backend_pid});"
        assert host.found() == []  # not old yet


def test_of_others_a_plain_role_is_told_what_it_may_see(host: Host) -> None:
    host.sql("DROP ROLE IF EXISTS looker; CREATE ROLE looker LOGIN")
    with psycopg.connect(host.url, application_name="report") as reader:
        reader.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        reader.execute("SELECT FROM sidework.jobs")
        told = findings(place_of(host.as_role("looker")), 0)
        (found,) = [one for one in told if one.what == "transaction"]
        assert "of unknown age" in found.value
        assert not found.problem
    host.sql("DROP ROLE looker")


def test_a_prepared_transaction_that_was_forgotten_is_named(host: Host) -> None:
    with psycopg.connect(host.url) as connection:
        connection.execute("SELECT pg_current_xact_id()")
        connection.execute("PREPARE TRANSACTION 'it''s mine'")
    (found,) = host.found(long=0)
    assert found.what == "prepared"
    host.sql(found.advice.rpartition(" or ")[2])
    assert host.found(long=0) == []


def test_missing_rights_are_named_with_their_grants(host: Host) -> None:
    host.sql('DROP ROLE IF EXISTS "some one"; CREATE ROLE "some one" LOGIN')
    owner, host.url = host.url, host.as_role("some%20one")
    found = host.found()
    assert {one.what for one in found} == {"rights"}
    assert len(found) == 1 + len(RIGHTS)
    assert "lacks SELECT, INSERT, UPDATE, DELETE ON" in " ".join(one.value for one in found)
    with pytest.raises(StoreRefused, match="no right"):
        open_store(host.url).get([new_id()])
    theirs, host.url = host.url, owner
    for one in found:
        host.sql(one.advice)
    host.url = theirs
    assert host.found() == []
    store = open_store(theirs)
    assert store.insert([NewJob(new_id(), "m:f", b"\x01{}")])[0].verdict == "stored"
    assert store.check() == []
    with pytest.raises(StoreRefused, match="belong to another role"):
        store.vacuum()
    store.close()


def test_every_table_of_ours_has_its_rights(host: Host) -> None:
    with psycopg.connect(host.url) as connection:
        found = connection.execute(
            "SELECT relname FROM pg_class WHERE relnamespace = 'sidework'::regnamespace AND relkind = 'r'"
        )
        assert {name for (name,) in found} == set(RIGHTS)


def test_a_full_server_is_told_before_a_worker_cannot_connect(host: Host) -> None:
    def used() -> int:
        return int(host.server.psql("SELECT count(usesysid) FROM pg_stat_activity")[0][0])

    held = []
    try:
        while used() < 48:
            held.append(psycopg.connect(host.url))
        (found,) = host.found()
        assert (found.what, found.problem) == ("connections", False)
        while used() < 56:
            held.append(psycopg.connect(host.url))
        (found,) = host.found()
        assert (found.what, found.problem) == ("connections", True)
    finally:
        for one in held:
            one.close()
    until(lambda: not host.found(), "their end")


@pytest.mark.skipif(why_not() is not None, reason=str(why_not()))
def test_a_pooler_is_a_hint(host: Host) -> None:
    with PgBouncer(host.server) as pooler:
        host.url = pooler.url(host.url.partition("?")[0].rpartition("/")[2])
        (found,) = host.found()
        assert (found.what, found.problem) == ("pooler", False)


# The command line -----------------------------------------------------------------------------


def test_check_and_doctor_end_with_one_on_a_problem(host: Host, place: Place) -> None:
    place.url = host.url
    told = place.sidework("db", "check")
    assert (told.returncode, told.stdout) == (0, "nothing is damaged\n")
    assert place.sidework("doctor").returncode == 0
    host.sql("ALTER TABLE sidework.jobs RESET (autovacuum_vacuum_threshold)")
    told = place.sidework("db", "check")
    assert told.returncode == 0
    assert told.stdout.startswith("--  autovacuum ")
    assert place.sidework("doctor").returncode == 0
    host.sql("ALTER TABLE sidework.jobs SET (autovacuum_enabled = false)")
    for words in (("db", "check"), ("doctor",)):
        told = place.sidework(*words)
        assert told.returncode == 1
        assert "!!  autovacuum       it is off for jobs" in told.stdout
    host.sql("DROP SCHEMA sidework CASCADE")
    for words in (("db", "check"), ("doctor",)):
        told = place.sidework(*words)
        assert told.returncode == 1
        assert "there is no schema 'sidework'" in told.stdout
        assert told.stderr == ""


def test_what_was_found_is_told_though_the_content_cannot_be_read(host: Host, place: Place) -> None:
    place.url = host.url
    host.sql("ALTER TABLE sidework.jobs RESET (autovacuum_vacuum_threshold)")
    host.sql(
        "DO $$ BEGIN EXECUTE format('ALTER DATABASE %I SET statement_timeout = 2000', "
        "current_database()); END $$"
    )
    with psycopg.connect(host.url) as holder:
        holder.execute("LOCK TABLE sidework.jobs")
        told = place.sidework("db", "check")
    assert told.returncode == 1
    assert told.stdout.startswith("--  autovacuum ")
    assert told.stdout.endswith("whether anything is damaged could not be read\n")
    assert "took too long" in told.stderr
    assert len(told.stderr.splitlines()) == 1


def test_rows_that_contradict_themselves_are_damage(host: Host, place: Place) -> None:
    place.url = host.url
    store = open_store(host.url)
    store.insert([NewJob(new_id(), "m:f", b"\x01{}") for _ in range(3)])
    host.sql("UPDATE sidework.jobs SET state = 'completed'")
    told = place.sidework("db", "check")
    assert told.returncode == 1
    assert told.stdout == (
        "!!  damaged: 3 jobs are final and have no end, or an end and are not final\n"
    )
    store.close()


def test_without_the_driver_one_line_says_what_to_install(place: Place) -> None:
    (place.folder / "psycopg.py").write_text("raise ImportError('not installed')\n")
    place.url = "postgresql://nobody@127.0.0.1:1/x"
    place.extra = {"PYTHONPATH": str(place.folder)}
    told = place.sidework("doctor")
    assert told.returncode == 1
    (line,) = [line for line in told.stdout.splitlines() if line.startswith("!!")]
    assert "which is not installed: pip install 'sidework[postgres]' (in a clone" in line


def test_a_server_that_is_away_is_one_line(place: Place) -> None:
    place.url = "postgresql://me:hidden@127.0.0.1:1/x"
    told = place.sidework("doctor")
    assert told.returncode == 1
    (line,) = [line for line in told.stdout.splitlines() if line.startswith("!!")]
    assert "cannot be reached" in line
    assert "hidden" not in told.stdout + told.stderr


APP = """
    from sidework import Sidework
    app = Sidework()

    @app.task
    def add(a: int, b: int) -> int:
        return a + b

    @app.task(runner="process")
    def alone(a: int) -> int:
        return a
"""
CLIENT = """
import asyncio, sys, shop
jobs = [shop.add.enqueue(1, 2) for _ in range(3)]
assert [job.result(timeout=20) for job in jobs] == [3, 3, 3]
async def main():
    job = await shop.add.aenqueue(1, 2)
    return await job.aresult(timeout=20)
assert asyncio.run(main()) == 3
print("there", flush=True)
sys.stdin.readline()
"""


def test_the_budget_of_connections_is_kept(host: Host, place: Place) -> None:
    """Three a worker, however many children; one or two a client process."""
    place.url = host.url
    place.write("shop.py", APP)

    def ours() -> list[str]:
        found = host.server.psql(
            "SELECT application_name FROM pg_stat_activity "
            "WHERE datname = %s AND backend_type = 'client backend' ORDER BY 1",
            host.url.partition("?")[0].rpartition("/")[2],
        )
        return [name for (name,) in found]

    worker = place.worker("shop", "--children", "3")
    until(lambda: len(ours()) == WORKER_CONNECTIONS, "the worker's connections")
    assert ours() == ["sidework", "sidework", "sidework pulse"]
    client = subprocess.Popen(
        [sys.executable, "-c", CLIENT], cwd=place.folder, env=place.env, text=True,
        stdin=subprocess.PIPE, stdout=subprocess.PIPE,
    )  # fmt: skip
    assert client.stdout is not None
    assert client.stdout.readline() == "there\n"
    assert 1 <= len(ours()) - WORKER_CONNECTIONS <= CLIENT_CONNECTIONS
    told = json.loads(place.sidework("doctor", "--json").stdout)
    (line,) = [one["value"] for one in told if one["what"] == "connections"]
    assert f"{len(ours()) + 1} by Sidework" in line  # the doctor's own is one
    client.communicate("go\n")
    assert client.returncode == 0
    assert worker.stop() == 0
    until(lambda: ours() == [], "the end of all connections")


def test_the_owner_vacuums(host: Host, place: Place) -> None:
    place.url = host.url
    assert place.sidework("db", "vacuum").returncode == 0
    told = json.loads(place.sidework("db", "info", "--json").stdout)
    jobs = next(one for one in told["tables"] if one["table"] == "jobs")
    assert jobs["vacuumed_at"] is not None


# Many jobs ------------------------------------------------------------------------------------

FILL = """
INSERT INTO sidework.jobs (id, task, lane, state, runner, priority, due_at, max_attempts, inserted_at,
                           finished_at, on_crash, args)
SELECT gen_random_uuid(), 'm:f', 'lane' || n %% 3, '{state}', 'thread', 0, n, 1, n, {finished}, 'rescue',
       '\\x017b7d' FROM generate_series(1, {count}) AS n
"""


def test_info_reads_no_more_of_a_full_table(host: Host) -> None:
    for state, finished, count in (
        ("available", "NULL", 60_000),
        ("completed", "n", 90_000),
        ("scheduled", "NULL", 500),
    ):
        host.sql(FILL.replace("%%", "%").format(state=state, finished=finished, count=count))
    host.sql("ANALYZE sidework.jobs")
    store = open_store(host.url)
    before = read(host)
    told = store.info()
    until(lambda: read(host) > before, "the server's own figures")
    assert read(host) - before <= EXACT + 1
    assert told["estimated"] is True
    assert abs(told["jobs"]["available"] - 60_000) < 6_000
    assert abs(told["jobs"]["completed"] - 90_000) < 9_000
    assert told["jobs"]["scheduled"] == 500
    assert told["oldest_available_at"] == 1
    waits = {(one["queue"], one["state"]): one["jobs"] for one in told["backlog"]}
    assert waits["lane0", "scheduled"] == 166
    assert waits["lane0", "available"] == 10_000  # and more
    assert told["claim"] == "by jobs_available, then jobs_pkey"
    assert told["tables"][0]["table"] == "jobs"
    assert told["tables"][0]["rows"] > 100_000
    assert {one["index"] for one in told["indexes"]} >= {"jobs_available", "jobs_pkey"}
    store.close()


def read(host: Host) -> int:
    """How many rows were read without an index, as far as the server has counted."""
    with psycopg.connect(host.url, autocommit=True) as connection:
        connection.execute("SELECT pg_stat_force_next_flush()")
        row = connection.execute(
            "SELECT seq_tup_read FROM pg_stat_user_tables WHERE relname = 'jobs'"
        ).fetchone()
        return 0 if row is None else int(row[0])


def test_info_for_people(host: Host, place: Place) -> None:
    store = open_store(host.url)
    store.insert([NewJob(new_id(), "m:f", b"\x01{}", lane="mail") for _ in range(3)])
    store.close()
    place.url = host.url
    told = place.sidework("db", "info").stdout
    assert "jobs                  3 available\n" in told
    assert "estimated             no\n" in told
    assert "claim                 by jobs_available, then jobs_pkey\n" in told
    assert "\nbacklog:\nqueue\tstate\tjobs\toldest_due_at\nmail\tavailable\t3\t" in told
    assert "claim_plan" not in told
    plan = json.loads(place.sidework("db", "info", "--json").stdout)["claim_plan"]
    assert plan["Node Type"] == "ModifyTable"
