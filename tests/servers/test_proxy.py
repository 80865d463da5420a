"""The proxy does what it is told, counts it, and does it again from the same seed."""

from __future__ import annotations

import functools
import itertools
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import psycopg
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from . import wire
from .plan import Plan
from .proxy import Proxy, named
from .running import Running
from .waiting import until

LOST = psycopg.OperationalError


@pytest.fixture(params=["tcp", "unix"])
def proxy(request: pytest.FixtureRequest, postgres: Running) -> Iterator[Proxy]:
    with Proxy(postgres, unix=request.param == "unix") as running:
        yield running


Connect = Callable[..., psycopg.Connection[tuple[Any, ...]]]


def through(proxy: Proxy, database: str) -> Connect:
    """Makes connections to the database through the proxy."""
    return functools.partial(
        psycopg.connect, database,
        host=proxy.endpoint.host, port=proxy.endpoint.port, autocommit=True,
    )  # fmt: skip


@pytest.fixture(scope="module")
def written(postgres: Running) -> Iterator[str]:
    """The database of this file."""
    url = postgres.new_database()
    with psycopg.connect(url) as direct:
        direct.execute("CREATE TABLE t (n int PRIMARY KEY)")
    yield url
    postgres.drop_database(url)


@pytest.fixture
def database(written: str) -> str:
    """With an empty table ``t``."""
    with psycopg.connect(written) as direct:
        direct.execute("TRUNCATE t")
    return written


@pytest.fixture
def connect(proxy: Proxy, database: str) -> Connect:
    return through(proxy, database)


def numbers(database: str) -> list[int]:
    """What is stored, seen past the proxy."""
    with psycopg.connect(database) as direct:
        return [n for (n,) in direct.execute("SELECT n FROM t ORDER BY n")]


MESSAGES = st.lists(
    st.tuples(st.sampled_from("QSPBDEdc"), st.binary(max_size=20)), min_size=1, max_size=8
)


@settings(max_examples=50, deadline=None)
@given(MESSAGES, st.lists(st.integers(0, 200), max_size=8))
def test_messages_are_found_whatever_the_chunks(
    said: list[tuple[str, bytes]], cuts: list[int]
) -> None:
    raw = [kind.encode() + (4 + len(body)).to_bytes(4) + body for kind, body in said]
    startup = (8 + 12).to_bytes(4) + (196608).to_bytes(4) + b"user\0me\0\0\0\0\0"
    stream = startup + b"".join(raw)
    places = [0, *sorted(min(cut, len(stream)) for cut in cuts), len(stream)]
    framing = wire.Requests()
    found = [
        message
        for start, stop in itertools.pairwise(places)
        for message in framing.feed(stream[start:stop])
    ]
    assert [message.raw for message in found] == [startup, *raw]
    assert wire.parameters(found[0])["user"] == "me"


def test_what_is_not_told_otherwise_passes(connect: Connect, database: str) -> None:
    with connect() as connection:
        with connection.cursor().copy("COPY t FROM STDIN") as copy:
            for n in range(1000):
                copy.write_row([n])
        with connection.cursor().copy("COPY t TO STDOUT") as copy:
            assert len(list(copy.rows())) == 1000
        with connection.pipeline():
            cursors = [connection.execute("SELECT %s::int + 1", [n]) for n in range(20)]
        assert [cursor.fetchone() for cursor in cursors] == [(n + 1,) for n in range(20)]
        with pytest.raises(psycopg.errors.UniqueViolation):
            connection.execute("INSERT INTO t VALUES (1)")
        with connection.transaction():
            connection.execute("SELECT repeat('x', 200000)")
        connection.execute("LISTEN bell")
        with psycopg.connect(database, autocommit=True) as direct:
            direct.execute("NOTIFY bell")
        assert [bell.channel for bell in connection.notifies(timeout=20, stop_after=1)] == ["bell"]


def test_a_stall_holds_old_and_new_connections_until_it_heals(
    proxy: Proxy, connect: Connect, database: str
) -> None:
    with connect() as old, ThreadPoolExecutor() as pool:
        proxy.stall()
        answers = [
            pool.submit(old.execute, "INSERT INTO t VALUES (1)"),
            pool.submit(lambda: connect().execute("INSERT INTO t VALUES (2)")),
        ]
        until(lambda: proxy.landed["stall"] == 2, "both in the stall")
        assert numbers(database) == []
        proxy.heal()
        for answer in answers:
            answer.result(20)
    assert numbers(database) == [1, 2]


def test_a_stalled_reply_is_of_a_request_that_arrived(
    proxy: Proxy, connect: Connect, database: str
) -> None:
    with connect() as connection, ThreadPoolExecutor() as pool:
        proxy.stall("reply")
        answer = pool.submit(connection.execute, "INSERT INTO t VALUES (1)")
        until(lambda: numbers(database) == [1], "the row")
        assert not answer.done()
        proxy.heal()
        answer.result(20)


def test_one_connection_is_stalled_by_its_name(proxy: Proxy, connect: Connect) -> None:
    with (
        connect(application_name="pulse") as pulse,
        connect(application_name="command") as command,
        ThreadPoolExecutor() as pool,
    ):
        proxy.stall(only=named("pulse"))
        answer = pool.submit(pulse.execute, "SELECT 1")
        assert command.execute("SELECT 2").fetchone() == (2,)
        until(lambda: proxy.landed["stall"] == 1, "the stall of one")
        assert not answer.done()
        proxy.heal()
        assert answer.result(20).fetchone() == (1,)


def test_the_reply_to_an_autocommit_statement_is_swallowed(
    proxy: Proxy, connect: Connect, database: str
) -> None:
    with connect() as connection:
        proxy.swallow()
        with pytest.raises(psycopg.errors.UndefinedTable):
            connection.execute("INSERT INTO nowhere VALUES (1)")  # commits nothing: told
        with pytest.raises(LOST):
            connection.execute("INSERT INTO t VALUES (1)")
    assert numbers(database) == [1]
    assert [(each.kind, each.tag) for each in proxy.history] == [("swallow", "INSERT 0 1")]


def test_the_reply_to_a_commit_is_swallowed_and_those_before_it_are_not(
    proxy: Proxy, connect: Connect, database: str
) -> None:
    with connect(autocommit=False) as connection:
        proxy.swallow()
        assert connection.execute("INSERT INTO t VALUES (1)").rowcount == 1
        with pytest.raises(LOST):
            connection.commit()
    assert numbers(database) == [1]
    assert proxy.history[0].tag == "COMMIT"
    with connect() as connection:
        connection.execute("INSERT INTO t VALUES (2)")  # it was for one


def test_connections_are_reset_with_what_is_in_flight(proxy: Proxy, connect: Connect) -> None:
    with connect() as connection, ThreadPoolExecutor() as pool:
        proxy.stall("reply")
        answer = pool.submit(connection.execute, "SELECT 1")
        until(lambda: proxy.landed["stall"] == 1, "the answer in the stall")
        assert proxy.reset() == 1
        with pytest.raises(LOST):
            answer.result(20)
        proxy.heal()
        with connect() as again:
            assert again.execute("SELECT 1").fetchone() == (1,)
    assert proxy.landed["reset in flight"] == 1


def test_an_answer_breaks_off_after_so_many_bytes(
    proxy: Proxy, connect: Connect, database: str
) -> None:
    with connect() as connection:
        proxy.cut(7)
        with pytest.raises(LOST):
            connection.execute("INSERT INTO t VALUES (1) RETURNING n")
    with connect() as connection:
        proxy.cut(7, "request")
        with pytest.raises(LOST):
            connection.execute("INSERT INTO t VALUES (2)")
    assert numbers(database) == [1]
    assert proxy.landed["cut"] == 2


def test_refused_until_it_heals(proxy: Proxy, connect: Connect) -> None:
    with connect() as there:
        proxy.refuse()
        with pytest.raises(LOST):
            connect()
        assert there.execute("SELECT 1").fetchone() == (1,)
        proxy.heal()
        connect().close()


def test_a_delay_is_one_of_each_piece(proxy: Proxy, connect: Connect) -> None:
    with connect() as connection:
        proxy.delay(0.01)
        connection.execute("SELECT 1")
    assert proxy.landed["latency"] == 2


def insert_all(connect: Connect, count: int) -> set[int]:
    """Insert numbers, each again until it is acknowledged; those that failed at first."""
    connection, failed = connect(application_name="one"), set()
    for n in range(count):
        while True:
            try:
                connection.execute("INSERT INTO t VALUES (%s) ON CONFLICT DO NOTHING", [n])
                break
            except LOST:
                failed.add(n)
                connection.close()
                connection = connect(application_name="one")
    connection.close()
    return failed


def test_a_notification_gets_lost_until_it_heals(proxy: Proxy, connect: Connect) -> None:
    with connect() as listener, connect() as ringer:
        listener.execute("LISTEN bell")
        proxy.deafen()
        ringer.execute("NOTIFY bell, 'one'")
        until(lambda: proxy.landed["unheard"] == 1, "the notification's end")
        assert listener.execute("SELECT 7").fetchone() == (7,)
        proxy.heal()
        ringer.execute("NOTIFY bell, 'two'")
        assert [heard.payload for heard in listener.notifies(timeout=20, stop_after=1)] == ["two"]


def test_a_plan_replays(postgres: Running, database: str) -> None:
    plan = Plan(7, swallow=0.1, cut=0.1, reset=0.1, delay=0.1, longest=0.002)
    runs = []
    for _ in range(2):
        with psycopg.connect(database) as direct:
            direct.execute("TRUNCATE t")
        with Proxy(postgres, plan) as proxy:
            runs.append((insert_all(through(proxy, database), 60), proxy.history))
        assert numbers(database) == list(range(60))
    assert runs[0] == runs[1]
    assert {each.kind for each in runs[0][1]} == {"swallow", "cut", "reset", "delay"}


def test_a_plan_can_be_for_certain_commands(proxy: Proxy, connect: Connect, database: str) -> None:
    proxy.follow(Plan(1, swallow=1.0, tags=frozenset({"COMMIT"})))
    with connect() as connection:
        connection.execute("INSERT INTO t VALUES (1)")
        with pytest.raises(LOST), connection.transaction():
            connection.execute("INSERT INTO t VALUES (2)")
    assert numbers(database) == [1, 2]


def test_a_request_fails_at_the_server_in_place_of_what_was_asked(
    postgres: Running, database: str
) -> None:
    with Proxy(postgres, Plan(1, fail=1.0)) as proxy, through(proxy, database)() as connection:
        for values in (None, [1], [2]):  # a Query; a Parse with what follows
            with pytest.raises(
                (psycopg.errors.SerializationFailure, psycopg.errors.DeadlockDetected)
            ):
                connection.execute(
                    "INSERT INTO t VALUES (%s)" if values else "INSERT INTO t VALUES (0)", values
                )
        connection.execute("BEGIN")
        proxy.follow(None)
        connection.execute("INSERT INTO t VALUES (3)")
        proxy.follow(Plan(1, fail=1.0))
        with pytest.raises((psycopg.errors.SerializationFailure, psycopg.errors.DeadlockDetected)):
            connection.execute("COMMIT")
        assert connection.info.transaction_status == psycopg.pq.TransactionStatus.INERROR
        connection.execute("ROLLBACK")
        assert proxy.landed["fail"] == 4
    assert numbers(database) == []
