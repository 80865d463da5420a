"""The SQLite store as a whole: forks and threads, life files and paths, what may take long, who is met."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import apsw
import pytest

from conftest import PATIENCE, Place, until
from sidework.errors import StoreError, StoreRefused, StoreUnavailable
from sidework.ids import new_id
from sidework.job import JobFilter, NewJob
from sidework.outcome import Outcome
from sidework.state import State
from sidework.store.protocol import RETENTION, Demand
from sidework.store.sqlite import connection as opening
from sidework.store.sqlite import pruning
from sidework.store.sqlite.connection import migrations, open_connection
from sidework.store.sqlite.engine import SqliteStore

NOW = 1_700_000_000_000


def new(**given: Any) -> NewJob:
    return NewJob(**{"id": new_id(), "task": "m:f", "args": b"\x01{}", **given})


@pytest.fixture
def store(tmp_path: Path) -> Iterator[SqliteStore]:
    made = SqliteStore(str(tmp_path / "jobs.db"))
    yield made
    made.close()


# --- forks ----------------------------------------------------------------------------------------

FORKS = """
import faulthandler, os, sys, threading
from sidework.errors import StoreError, StoreRefused, StoreUnavailable
from sidework.ids import new_id
from sidework.job import JobFilter, NewJob
from sidework.store.opening import open_store

faulthandler.dump_traceback_later(30, exit=True)
stores = [open_store(f"sqlite:///{sys.argv[1]}/{name}.db") for name in "ab"]
stop = threading.Event()

def job():
    return NewJob(new_id(), "m:f", b"\\x01{}")

def use(mine, other):
    while not stop.is_set():
        mine.insert([job()])
        with mine.transaction() as connection:
            mine.insert_on(connection, [job()])
            mine.page(JobFilter(), None, 1)
            other.get([b"0" * 16])

def fork():
    for _ in range(15):
        pid = os.fork()
        if pid == 0:
            os._exit(0)
        os.waitpid(pid, 0)

using = [threading.Thread(target=use, args=pair) for pair in (stores, stores[::-1])]
forking = [threading.Thread(target=fork) for _ in range(3)]
for thread in (*using, *forking):
    thread.start()
for thread in forking:
    thread.join()
stop.set()
for thread in using:
    thread.join()
print("done", [store.check() for store in stores])
"""


def test_threads_fork_while_others_use_the_store(place: Place) -> None:
    """One that forks takes every session's lock: two at a time, or one that waits for a caller's
    transaction, must not leave any of them taken."""
    done = place.python("-c", FORKS, str(place.folder))
    assert done.stdout == "done [[], []]\n", done.stderr


# --- lives ----------------------------------------------------------------------------------------

WORKS = """
import os, sys
from sidework.store.opening import open_store
from sidework.store.protocol import Demand
store = open_store(sys.argv[1])
worker = store.register("host", os.getpid(), ())
turn = store.turn([], Demand(worker.id, {"thread": 10}))
print(len(turn.claimed), worker.id, flush=True)
while line := sys.stdin.readline():
    if line.strip() == "held":
        held = store.held(worker.id)
        print(None if held is None else len(held), flush=True)
    else:
        worker = store.register("host", os.getpid(), ())
        print(worker.id, flush=True)
"""


class Other:
    """A worker in a process of its own, which does what it is told."""

    def __init__(self, url: str) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", WORKS, url],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )  # fmt: skip
        self.claimed, self.id = map(int, self.hear().split())

    def hear(self) -> str:
        assert self.process.stdout is not None
        return self.process.stdout.readline().strip()

    def ask(self, word: str) -> str:
        assert self.process.stdin is not None
        self.process.stdin.write(word + "\n")
        self.process.stdin.flush()
        return self.hear()

    def kill(self) -> None:
        self.process.kill()
        self.process.communicate()


@pytest.fixture
def other(store: SqliteStore) -> Iterator[Other]:
    store.insert([new() for _ in range(3)])
    made = Other(store.url)
    assert made.claimed == 3
    yield made
    made.kill()


def lives(store: SqliteStore) -> list[Path]:
    return list(Path(store.path + "-workers").iterdir())


@pytest.mark.skipif(
    sys.platform != "linux", reason="other systems do not tell when a process began"
)
def test_a_worker_whose_life_file_was_removed_is_not_dead_and_learns_of_it(
    store: SqliteStore, other: Other
) -> None:
    """I7: a cleaner of files is no death. The worker registers anew and keeps what it runs."""
    assert other.ask("held") == "3"
    for path in lives(store):
        path.unlink()
    assert store.rescue() == 0
    assert other.ask("held") == "None"
    again = int(other.ask("register"))
    assert [row.id for row in store.workers()] == [again]
    assert other.ask("held") == "3"
    assert store.rescue() == 0
    other.kill()
    assert store.rescue() == 3
    assert (store.workers(), lives(store)) == ([], [])


def test_a_worker_is_alive_by_whatever_path_its_store_is_seen(tmp_path: Path) -> None:
    """I7: two containers with one volume; here, the folder is moved."""
    (tmp_path / "a").mkdir()
    store = SqliteStore(str(tmp_path / "a" / "jobs.db"))
    store.insert([new()])
    store.close()
    other = Other(store.url)
    try:
        os.rename(tmp_path / "a", tmp_path / "b")
        (tmp_path / "link").symlink_to(tmp_path / "b")
        (tmp_path / "link.db").symlink_to(tmp_path / "b" / "jobs.db")
        for path in ("b/jobs.db", "link/jobs.db", "link.db"):
            seen = SqliteStore(str(tmp_path / path))
            assert len(seen.workers()) == 1
            assert seen.rescue() == 0
            seen.close()
    finally:
        other.kill()
    seen = SqliteStore(str(tmp_path / "b" / "jobs.db"))
    assert seen.rescue() == 1
    seen.close()


def test_running_jobs_of_a_worker_that_nobody_knows_are_rescued(store: SqliteStore) -> None:
    """I7: its row was lost, by hand or by a fault; others' jobs stay where they are."""
    store.insert([new() for _ in range(1200)])
    workers = [store.register("host", 1, ()).id for _ in range(3)]
    for worker in workers:
        while len(store.held(worker) or ()) < 400:
            store.turn([], Demand(worker, {"thread": 200}))
    connection = apsw.Connection(store.path)
    connection.execute("DELETE FROM workers WHERE id = ?", (workers[1],))
    connection.close()
    assert store.held(workers[1]) is None
    assert store.rescue() == 400
    assert store.rescue() == 0
    assert [len(store.held(worker) or ()) for worker in workers] == [400, 0, 400]


def test_a_worker_that_cannot_say_goodbye_is_dead_all_the_same(store: SqliteStore) -> None:
    """I7: inside a program that goes on, nothing else would tell."""
    store.insert([new()])
    worker = store.register("host", 1, ()).id
    store.turn([], Demand(worker, {"thread": 1}))
    blocker = apsw.Connection(store.path)
    blocker.execute("BEGIN IMMEDIATE")
    store.hurry(0.0)
    with pytest.raises(Exception, match="locked"):
        store.retire(worker)
    blocker.close()
    assert store.rescue() == 1
    assert (store.workers(), lives(store)) == ([], [])


# --- what may take long ---------------------------------------------------------------------------

LONG: dict[str, Callable[[SqliteStore], object]] = {
    "queues": lambda store: store.queues(),
    "info": lambda store: store.info(),
    "check": lambda store: store.check(),
    "page": lambda store: store.page(JobFilter(states=(State.DISCARDED,)), None, 9),
    "backup": lambda store: store.backup(store.path + ".copy"),
    "prune": lambda store: store.prune({**RETENTION, "completed_count": 150}, 9),
}


@pytest.mark.parametrize("verb", LONG)
def test_what_may_take_long_keeps_no_job_waiting(store: SqliteStore, verb: str) -> None:
    """Stopped in the middle of it, the same process enqueues, claims, records and reads."""
    store.insert([new() for _ in range(300)])
    worker = store.register("host", 1, ()).id
    claimed = store.turn([], Demand(worker, {"thread": 200})).claimed
    done = [Outcome(job.id, job.fence, job.attempt, "completed", b"\x011") for job in claimed]
    store.turn(done, None)
    inside, go_on = threading.Event(), threading.Event()

    def stop() -> bool:
        inside.set()
        assert go_on.wait(PATIENCE)
        return False

    store._long.read(lambda connection: connection.set_progress_handler(stop, 1))
    long = threading.Thread(target=LONG[verb], args=(store,), daemon=True)
    long.start()
    try:
        assert inside.wait(PATIENCE)
        worked = threading.Event()

        def work() -> None:
            store.insert([new()])
            (job,) = store.turn([], Demand(worker, {"thread": 1})).claimed
            store.turn([Outcome(job.id, job.fence, job.attempt, "completed", b"\x011")], None)
            assert store.get([job.id]) != [None]
            store.version()
            worked.set()

        threading.Thread(target=work, daemon=True).start()
        assert worked.wait(PATIENCE)
    finally:
        go_on.set()
        long.join()


def test_a_prune_that_finds_nothing_does_not_wait_to_write(store: SqliteStore) -> None:
    """It may read through very many that live jobs still need."""
    store.migrate()
    other = apsw.Connection(store.path)
    other.execute("BEGIN IMMEDIATE")
    store.hurry(0.1)
    assert store.prune(RETENTION, 9) == 0
    other.close()


def test_a_prune_leaves_what_is_needed_since_it_looked(store: SqliteStore) -> None:
    parents = [new() for _ in range(3)]
    store.insert(parents)
    for parent in parents:
        store.cancel(parent.id, "", NOW)
    line = {"cancelled": NOW}
    past = store._long.read(lambda connection: pruning.past(connection, line, 9))
    store.retry(parents[0].id)
    store.insert([new(parents=(parents[1].id, parents[0].id), policy="continue")])
    store._session.write(lambda connection: pruning.step(connection, past))
    assert [row is None for row in store.get([one.id for one in parents])] == [False, False, True]


def test_vacuum_lets_others_write_between_its_steps(store: SqliteStore) -> None:
    store.insert([new(args=b"\x01" + b"1" * 3000) for _ in range(4000)])
    connection = apsw.Connection(store.path)
    connection.set_busy_timeout(10_000)
    connection.execute("DELETE FROM jobs")
    connection.close()
    sizes: list[int] = []
    steps = store._session.read(lambda connection: connection.pragma("freelist_count"))
    assert steps > 2000
    until_done = threading.Thread(target=store.vacuum)
    until_done.start()
    while until_done.is_alive():
        store.insert([new()])
        sizes.append(1)
    until_done.join()
    assert sizes
    assert store._session.read(lambda connection: connection.pragma("freelist_count")) == 0
    assert until(lambda: store.check() == [], "a whole file")


def test_a_workers_number_does_not_come_again_in_a_new_file(tmp_path: Path) -> None:
    """Else two workers would share one, each handing back what the other runs."""
    path = tmp_path / "jobs.db"
    old = SqliteStore(str(path))
    number = old.register("host", 1, ()).id
    old.close()
    for left in tmp_path.glob("jobs.db*"):
        if left.is_file():
            left.unlink()
    new = SqliteStore(str(path))
    others = [new.register("host", 2, ()).id for _ in range(3)]
    assert number not in others
    assert new.held(number) is None
    with pytest.raises(StoreRefused, match="is not known here"):
        new.turn([], Demand(number, {"thread": 1}))
    new.close()


# --- who is met as a file begins --------------------------------------------------------------------


def _open_while_another_makes_it(path: Path, at: int) -> tuple[str, list[StoreError]]:
    """Open an empty file; before the statement ``at`` of that, another makes a whole store of it, unless a
    lock keeps it out. The statement, and what kept it out."""
    told, kept_out = [""], []
    count = iter(range(1000))

    def meet(_cursor: Any, sql: str, _bindings: Any) -> bool:
        if next(count) == at:
            told[0] = sql
            apsw.connection_hooks.remove(watch)
            try:
                open_connection(str(path), create=True).close()
            except StoreUnavailable as error:
                kept_out.append(error)
        return True

    def watch(connection: apsw.Connection) -> None:
        connection.exec_trace = meet

    path.touch()
    apsw.connection_hooks.append(watch)
    try:
        opened = open_connection(str(path), create=False)
    finally:
        if watch in apsw.connection_hooks:
            apsw.connection_hooks.remove(watch)
    opened.exec_trace = None
    assert opened.pragma("user_version") == len(migrations())
    assert opened.pragma("auto_vacuum") == 2
    opened.close()
    return told[0], kept_out


def test_a_file_that_another_makes_a_store_of_meanwhile_is_no_strangers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(opening, "BUSY_SECONDS", 0.0)  # both are on this thread
    met, locked = 0, 0
    while True:
        statement, kept_out = _open_while_another_makes_it(tmp_path / f"{met}.db", met)
        if not statement:
            break
        met, locked = met + 1, locked + bool(kept_out)
    assert met > 20
    assert 0 < locked < met


def test_who_makes_a_store_waits_for_another_that_does_so(tmp_path: Path) -> None:
    path = str(tmp_path / "new.db")
    other = apsw.Connection(path)
    asked: list[str] = []

    def meet(_cursor: Any, sql: str, _bindings: Any) -> bool:
        if "journal_mode" in sql:
            asked.append(sql)
            # It is refused the first time, and asks again.
            other.execute("BEGIN IMMEDIATE" if len(asked) == 1 else "ROLLBACK")
        return True

    def watch(connection: apsw.Connection) -> None:
        connection.exec_trace = meet

    apsw.connection_hooks.append(watch)
    try:
        opened = open_connection(path, create=True)
    finally:
        apsw.connection_hooks.remove(watch)
    assert len(asked) == 2
    opened.exec_trace = None
    assert opened.pragma("journal_mode") == "wal"
    opened.close()
    other.close()
