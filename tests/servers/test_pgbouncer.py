"""PgBouncer stands before the server as it would in production: sessions are not kept."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import psycopg
import pytest

from .pgbouncer import PgBouncer, why_not
from .running import Running
from .waiting import until

pytestmark = pytest.mark.skipif(why_not() is not None, reason=why_not() or "")


@pytest.fixture(scope="module")
def pooler(postgres: Running) -> Iterator[PgBouncer]:
    with PgBouncer(postgres, pool_size=1) as running:
        yield running


def _name(url: str) -> str:
    return str(psycopg.conninfo.conninfo_to_dict(url)["dbname"])


def test_clients_share_the_connections_of_its_pool(pooler: PgBouncer, database: str) -> None:
    url = pooler.url(_name(database))
    with (
        psycopg.connect(url, autocommit=True) as one,
        psycopg.connect(url, autocommit=True) as two,
    ):
        pids = [
            each.execute("SELECT pg_backend_pid()", prepare=False).fetchone() for each in (one, two)
        ]
        assert pids[0] == pids[1]
        assert pids[0] != (one.info.backend_pid,)


def test_a_transaction_has_its_connection_to_itself(pooler: PgBouncer, database: str) -> None:
    url = pooler.url(_name(database))

    def waiting() -> bool:
        pools = [
            pool for pool in pooler.console("SHOW POOLS") if pool["database"] == _name(database)
        ]
        return [pool["cl_waiting"] for pool in pools] == [1]

    with psycopg.connect(url) as one, psycopg.connect(url) as two, ThreadPoolExecutor() as pool:
        one.execute("CREATE TABLE t AS SELECT 7 AS n")
        answer = pool.submit(two.execute, "SELECT n FROM t")
        until(waiting, "the second client's wait for the one connection of the pool")
        one.commit()
        assert answer.result(20).fetchone() == (7,)


def test_a_listener_hears_nothing_once_its_session_is_gone(
    pooler: PgBouncer, database: str, postgres: Running
) -> None:
    """What a pooler in this mode costs: the session that listened is not the client's, and when it
    ends the client is not told."""
    with psycopg.connect(pooler.url(_name(database)), autocommit=True) as listener:
        listener.execute("LISTEN bell", prepare=False)
        listening = "SELECT pg_listening_channels()"
        assert listener.execute(listening, prepare=False).fetchall() == [("bell",)]
        assert postgres.kill_backends("datname = %s", _name(database)) == 1
        until(
            lambda: (
                _name(database) not in {each["database"] for each in pooler.console("SHOW SERVERS")}
            ),
            "PgBouncer's notice of the end",
        )
        assert listener.execute(listening, prepare=False).fetchall() == []
