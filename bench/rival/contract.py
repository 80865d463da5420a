"""What a peer's program offers, and how it is run: in an environment of its own, against one store.

    python with_NAME.py URL install
    python with_NAME.py URL put SECONDS | callers SECONDS | bulk COUNT | pickup COUNT | trip COUNT
    python with_NAME.py URL fill TASK COUNT [NUMBER]     (prints when it began to hand them over)
    python with_NAME.py URL work MANY PROCESSES

A worker notes each job that it ran to its end in the file ``BENCH_COUNTS``: asking the store how many
are left would cost the peer its own speed. It is asked when all have run. Most prints are JSON.
"""

from __future__ import annotations

import asyncio
import functools
import importlib
import json
import os
import struct
import sys
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, NoReturn, Protocol

RAN = struct.Struct("<qqq")
"""The number of a job that ran, when (``time.time_ns``), and the worker: the session of its processes."""
CALLERS = 64
URL = os.environ.get("BENCH_URL") or sys.argv[1]
"""Also for the modules that a peer's own worker command imports."""
SAFE = "BENCH_SAFE" in os.environ
"""Set to what the peer's documentation recommends for a worker that dies, and not for speed."""
SOON = 10
"""Seconds, for each peer that finds a dead worker by a time that one can set."""


class Rival(Protocol):
    """One peer. ``put`` and ``put_many`` return when the jobs are stored; ``work`` never returns.
    ``trip`` returns when the job's result is known; a peer without results has none."""

    async def install(self, url: str) -> None: ...
    async def open(self, url: str) -> None: ...
    async def put(self, task: str, n: int) -> None: ...
    async def put_many(self, task: str, numbers: Sequence[int]) -> None: ...
    async def trip(self, n: int) -> None: ...
    async def work(self, url: str, many: int, processes: int) -> None: ...


@functools.cache
def log() -> int:
    return os.open(os.environ["BENCH_COUNTS"], os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC)


def ran(n: int) -> None:
    # One small write to the end of a file is whole, whichever process, thread or fork makes it.
    os.write(log(), RAN.pack(n, time.time_ns(), os.getsid(0)))


async def each(put: Callable[[int], Awaitable[object]], numbers: Sequence[int]) -> None:
    """In bulk, for a peer whose calls go one by one: 64 at a time."""
    for start in range(0, len(numbers), CALLERS):
        await asyncio.gather(*map(put, numbers[start : start + CALLERS]))


async def run(task: str, n: int) -> None:
    """The work itself, the same for all."""
    if task == "nap":
        await asyncio.sleep(0.1)
    elif task == "crunch":
        crunch(n)
    ran(n)


def run_here(task: str, n: int) -> None:
    """The same for a peer whose tasks are plain functions."""
    if task == "nap":
        time.sleep(0.1)
    elif task == "crunch":
        crunch(n)
    ran(n)


def crunch(n: int) -> int:
    total = 0
    for i in range(n):
        total += i * i % 7
    return total


async def rate_of_one(rival: Rival, seconds: float) -> int:
    done, end = 0, time.perf_counter() + seconds
    while time.perf_counter() < end:
        await rival.put("noop", done)
        done += 1
    return done


async def measured(rival: Rival, what: str, size: float) -> float:
    if what == "pickup":
        return await pickup(rival, int(size))
    if what == "trip":
        return await trip(rival, int(size))
    await rival.put("noop", 0)  # the first one connects
    began = time.perf_counter()
    if what == "put":
        done = await rate_of_one(rival, size)
    elif what == "callers":
        done = sum(await asyncio.gather(*(rate_of_one(rival, size) for _ in range(CALLERS))))
    else:
        done = int(size)
        await rival.put_many("noop", range(done))
    return done / (time.perf_counter() - began)


async def pickup(rival: Rival, count: int) -> float:
    """Milliseconds between the return of ``put`` and the job's own moment, the median."""
    took = []
    with open(os.environ["BENCH_COUNTS"], "rb") as file:
        for n in range(count + 10):
            file.seek(0, os.SEEK_END)
            await rival.put("noop", n)
            handed = time.time_ns()
            while len(found := file.read(RAN.size)) < RAN.size:
                if time.time_ns() - handed > 10e9:
                    raise TimeoutError("a job was not picked up within 10 s")
                await asyncio.sleep(0.0002)
            took.append((RAN.unpack(found)[1] - handed) / 1e6)
            await asyncio.sleep(0.02)  # it is idle again
    return sorted(took[10:])[count // 2]


async def trip(rival: Rival, count: int) -> float:
    """Milliseconds from before a job is handed over until its result is there, the median."""
    took = []
    for n in range(count + 10):
        began = time.perf_counter()
        await rival.trip(n)
        took.append((time.perf_counter() - began) * 1000)
        await asyncio.sleep(0.02)  # it is idle again
    return sorted(took[10:])[count // 2]


def threads(many: int) -> int:
    """Of a peer that has one for each job: a no-op needs few, sleeps need them all."""
    return many if many >= 1000 else min(many, 8)


def become(module: str, *words: str, **env: str) -> NoReturn:
    """Be the peer's own worker command from here on; of a worker, that is what its users start."""
    os.chdir(os.path.dirname(os.path.abspath(__file__)))
    env = {**os.environ, "BENCH_URL": URL, **env}
    os.execve(sys.executable, [sys.executable, "-m", module, *words], env)


async def program(rival: Rival, url: str, verb: str, *given: str) -> None:
    if verb == "install":
        await rival.install(url)
        return
    if verb == "work":
        await rival.work(url, int(given[0]), int(given[1]))
        return
    await rival.open(url)
    if verb == "fill":
        task, count = given[0], int(given[1])
        number = int(given[2]) if len(given) > 2 else None
        numbers = range(count) if number is None else [number] * count
        print(time.time_ns(), flush=True)
        await rival.put_many(task, numbers)
    else:
        print(json.dumps(await measured(rival, verb, float(given[0]))), flush=True)


def main(rival: Any, loop: str = "uvloop") -> None:
    importlib.import_module(loop).run(program(rival, *sys.argv[1:]))
    sys.stdout.flush()
    os._exit(0)  # pools and threads of the peers need not say goodbye
