"""The app under cuts and stops: each job leaves a line while it runs, every 50 ms, outside the store.

Its result is the fence that it ran under, so that whose write it is can be read in the store.
"""

import asyncio
import os
import threading
import time
from collections.abc import Iterator
from pathlib import Path

from sidework import Sidework, current_job

app = Sidework()
HERE = Path(__file__).parent
TICK_SECONDS = 0.05
never = threading.Event()


def wrote(what: str, name: str = "runs.log") -> None:
    """One line, written whole (O_APPEND): what, job, fence, process, its worker, monotonic ns."""
    job = current_job()
    at = time.monotonic_ns()
    fd = os.open(HERE / name, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.write(fd, f"{what} {job.id} {job.fence} {os.getpid()} {os.getppid()} {at}\n".encode())
    os.close(fd)


def ticks(milliseconds: int) -> Iterator[None]:
    """The times at which it shows that it still runs; each is written when the next is asked for."""
    wrote("start")
    end = time.monotonic() + milliseconds / 1000
    while time.monotonic() < end:
        yield
        wrote("tick", "ticks.log")
    wrote("end")


def in_place(milliseconds: int) -> int:
    for _ in ticks(milliseconds):
        never.wait(TICK_SECONDS)
    return current_job().fence


async def in_turn(milliseconds: int) -> int:
    for _ in ticks(milliseconds):
        await asyncio.sleep(TICK_SECONDS)
    return current_job().fence


@app.task
def thread(milliseconds: int) -> int:
    return in_place(milliseconds)


@app.task
async def coroutine(milliseconds: int) -> int:
    return await in_turn(milliseconds)


@app.task(runner="process")
def process(milliseconds: int) -> int:
    return in_place(milliseconds)


@app.task(on_partition="stop")
async def stop_coroutine(milliseconds: int) -> int:
    return await in_turn(milliseconds)


@app.task(on_partition="stop", runner="process")
def stop_process(milliseconds: int) -> int:
    return in_place(milliseconds)
