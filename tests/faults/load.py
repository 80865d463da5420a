"""The app under fire: each job leaves a line at its start and at its end, outside the store."""

import asyncio
import ctypes
import os
import resource
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

import apsw

from sidework import Sidework, current_job

app = Sidework()
HERE = Path(__file__).parent
LOG = HERE / "runs.log"
never = threading.Event()


def wrote(what: str) -> None:
    """One line, written whole (O_APPEND): what, job, fence, process, its worker, monotonic ns."""
    job = current_job()
    at = time.monotonic_ns()
    fd = os.open(LOG, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.write(fd, f"{what} {job.id} {job.fence} {os.getpid()} {os.getppid()} {at}\n".encode())
    os.close(fd)


@app.task
def work(milliseconds: int) -> int:
    wrote("start")
    never.wait(milliseconds / 1000)
    wrote("end")
    return milliseconds


@app.task
async def coroutine(milliseconds: int) -> int:
    wrote("start")
    await asyncio.sleep(milliseconds / 1000)
    wrote("end")
    return milliseconds


@app.task(runner="process")
def alone(milliseconds: int) -> int:
    wrote("start")
    never.wait(milliseconds / 1000)
    wrote("end")
    return milliseconds


# Row 34: each writes one row of a table of the program's own, in the transaction that it ends in.


@contextmanager
def own_apsw() -> Iterator[apsw.Connection]:
    connection = apsw.Connection(app.url.removeprefix("sqlite:///"))
    connection.set_busy_timeout(30_000)
    try:
        connection.execute("BEGIN IMMEDIATE")
        yield connection
        connection.execute("COMMIT")
    finally:
        connection.close()


@contextmanager
def own_psycopg() -> Iterator[Any]:
    import psycopg

    from sidework.store.postgres.place import place_of

    with psycopg.connect(place_of(app.url).conninfo) as connection:
        yield connection


OWN: dict[str, Callable[[], AbstractContextManager[Any]]] = {
    "sqlite": own_apsw,
    "postgresql": own_psycopg,
}
"""By the URL's scheme: a transaction on a connection of the program's own."""


def transaction(own: bool) -> AbstractContextManager[Any]:
    return OWN[app.url.partition(":")[0]]() if own else app.transaction()


def migrate() -> None:
    """A new SQLite file is made by its first use."""
    if app.url.startswith("postgresql:"):
        from sidework.store.postgres.engine import PostgresStore

        store = PostgresStore(app.url)
        store.migrate()
        store.close()


def prepare() -> None:
    with app.transaction() as connection:
        connection.execute("CREATE TABLE IF NOT EXISTS effects (job TEXT, fence INTEGER)")


def effects() -> list[tuple[str, int]]:
    with app.transaction() as connection:
        return list(connection.execute("SELECT job, fence FROM effects"))


def take_effect(connection: Any, milliseconds: int) -> None:
    job = current_job()
    connection.execute(f"INSERT INTO effects VALUES ('{job.id}', {job.fence})")
    never.wait(milliseconds / 1000)
    wrote("end")  # within: once it is committed it may be killed before another line


@app.task(retries=10, backoff="1ms")
def pay(milliseconds: int, own: bool = False) -> int:
    wrote("start")
    with transaction(own) as connection:
        take_effect(connection, milliseconds)
        current_job().finish_in(connection, milliseconds)
    return -1


@app.task(retries=10, backoff="1ms")
async def pay_coroutine(milliseconds: int, own: bool = False) -> int:
    wrote("start")
    with transaction(own) as connection:
        take_effect(connection, milliseconds)
        await current_job().afinish_in(connection, milliseconds)
    return -1


@app.task(retries=10, backoff="1ms", runner="process")
def pay_alone(milliseconds: int, own: bool = False) -> int:
    wrote("start")
    with transaction(own) as connection:
        take_effect(connection, milliseconds)
        current_job().finish_in(connection, milliseconds)
    return -1


# Row 10: nothing else of the child runs meanwhile.


@app.task
async def block_loop(seconds: int) -> None:
    wrote("start")
    never.wait(seconds)
    wrote("end")


@app.task
def hold_gil(seconds: int) -> None:
    wrote("start")
    ctypes.PyDLL(None).sleep(seconds)  # PyDLL keeps the GIL
    wrote("end")


# Row 12: the process dies under it.


@app.task
def poison(how: str) -> None:
    wrote("start")
    if how == "segfault":
        ctypes.string_at(0)
    if how == "exit":
        os._exit(3)
    if how == "no memory":  # in C code that does not look at what malloc returned
        eat_address_space()
    if how == "killed for its memory":
        eat_memory_of_cgroup(Path(os.environ["ROW_CGROUP"]))


def eat_address_space() -> None:
    used = int(Path("/proc/self/statm").read_text().split()[0]) * os.sysconf("SC_PAGE_SIZE")
    resource.setrlimit(resource.RLIMIT_AS, (used + 2**26, resource.RLIM_INFINITY))
    libc = ctypes.CDLL(None)
    libc.malloc.restype = ctypes.c_void_p
    while True:
        ctypes.memset(libc.malloc(ctypes.c_size_t(2**22)) or 0, 1, 2**22)


def eat_memory_of_cgroup(group: Path) -> None:
    (group / "cgroup.procs").write_text(str(os.getpid()))
    eaten = []
    while True:
        eaten.append(bytearray(os.urandom(2**16)) * 2**4)


# Row 13: they do not end by themselves.


@app.task(timeout="300ms")
async def hang_coroutine() -> None:
    wrote("start")
    try:
        await asyncio.sleep(3600)
    finally:
        wrote("end")


@app.task(timeout="300ms", runner="process")
def hang_process() -> None:
    wrote("start")
    try:
        never.wait(3600)
    finally:
        wrote("end")


@app.task(timeout="300ms", runner="process")
def hang_stubborn() -> None:
    wrote("start")
    while True:
        try:
            never.wait(3600)
        except BaseException:  # noqa: BLE001 - it listens to nobody
            continue


@app.task(timeout="300ms")
def hang_thread() -> None:
    wrote("start")
    while not current_job().should_stop:
        never.wait(0.005)
    wrote("end")
