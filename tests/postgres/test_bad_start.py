"""A worker that cannot begin: it waits for what comes by itself, says so once, and ends for the rest."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from urllib.parse import quote

import psycopg
import pytest
from psycopg import sql

from commands import SHOP
from conftest import Place, Worker, until
from servers.postgres import Server
from servers.running import Running
from sidework import Sidework, StoreMissing, StoreUnavailable
from sidework.store.opening import open_store
from sidework.store.postgres.connection import migrations


@pytest.fixture
def shop(place: Place, postgres: Running) -> Iterator[Place]:
    place.write("shop.py", SHOP)
    place.url = postgres.new_database()
    yield place
    place.close()
    postgres.drop_database(place.url)


def migrate(url: str) -> None:
    store = open_store(url)
    store.migrate()
    store.close()


def ends(place: Place, words: str) -> None:
    """At once, with one line and exit code 1."""
    worker = place.worker("shop", ready=False)
    assert worker.process.wait(30) == 1
    lines = worker.said.strip().splitlines()
    assert len(lines) == 1, worker.said
    assert lines[0].startswith("sidework: ")
    assert words in lines[0]


def waits(worker: Worker, words: str) -> None:
    """It says what for; once, however often it looks."""
    worker.says(f"waiting: .*{words}")


def works(worker: Worker, place: Place) -> None:
    worker.says("ready for")
    assert worker.said.count("waiting: ") == len(set(worker.said.split("waiting: ")[1:]))
    assert "Traceback" not in worker.said
    done = place.sidework("run", "shop:add", "2", "--wait", "--timeout", "30s")
    assert (done.returncode, done.stdout.strip()) == (0, "3")
    assert worker.stop() == 0


def test_it_waits_for_the_schema(shop: Place) -> None:
    worker = shop.worker("shop", ready=False)
    waits(worker, "run sidework db migrate")
    migrate(shop.url)
    works(worker, shop)


def test_it_waits_for_the_server(shop: Place) -> None:
    with Server() as server:
        migrate(server.url())
        server.stop()
        url, shop.url = shop.url, server.url()
        worker = shop.worker("shop", ready=False)
        waits(worker, "cannot be reached")
        server.start()
        works(worker, shop)
        shop.url = url


def test_while_it_waits_it_can_be_stopped(shop: Place) -> None:
    with socket.create_server(("127.0.0.1", 0)) as hole:
        url, shop.url = shop.url, f"postgresql://127.0.0.1:{hole.getsockname()[1]}/shop"
        worker = shop.worker("shop", ready=False)
        waits(worker, "cannot be reached")
        assert worker.stop() == 0
        shop.url = url


def test_it_waits_for_a_connection(shop: Place, postgres: Running) -> None:
    migrate(shop.url)
    postgres.psql("CREATE ROLE crowded LOGIN SUPERUSER CONNECTION LIMIT 3")
    postgres.psql("ALTER ROLE crowded NOSUPERUSER")
    with psycopg.connect(shop.url, autocommit=True) as connection:
        connection.execute("GRANT USAGE ON SCHEMA sidework TO crowded")
        connection.execute("GRANT ALL ON ALL TABLES IN SCHEMA sidework TO crowded")
    url, shop.url = shop.url, shop.url.replace("//postgres@", "//crowded@")
    try:
        with psycopg.connect(shop.url), psycopg.connect(shop.url), psycopg.connect(shop.url):
            worker = shop.worker("shop", ready=False)
            waits(worker, "too many connections")
        worker.says("ready for")
        assert worker.stop() == 0
    finally:
        shop.url = url
        with psycopg.connect(url, autocommit=True) as connection:
            until(lambda: not rows(connection), "the end of the worker's connections")
            connection.execute("DROP OWNED BY crowded")
            connection.execute("DROP ROLE crowded")


def rows(connection: psycopg.Connection[tuple[object, ...]]) -> list[tuple[object, ...]]:
    return connection.execute("SELECT FROM pg_stat_activity WHERE usename = 'crowded'").fetchall()


def test_a_wrong_password_ends_it(shop: Place) -> None:
    with Server(auth="scram-sha-256") as server:
        port = server.listen().port
        url, secret = shop.url, "hun/ter2"
        shop.url = f"postgresql://postgres:{quote(secret, safe='')}@127.0.0.1:{port}/postgres"
        ends(shop, "refuses the login")
        shop.url = url


def test_a_schema_that_does_not_fit_ends_it(shop: Place) -> None:
    migrate(shop.url)
    with psycopg.connect(shop.url, autocommit=True) as connection:
        connection.execute("INSERT INTO sidework.migrations VALUES (%s)", [len(migrations()) + 2])
    ends(shop, "upgrade Sidework")


def test_a_role_without_rights_ends_it(shop: Place, postgres: Running) -> None:
    migrate(shop.url)
    postgres.psql("CREATE ROLE intern LOGIN")
    url, shop.url = shop.url, shop.url.replace("//postgres@", "//intern@")
    ends(shop, "no right")
    shop.url = url
    postgres.psql("DROP ROLE intern")


def test_a_role_that_may_not_connect_ends_it(shop: Place, postgres: Running) -> None:
    base = sql.Identifier(psycopg.conninfo.conninfo_to_dict(shop.url)["dbname"])  # type: ignore[arg-type]
    postgres.psql(sql.SQL("REVOKE CONNECT ON DATABASE {} FROM PUBLIC").format(base))
    postgres.psql("CREATE ROLE outsider LOGIN")
    url, shop.url = shop.url, shop.url.replace("//postgres@", "//outsider@")
    ends(shop, "its right to CONNECT")
    shop.url = url
    postgres.psql("DROP ROLE outsider")


def test_what_only_reads_ends_it(shop: Place, postgres: Running) -> None:
    migrate(shop.url)
    base = sql.Identifier(psycopg.conninfo.conninfo_to_dict(shop.url)["dbname"])  # type: ignore[arg-type]
    postgres.psql(sql.SQL("ALTER DATABASE {} SET default_transaction_read_only = on").format(base))
    ends(shop, "read-only")


def test_a_worker_in_a_program_does_not_wait(shop: Place) -> None:
    """Whoever starts it is told."""
    app = Sidework(shop.url)
    with pytest.raises(StoreMissing, match="db migrate"), app.worker():
        pass
    app.close()
    app = Sidework("postgresql://127.0.0.1:1/shop")
    with pytest.raises(StoreUnavailable, match="cannot be reached"), app.worker():
        pass
    app.close()
