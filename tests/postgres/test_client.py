"""A client beside a server: forks, threads, lost answers, a server that restarts, its own sudden end."""

from __future__ import annotations

import asyncio
import contextlib
import multiprocessing
import os
import select
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest

from conftest import Place, until
from e2e.conftest import loaded
from servers.postgres import Server
from servers.proxy import Proxy
from servers.running import Running
from sidework.errors import StoreRefused
from sidework.ids import parse_id
from sidework.store.opening import open_store

EXAMPLES = Path(__file__).parents[2] / "examples"


def made(url: str) -> str:
    """The URL of a new schema in this database."""
    store = open_store(f"{url}&schema=shop&lease=4s")
    store.migrate()
    store.close()
    return store.url


@pytest.fixture
def shop(place: Place, database: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """The app of the end-to-end tests on a database of its own."""
    place.url = made(database)
    monkeypatch.setenv("SIDEWORK_URL", place.url)
    with loaded(place, "ways") as module:
        yield module


def connections(url: str) -> int:
    """How many of ours the server sees in this database."""
    with psycopg.connect(url.partition("&schema")[0], application_name="the test") as looks:
        row = looks.execute(
            "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() "
            "AND application_name LIKE 'sidework%'"
        ).fetchone()
    assert row is not None
    return int(row[0])


def forked(act: Callable[[], object]) -> int:
    """Run it in a forked child; its exit code. One that hangs, be it in the fork itself, is killed."""
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            act()
            code = 0
        finally:
            os._exit(code)
    ended = (0, 0)
    try:
        ended = until(lambda: _or_none(os.waitpid(pid, os.WNOHANG)), "the child's end")
    finally:
        if not ended[0]:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
    return os.waitstatus_to_exitcode(ended[1])


def _or_none(ended: tuple[int, int]) -> tuple[int, int] | None:
    return ended if ended[0] else None


def test_a_thousand_waiters_cost_two_connections(shop: Any) -> None:
    async def main() -> int:
        jobs = [await shop.coroutine.aenqueue(n) for n in range(1000)]
        waiting = [asyncio.create_task(job.aresult(timeout=30)) for job in jobs]
        while len(shop.app.waiter._waiting) < 1000:
            await asyncio.sleep(0)
        assert connections(shop.app.url) <= 2
        async with shop.app.worker():
            return sum(await asyncio.gather(*waiting))

    assert asyncio.run(main()) == sum(range(1, 1001))


def test_threads_share_what_is_open(shop: Any) -> None:
    def enqueue(n: int) -> None:
        for m in range(20):
            shop.thread.enqueue(n * 100 + m)

    threads = [threading.Thread(target=enqueue, args=(n,)) for n in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(1 for _ in shop.app.jobs()) == 320
    assert connections(shop.app.url) <= 2


def test_closed_it_leaves_nothing_and_opens_again(shop: Any) -> None:
    first = shop.thread.enqueue(1)
    shop.app.close()
    until(lambda: connections(shop.app.url) == 0, "the end of its connections")
    assert shop.app.job(first.id).state == "available"
    with shop.app.worker():
        assert shop.thread.enqueue(2).result(timeout=20) == 3


def test_a_pool_of_forked_processes_enqueues(shop: Any) -> None:
    """FAULTS row 31: with the parent's pulse at work, since something waits in it."""
    job = shop.thread.enqueue(0)
    waits = threading.Thread(target=job.wait, kwargs={"timeout": 30})
    waits.start()
    with multiprocessing.get_context("fork").Pool(3) as pool:
        ids = pool.map(enqueue_in_child, range(12))
    assert len(set(ids)) == 12
    with shop.app.worker():
        assert {shop.app.job(one).result(timeout=20) for one in ids} == {8}
        waits.join()


def test_a_forked_child_waits_for_no_lock_of_its_parents_threads(shop: Any) -> None:
    """FAULTS row 31: the pulse and who waits were just at work, and are not there to go on."""
    job = shop.thread.enqueue(0)
    waits = threading.Thread(target=job.wait, kwargs={"timeout": 30})
    waits.start()
    until(lambda: shop.app.store._pulse._bells, "a bell for the result")

    (bell,) = shop.app.store._pulse._bells
    for lock in (bell._lock, shop.app.store._pulse._lock, shop.app.waiter._lock):
        with lock:
            code = forked(lambda: shop.thread.enqueue(1))
        assert code == 0
    with shop.app.worker():
        waits.join()
    assert len(list(shop.app.jobs())) == 4


def enqueue_in_child(_: int) -> str:
    return str(sys.modules["ways"].thread.enqueue(7).id)  # type: ignore[attr-defined]


def test_a_fork_within_a_transaction_leaves_it_to_the_parent(shop: Any) -> None:
    """FAULTS row 31: whatever the child does at the end of the block, the transaction is not its own."""
    with shop.app.transaction() as connection:
        kept = shop.thread.options(connection=connection).enqueue(1)

        def leaves_by_an_error() -> None:
            with contextlib.suppress(ZeroDivisionError), inherited(shop.app, connection):
                _ = 1 / 0

        assert forked(leaves_by_an_error) == 0
        also = shop.thread.options(connection=connection).enqueue(2)
    assert {row.id for row in shop.app.jobs()} == {kept.id, also.id}


@contextlib.contextmanager
def inherited(app: Any, connection: Any) -> Iterator[None]:
    """In the child: what an enqueue of its own says there, and then the block's body."""
    with pytest.raises(StoreRefused, match="in a transaction of the store"):
        app.store.insert([])
    yield


def test_a_child_that_walks_out_of_the_block_commits_nothing(shop: Any) -> None:
    parent = os.getpid()
    with contextlib.suppress(StoreRefused), shop.app.transaction() as connection:
        kept = shop.thread.options(connection=connection).enqueue(1)
        pid = os.fork()
        if pid:
            assert os.waitpid(pid, 0)[1] == 0
            assert shop.app.store.get([parse_id(kept.id)]) == [None]
            also = shop.thread.options(connection=connection).enqueue(2)
    if os.getpid() != parent:
        os._exit(0)
    assert {row.id for row in shop.app.jobs()} == {kept.id, also.id}


def test_an_answer_lost_after_the_commit_stores_one_job(place: Place, postgres: Running) -> None:
    """I12: the statement is sent again, and the caller is none the wiser."""
    database = postgres.new_database()
    made(database)
    name = psycopg.conninfo.conninfo_to_dict(database)["dbname"]
    with Proxy(postgres) as proxy:
        place.url = proxy.url(str(name), schema="shop")
        os.environ["SIDEWORK_URL"] = place.url
        try:
            with loaded(place, "ways") as shop:
                shop.thread.enqueue(0)
                ids = set()
                for n in range(3):
                    proxy.swallow(1)
                    ids.add(shop.thread.enqueue(n).id)
                assert sum(proxy.landed.values()) >= 3
                assert ids < {row.id for row in shop.app.jobs()}
                assert sum(1 for _ in shop.app.jobs()) == 4
        finally:
            del os.environ["SIDEWORK_URL"]
    postgres.drop_database(database)


def test_who_waits_outlives_a_restart_of_the_server(
    place: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Server(tmp_path / "server") as server:
        place.url = made(server.new_database())
        monkeypatch.setenv("SIDEWORK_URL", place.url)
        with loaded(place, "ways") as shop:
            job = shop.thread.enqueue(1)
            told: list[int] = []
            waits = threading.Thread(target=lambda: told.append(job.result(timeout=60)))
            waits.start()
            server.restart("immediate")
            with shop.app.worker():
                waits.join()
                assert told == [2]
                assert shop.thread.enqueue(2).result(timeout=20) == 3


def test_a_program_that_ends_at_once_has_rung(shop: Any, place: Place) -> None:
    """I10 would find the job without it, a second later."""
    store = open_store(shop.app.url)
    bell = store.listen("work")
    until(lambda: store._pulse.hears, "the ear")
    done = place.python("-c", "import ways; ways.thread.enqueue(1)")
    assert done.returncode == 0, done.stderr
    assert select.select([bell.fileno()], [], [], 20)[0]
    assert bell.read()
    bell.close()
    store.close()


def test_an_interrupted_statement_leaves_the_store_usable(shop: Any) -> None:
    """Control-C while another holds the row: the statement is given up, the connection is not in doubt."""
    job = shop.thread.enqueue(1)
    plain = shop.app.url.partition("&schema")[0]
    with psycopg.connect(plain) as holder:
        holder.execute("SELECT 1 FROM shop.jobs FOR UPDATE")
        blocked = threading.Thread(target=interrupt_once_blocked, args=(plain,))
        blocked.start()
        with pytest.raises(KeyboardInterrupt):
            shop.app.store.cancel(parse_id(job.id), "by hand")
        blocked.join()
        assert shop.thread.enqueue(2).state == "available"
    assert job.cancel()
    assert job.state == "cancelled"


def interrupt_once_blocked(url: str) -> None:
    with psycopg.connect(url, autocommit=True) as looks:

        def blocked() -> bool:
            row = looks.execute(
                "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() "
                "AND wait_event_type = 'Lock'"
            ).fetchone()
            return row is not None and row[0] >= 1

        until(blocked, "a statement that waits")
    os.kill(os.getpid(), signal.SIGINT)


def test_hello_and_the_demo_run_by_the_url_alone(place: Place, database: str) -> None:
    place.url = made(database)
    place.write("hello.py", (EXAMPLES / "hello.py").read_text())
    done = place.python("hello.py")
    assert done.stdout == "5\n", done.stderr
    assert not list(place.folder.glob("*.db"))
    listed = place.sidework("jobs", "list").stdout.splitlines()[1:]
    assert [line.split("\t")[1] for line in listed] == ["hello:add"]
