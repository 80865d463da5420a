"""Bad input on PostgreSQL: one line for whoever typed it, a typed error for whoever called, nothing lost."""

from __future__ import annotations

import asyncio
import os
import socket
import subprocess
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from time import monotonic
from typing import Any
from urllib.parse import quote

import psycopg
import pytest
from psycopg import sql

from commands import SHOP, refused
from conftest import Place, until
from servers.account import account
from servers.postgres import PASSWORD, Server
from servers.running import Running
from sidework import SchemaMismatch, Sidework, StoreError, StoreRefused, StoreUnavailable
from sidework.errors import StoreMissing
from sidework.ids import new_id
from sidework.job import NewJob
from sidework.store.opening import open_store
from sidework.store.postgres.connection import migrations

WRONG = "hun/ter2 %@ü"
"""A password that is not the one: none of its forms may be seen."""
FORMS = (WRONG, quote(WRONG, safe=""), quote(WRONG), "ter2")


@pytest.fixture(scope="module")
def locked() -> Iterator[Server]:
    """A server that asks for passwords."""
    with Server(auth="scram-sha-256") as server:
        server.listen()
        yield server


@pytest.fixture
def database(postgres: Running) -> Iterator[str]:
    """One with a schema of ours."""
    url = postgres.new_database()
    migrate(url)
    yield url
    postgres.drop_database(url)


def migrate(url: str) -> None:
    store = open_store(url)
    store.migrate()
    store.close()


def job() -> NewJob:
    return NewJob(new_id(), "m:f", b"\x01{}")


def execute(url: str, *statements: str) -> None:
    with psycopg.connect(url, autocommit=True) as connection:
        for one in statements:
            connection.execute(sql.SQL(one))


def told(place: Place, url: str, kind: type[StoreError], words: str, *, reads: bool = True) -> str:
    """Everywhere the same: from the API as an exception, on the command line as one line; which."""
    store = open_store(url)
    try:
        with pytest.raises(StoreError) as caught:
            store.insert([job()])
        with pytest.raises(StoreError) as again:
            if reads:
                store.get([new_id()])
            else:
                store.insert([job()])
    finally:
        store.close()
    for error in (caught.value, again.value):
        assert type(error) is kind, error
        assert words in str(error)
        assert "\n" not in str(error)
    place.write("shop.py", SHOP)
    place.url = url
    lines = [refused(place, "run", "shop:add", "1")]
    if reads:
        lines += [refused(place, "jobs", "list"), refused(place, "queues", "list")]
    for line in lines:
        assert line.startswith("sidework: ")
        assert words in line
    return "\n".join([str(caught.value), *lines])


# --- passwords ---------------------------------------------------------------------------------------


def by_url(place: Place, server: Server) -> str:
    host, port = "127.0.0.1", server.endpoint.port
    return f"postgresql://postgres:{quote(WRONG, safe='')}@{host}:{port}/postgres"


def by_parameter(place: Place, server: Server) -> str:
    port = server.endpoint.port
    return f"postgresql://127.0.0.1:{port}/postgres?user=postgres&password={quote(WRONG, safe='')}"


def by_environment(place: Place, server: Server) -> str:
    place.extra["PGPASSWORD"] = os.environ["PGPASSWORD"] = WRONG
    return f"postgresql://postgres@127.0.0.1:{server.endpoint.port}/postgres"


def by_passfile(place: Place, server: Server) -> str:
    file = place.write("passwords", f"*:*:*:*:{WRONG}\n")
    file.chmod(0o600)
    url = f"postgresql://postgres@127.0.0.1:{server.endpoint.port}/postgres"
    return f"{url}?passfile={quote(str(file))}"


def by_service(place: Place, server: Server) -> str:
    file = place.write(
        "services",
        f"[shop]\nhost=127.0.0.1\nport={server.endpoint.port}\ndbname=postgres\n"
        f"user=postgres\npassword={WRONG}\n",
    )
    place.extra["PGSERVICEFILE"] = os.environ["PGSERVICEFILE"] = str(file)
    return "postgresql:///?service=shop"


@pytest.mark.parametrize("form", [by_url, by_parameter, by_environment, by_passfile, by_service])
def test_a_wrong_password(
    form: Callable[[Place, Server], str], place: Place, locked: Server,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    for name in ("PGPASSWORD", "PGSERVICEFILE"):
        monkeypatch.setenv(name, "")  # what a form sets is undone
        monkeypatch.delenv(name)
    url = form(place, locked)
    text = told(place, url, StoreRefused, "refuses the login")
    assert "check user and password" in text
    assert not any(one in text for one in FORMS)


def test_no_password_at_all(place: Place, locked: Server) -> None:
    url = f"postgresql://postgres@127.0.0.1:{locked.endpoint.port}/postgres"
    told(place, url, StoreRefused, "refuses the login")


def test_the_right_password_is_told_nowhere(place: Place, locked: Server) -> None:
    url = locked.url()
    assert PASSWORD in url
    migrate(url)
    place.write("shop.py", SHOP)
    place.url = url
    for words in (["run", "shop:add", "1"], ["db", "info"], ["doctor"], ["jobs", "list"]):
        done = place.sidework(*words)
        assert PASSWORD not in done.stdout + done.stderr
    worker = place.worker("shop")
    assert worker.stop() == 0
    assert PASSWORD not in worker.said
    line = refused(place, "run", "shop:add", "1", code=1) if locked.stop("fast") else ""
    locked.start()
    assert PASSWORD not in line


def test_a_connection_string_of_keywords_is_refused_unseen(place: Place) -> None:
    place.write("shop.py", SHOP)
    place.url = f"host=127.0.0.1 user=postgres password={WRONG}"
    before = sorted(place.folder.iterdir())
    for words in (["jobs", "list"], ["run", "shop:add", "1"]):
        line = refused(place, *words)
        assert "neither a URL nor a path" in line
        assert not any(one in line for one in FORMS)
    made = {one.name for one in set(place.folder.iterdir()) - set(before)}
    assert made <= {"__pycache__"}


# --- places ------------------------------------------------------------------------------------------


def test_nobody_listens_there(place: Place) -> None:
    began = monotonic()
    told(place, "postgresql://ann:hunter2@127.0.0.1:1/shop", StoreUnavailable, "cannot be reached")
    assert monotonic() - began < 15


def test_a_host_that_is_none(place: Place) -> None:
    url = "postgresql://ann:hunter2@nowhere.invalid/shop"
    assert "hunter2" not in told(place, url, StoreUnavailable, "cannot be reached")


def test_a_server_that_does_not_answer(place: Place) -> None:
    """As long as docs/connections.md says: 5 seconds, or what the URL says."""
    with socket.create_server(("127.0.0.1", 0)) as hole:
        url = f"postgresql://ann:hunter2@127.0.0.1:{hole.getsockname()[1]}/shop"
        store, began = open_store(f"{url}?connect_timeout=2"), monotonic()
        with pytest.raises(StoreUnavailable, match="cannot be reached"):
            store.insert([job()])
        store.close()
        assert 1.5 <= monotonic() - began <= 4.5
        place.url, began = url, monotonic()
        assert "cannot be reached" in refused(place, "jobs", "list")
        assert 4.5 <= monotonic() - began <= 10


def test_a_database_that_is_not_there(place: Place, postgres: Running) -> None:
    told(place, postgres.url("nothing"), StoreMissing, 'database "nothing" does not exist')


def test_no_schema(place: Place, postgres: Running) -> None:
    url = postgres.new_database()
    told(place, url, StoreMissing, "sidework db migrate")
    assert "db migrate" in refused(place, "db", "info")
    postgres.drop_database(url)


def test_a_schema_that_is_too_old(place: Place, database: str) -> None:
    execute(database, f"DELETE FROM sidework.migrations WHERE version > {len(migrations()) - 2}")
    told(place, database, SchemaMismatch, "run sidework db migrate")


def test_a_schema_that_is_too_new(place: Place, database: str) -> None:
    execute(database, f"INSERT INTO sidework.migrations VALUES ({len(migrations()) + 2})")
    told(place, database, SchemaMismatch, "upgrade Sidework")


def test_a_server_that_is_too_old(place: Place, database: str) -> None:
    """One cannot be had; so the code is told that what is here is."""
    place.url = database
    program = place.write(
        "old.py",
        """
        import sys
        from sidework.cli.main import main
        from sidework.store.postgres import connection
        connection.OLDEST_SERVER = 990_000
        sys.argv = ["sidework", "jobs", "list"]
        main()
        """,
    )
    done = place.python(str(program))
    assert (done.returncode, done.stdout) == (1, "")
    assert "is PostgreSQL" in done.stderr
    assert "needs 99 or newer" in done.stderr
    assert len(done.stderr.splitlines()) == 1


@pytest.mark.parametrize("encoding", ["LATIN1", "SQL_ASCII"])
def test_a_database_in_another_encoding(encoding: str, place: Place, postgres: Running) -> None:
    postgres.psql(
        f"CREATE DATABASE in_{encoding} ENCODING '{encoding}' TEMPLATE template0 LOCALE 'C'"
    )
    url = postgres.url(f"in_{encoding}".lower())
    told(place, url, StoreRefused, f"is in {encoding}")
    with pytest.raises(StoreRefused, match="ENCODING 'UTF8'"):
        open_store(url).migrate()
    postgres.drop_database(url)


# --- roles -------------------------------------------------------------------------------------------


@dataclass
class Role:
    name: str
    url: str


@pytest.fixture
def role(postgres: Running, database: str) -> Iterator[Role]:
    """One that may do nothing yet."""
    name = f"clerk_{os.getpid()}"
    execute(database, f"CREATE ROLE {name} LOGIN")
    yield Role(name, database.replace("postgres@", f"{name}@"))
    execute(database, f"DROP OWNED BY {name}", f"DROP ROLE {name}")


@pytest.mark.parametrize(
    ("grants", "reads"),
    [
        ([], True),
        (["USAGE ON SCHEMA sidework"], True),
        (["USAGE ON SCHEMA sidework", "SELECT ON ALL TABLES IN SCHEMA sidework"], False),
    ],
)
def test_a_role_without_rights(
    grants: list[str], reads: bool, place: Place, database: str, role: Role
) -> None:
    execute(database, *(f"GRANT {one} TO {role.name}" for one in grants))
    told(place, role.url, StoreRefused, "no right", reads=reads)
    store = open_store(role.url)
    if reads:  # else it sees that there is nothing to do
        with pytest.raises(StoreRefused, match=r"no right|may not change"):
            store.migrate()
    store.close()


def test_a_role_that_may_not_make_the_schema(postgres: Running, role: Role) -> None:
    store = open_store(f"{role.url}&schema=other")
    with pytest.raises(StoreRefused, match="may not change schema 'other'"):
        store.migrate()
    store.close()


def test_a_role_with_no_connection_left(place: Place, database: str, role: Role) -> None:
    execute(database, f"ALTER ROLE {role.name} CONNECTION LIMIT 1")
    with psycopg.connect(role.url):
        told(place, role.url, StoreUnavailable, "too many connections")


def test_a_server_with_no_connection_left(place: Place) -> None:
    settings = {"max_connections": "4", "superuser_reserved_connections": "3"}
    with Server(settings=settings) as server:
        migrate(server.url())
        execute(server.url(), "CREATE ROLE ann LOGIN", "GRANT ALL ON SCHEMA sidework TO ann")
        url = server.url().replace("postgres@", "ann@")

        def connected() -> psycopg.Connection[Any] | None:
            with suppress(psycopg.OperationalError):
                return psycopg.connect(url)
            return None

        # A closed connection keeps its place until its process has ended.
        with until(connected, "the one place"):
            told(place, url, StoreUnavailable, "try again")


def test_a_role_that_only_reads_by_default(place: Place, database: str, role: Role) -> None:
    execute(
        database,
        f"GRANT USAGE ON SCHEMA sidework TO {role.name}",
        f"GRANT ALL ON ALL TABLES IN SCHEMA sidework TO {role.name}",
        f"ALTER ROLE {role.name} SET default_transaction_read_only = on",
    )
    told(place, role.url, StoreRefused, "read-only", reads=False)
    place.url = role.url
    assert place.sidework("jobs", "list").returncode == 0


class Standby(Server):
    """A copy of a running server that follows it, and takes queries."""

    def __init__(self, primary: Server) -> None:
        self.primary = primary
        super().__init__(binaries=primary.binaries)

    def _make(self, auth: str) -> None:
        self.data.mkdir(mode=0o700)
        account().give(self.data)
        account().give(self.home.path)
        subprocess.run(
            [
                *account().prefix, self.binaries["pg_basebackup"], "--pgdata", self.data,
                "--host", self.primary.home.path, "--username", "postgres", "--write-recovery-conf",
                "--checkpoint=fast", "--no-sync",
            ],
            cwd=self.data, check=True, capture_output=True,
        )  # fmt: skip


def test_a_standby(place: Place) -> None:
    with Server() as primary:
        migrate(primary.url())
        with Standby(primary) as standby:
            told(place, standby.url(), StoreRefused, "read-only", reads=False)
            for words in (["jobs", "list"], ["db", "info"], ["workers"], ["queues", "list"]):
                done = place.sidework(*words)
                assert (done.returncode, done.stderr) == (0, "")
            worker = place.worker("shop", ready=False)
            assert worker.process.wait(20) == 1
            assert "read-only" in worker.said.splitlines()[-1]


# --- the caller's connection -------------------------------------------------------------------------


@pytest.fixture
def app(database: str) -> Iterator[Sidework]:
    made = Sidework(database)
    yield made
    made.close()


def add(a: int) -> int:
    return a + 1


def test_a_connection_in_an_aborted_transaction(app: Sidework, database: str) -> None:
    task = app.task(add)
    with psycopg.connect(database) as connection:
        with pytest.raises(psycopg.errors.UndefinedTable):
            connection.execute("SELECT * FROM nothing")
        with pytest.raises(StoreRefused, match="aborted transaction: roll back first"):
            task.options(connection=connection).enqueue(1)
        connection.rollback()
        task.options(connection=connection).enqueue(2)
    (kept,) = app.jobs()
    assert kept.arguments == {"a": 2}


def test_a_connection_in_autocommit(app: Sidework, database: str) -> None:
    task = app.task(add)
    with psycopg.connect(database, autocommit=True) as connection:
        kept = task.options(connection=connection).enqueue(1)
        assert [job.id for job in app.jobs()] == [kept.id]

    async def scenario() -> str:
        connecting = psycopg.AsyncConnection.connect(database, autocommit=True)
        async with await connecting as connection:
            return (await task.options(connection=connection).aenqueue(2)).id

    assert asyncio.run(scenario()) in [job.id for job in app.jobs()]


def test_a_callers_texts_in_another_encoding(app: Sidework, database: str) -> None:
    task = app.task(add)
    with psycopg.connect(database, client_encoding="latin1") as connection:
        task.options(connection=connection, tags=("é",)).enqueue(1)
        with pytest.raises(StoreError, match="client_encoding"):
            task.options(connection=connection, tags=("€",)).enqueue(2)
    assert [job.tags for job in app.jobs()] == [("é",)]
