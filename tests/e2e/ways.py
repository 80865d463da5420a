"""The app of the end-to-end tests: one task for each way in which a job can behave."""

import asyncio
import ctypes
import os
import resource
import signal
import threading
from pathlib import Path

from sidework import Discard, Retry, Sidework, Snooze, current_job

app = Sidework()
HERE = Path(__file__).parent
never = threading.Event()


def wrote(what: str, tag: object) -> None:
    """One line in the log, written whole (O_APPEND) and outside the store."""
    line = f"{what} {tag} {current_job().attempt} {os.getpid()}\n"
    fd = os.open(HERE / "runs.log", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.write(fd, line.encode())
    os.close(fd)


@app.task
async def coroutine(a: int) -> int:
    wrote("run", a)
    await asyncio.sleep(0)
    return a + 1


@app.task
def thread(a: int) -> int:
    wrote("run", a)
    return a + 1


@app.task(runner="process")
def process(a: int) -> int:
    wrote("run", a)
    return os.getpid()


@app.task(runner="process")
async def process_coroutine(a: int) -> int:
    await asyncio.sleep(0)
    return a + 1


@app.task(timeout="300ms")
async def slow_coroutine(tag: int) -> None:
    wrote("run", tag)
    await asyncio.sleep(60)


@app.task(timeout="300ms", runner="process")
def slow_process(tag: int) -> None:
    wrote("run", tag)
    try:
        never.wait(60)
    finally:
        wrote("cleaned", tag)


@app.task(timeout="300ms")
def slow_thread(tag: int) -> str:
    wrote("run", tag)
    while not current_job().should_stop:
        never.wait(0.01)
    return "stopped by itself"


@app.task(retries=2, backoff="10ms")
def fail(tag: int) -> None:
    wrote("run", tag)
    raise ValueError(f"no {tag}")


@app.task(retries=5, backoff="10ms")
def fail_twice(tag: int) -> int:
    wrote("run", tag)
    if current_job().attempt < 3:
        raise Retry("not yet", after="10ms")
    return current_job().attempt


@app.task(retries=5, discard_on=KeyError, retry_on=(OSError, KeyError), backoff="10ms")
def picky(kind: str) -> None:
    wrote("run", kind)
    raise {"key": KeyError, "os": OSError, "value": ValueError}[kind](kind)


@app.task(retries=5)
def give_up(tag: int) -> None:
    wrote("run", tag)
    raise Discard("not worth it")


@app.task
def snooze(tag: int) -> int:
    wrote("run", tag)
    if not (HERE / "open").exists():
        raise Snooze("20ms")
    return current_job().attempt


@app.task
async def wait_coroutine(tag: int) -> str:
    wrote("run", tag)
    while not (HERE / f"go-{tag}").exists():
        await asyncio.sleep(0.01)
    return "went"


@app.task
def wait_thread(tag: int) -> str:
    wrote("run", tag)
    while not (HERE / f"go-{tag}").exists():
        if current_job().should_stop:
            return "asked to stop"
        never.wait(0.01)
    return "went"


@app.task(runner="process")
def wait_process(tag: int) -> str:
    wrote("run", tag)
    while not (HERE / f"go-{tag}").exists():
        never.wait(0.01)
    return "went"


@app.task
def die(tag: int, how: str) -> None:
    wrote("run", tag)
    if how == "exit":
        os._exit(3)
    if how == "kill":
        os.kill(os.getpid(), signal.SIGKILL)
    ctypes.string_at(0)


@app.task(on_crash="discard")
def die_once(tag: int) -> None:
    wrote("run", tag)
    os._exit(3)


@app.task
async def block_loop(tag: int) -> int:
    wrote("run", tag)
    while not (HERE / f"go-{tag}").exists():
        never.wait(0.01)
    return tag


@app.task
def hold_gil(tag: int, seconds: int) -> int:
    wrote("run", tag)
    ctypes.PyDLL(None).sleep(seconds)  # PyDLL keeps the GIL
    return tag


@app.task
def hold_gil_unless(tag: int) -> str:
    wrote("run", tag)
    while not (HERE / f"go-{tag}").exists():
        ctypes.PyDLL(None).sleep(60)
    return "went"


@app.task
def no_more_threads(tag: int) -> str:
    wrote("run", tag)
    used = int(Path("/proc/self/statm").read_text().split()[0]) * os.sysconf("SC_PAGE_SIZE")
    resource.setrlimit(resource.RLIMIT_AS, (used + 2**20, resource.RLIM_INFINITY))
    wrote("limited", tag)
    while not (HERE / f"go-{tag}").exists():
        never.wait(0.01)
    return "went"


@app.task
def odd_error() -> None:
    class Odd(Exception):
        def __str__(self) -> str:
            raise RuntimeError("no text")

    raise Odd


@app.task
def forks() -> int:
    pid = os.fork()
    if pid == 0:
        os._exit(7)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


@app.task
def enqueues(a: int) -> str:
    return thread.enqueue(a).id


@app.task
def down_thread(depth: int) -> int:
    return 1 + down_thread.enqueue(depth - 1).result(timeout=20) if depth else 0


@app.task(runner="process")
def down_process(depth: int) -> int:
    return 1 + down_process.enqueue(depth - 1).result(timeout=20) if depth else 0


@app.task
async def down_coroutine(depth: int) -> int:
    if depth == 0:
        return 0
    jobs = [await down_coroutine.aenqueue(depth - 1) for _ in range(2)]
    return 1 + max(await asyncio.gather(*(job.aresult(timeout=20) for job in jobs)))


@app.task
async def blocks_its_loop() -> int:
    return thread.enqueue(1).result(timeout=20)


@app.task(on_partition="stop")
async def stop_coroutine(tag: int) -> str:
    wrote("run", tag)
    try:
        while not (HERE / f"go-{tag}").exists():
            await asyncio.sleep(0.01)
    finally:
        wrote("ended", tag)
    return "went"


@app.task(on_partition="stop", runner="process")
def stop_process(tag: int) -> str:
    wrote("run", tag)
    try:
        while not (HERE / f"go-{tag}").exists():
            never.wait(0.01)
    except BaseException:  # noqa: BLE001 - as a cleanup that fails
        wrote("ended", tag)
        raise ConnectionError("cleaning up needs the network too") from None
    return "went"


@app.task(on_partition="stop")
def stop_thread(tag: int) -> str:
    wrote("run", tag)
    while not (HERE / f"go-{tag}").exists():
        if current_job().should_stop:
            wrote("told", tag)
            raise ConnectionError("told to stop")
        never.wait(0.01)
    return "went"


@app.task(on_partition="stop", on_crash="discard")
async def stop_once(tag: int) -> None:
    wrote("run", tag)
    await asyncio.sleep(60)


@app.task(on_partition="stop")
async def stubborn_coroutine(tag: int) -> str:
    wrote("run", tag)
    while not (HERE / f"go-{tag}").exists():
        try:
            await asyncio.sleep(0.01)
        except asyncio.CancelledError:
            wrote("refused", tag)
    return "went"


@app.task(on_partition="stop", runner="process")
def stubborn_process(tag: int) -> str:
    wrote("run", tag)
    while not (HERE / f"go-{tag}").exists():
        try:
            never.wait(0.01)
        except BaseException:  # noqa: BLE001 - also what tells it to stop
            wrote("refused", tag)
    return "went"
