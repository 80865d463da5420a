"""The PostgreSQL server of the tests: it comes, hangs and goes as told, and never outlives its owner."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from time import perf_counter

import psycopg
import pytest

from .binaries import server_versions
from .endpoint import Endpoint
from .guardian import processes_of
from .postgres import Server
from .running import Running
from .waiting import until

TESTS = Path(__file__).parents[1]


@pytest.fixture(scope="module", params=server_versions().values(), ids=lambda of: f"v{of.version}")
def server(request: pytest.FixtureRequest) -> Iterator[Server]:
    """One of each version, whose tests may stop it but leave it running."""
    with Server(binaries=request.param) as running:
        yield running


def test_it_is_the_version_that_was_asked_for(server: Server) -> None:
    ((number,),) = server.psql("SHOW server_version_num")
    assert int(number) // 10_000 == server.binaries.version >= 14


def test_a_database_comes_quickly_and_goes_with_its_connections(server: Server) -> None:
    server.drop_database(server.new_database())
    begun = perf_counter()
    url = server.new_database()
    took = perf_counter() - begun
    with psycopg.connect(url) as connection:
        connection.execute("CREATE TABLE t (n int)")
        server.drop_database(url)
        with pytest.raises(psycopg.OperationalError):
            connection.execute("SELECT 1")
    assert took < 5.0  # 0.03 s by itself; the machine may be busy


def test_a_database_can_be_a_copy(server: Server) -> None:
    first = server.new_database()
    name = first.partition("/t")[2].partition("?")[0]
    server.psql("CREATE TABLE t AS SELECT 7 AS n", database=f"t{name}")
    copy = server.new_database(template=f"t{name}")
    with psycopg.connect(copy) as connection:
        assert connection.execute("SELECT n FROM t").fetchall() == [(7,)]


@pytest.mark.parametrize("mode", ["fast", "immediate", "kill"])
def test_what_was_acknowledged_is_there_after_a_restart(server: Server, mode: str) -> None:
    server.psql("CREATE TABLE IF NOT EXISTS kept (mode text)")
    server.psql("INSERT INTO kept VALUES (%s)", mode)
    server.restart(mode)  # type: ignore[arg-type]
    assert server.psql("SELECT count(*) FROM kept WHERE mode = %s", mode) == [(1,)]


def test_a_smart_stop_waits_for_its_clients(server: Server) -> None:
    with psycopg.connect(server.url()) as connection:
        assert server.process is not None
        server.process.send_signal(signal.SIGTERM)

        def refused() -> bool:
            try:
                psycopg.connect(server.url()).close()
            except psycopg.OperationalError:
                return True
            return False

        until(refused, "the refusal of new clients")
        assert connection.execute("SELECT 1").fetchone() == (1,)
    server.process.wait(20)
    server.start()


def test_a_paused_server_answers_when_it_goes_on(server: Server) -> None:
    with psycopg.connect(server.url()) as connection, ThreadPoolExecutor() as pool:
        server.pause()
        answer = pool.submit(connection.execute, "SELECT 7")
        assert {process.status() for process in processes_of(server.data)} == {"stopped"}
        assert not answer.done()
        server.resume()
        assert answer.result(20).fetchone() == (7,)


def test_a_paused_server_can_be_stopped(server: Server) -> None:
    server.pause()
    server.restart("immediate")
    assert server.psql("SELECT 1") == [(1,)]


def test_backends_are_killed_by_choice(server: Server) -> None:
    with (
        psycopg.connect(server.url(application_name="doomed")) as doomed,
        psycopg.connect(server.url(application_name="spared")) as spared,
    ):
        assert server.kill_backends("application_name = %s", "doomed") == 1
        with pytest.raises(psycopg.OperationalError):
            doomed.execute("SELECT 1")
        assert spared.execute("SELECT 1").fetchone() == (1,)


def test_one_of_ones_own_is_as_it_was_ordered(tmp_path: Path) -> None:
    """Its folder, its settings, waiting for the disk, passwords, TCP."""
    ordered = Server(
        tmp_path / "kept", durable=True, settings={"work_mem": "1MB"}, auth="scram-sha-256"
    )
    with ordered as server:
        assert (tmp_path / "kept" / "data" / "PG_VERSION").exists()
        names = ("fsync", "full_page_writes", "synchronous_commit", "work_mem", "listen_addresses")
        values = [server.psql(f"SHOW {name}")[0][0] for name in names]
        assert values == ["on", "on", "on", "1MB", ""]
        there = server.listen()
        with psycopg.connect(there.url()) as connection:
            assert connection.info.host == "127.0.0.1"
        with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
            psycopg.connect(there.url().replace("of-the-tests", "wrong"))
    assert not (tmp_path / "kept" / "data").exists()


OWNER = """
from servers.postgres import Server
server = Server()
server.start()
print(server.home.path, flush=True)
input()
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_it_ends_with_its_owner(number: int) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", OWNER], cwd=TESTS, text=True,
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
    ) as owner:  # fmt: skip
        assert owner.stdout is not None
        home = Path(owner.stdout.readline().strip())
        assert processes_of(home)
        owner.send_signal(number)
    until(lambda: not home.exists(), "the end of the folder")
    assert not processes_of(home)


SHARER = """
from servers.binaries import newest
from servers.shared import shared
server = shared(newest())
print(server.endpoint.host, flush=True)
input()
"""


def test_a_run_of_several_workers_shares_one_server_to_the_last() -> None:
    def sharer() -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, "-c", SHARER], cwd=TESTS, text=True,
            env={**os.environ, "PYTEST_XDIST_TESTRUNUID": f"try{os.getpid()}"},
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
        )  # fmt: skip

    def end(process: subprocess.Popen[str]) -> None:
        process.kill()
        process.communicate()

    workers = [sharer() for _ in range(2)]
    homes = {worker.stdout.readline().strip() for worker in workers if worker.stdout}
    (home,) = map(Path, homes)
    end(workers[0])
    assert Running(Endpoint(str(home), 5432)).psql("SELECT 1") == [(1,)]
    end(workers[1])
    until(lambda: not home.exists(), "the end of the folder")


def test_the_fixture_gives_an_empty_database(database: str, postgres: Running) -> None:
    with psycopg.connect(database) as connection:
        rows = connection.execute(
            "SELECT count(*) FROM pg_tables WHERE schemaname NOT IN ('pg_catalog', 'information_schema')"
        ).fetchall()
    assert rows == [(0,)]
