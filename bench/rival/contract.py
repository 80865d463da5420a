"""What a peer's program offers, and how it is run: in an environment of its own, against one database.

    python with_NAME.py URL install
    python with_NAME.py URL put SECONDS | callers SECONDS | bulk COUNT | pickup COUNT   (prints JSON)
    python with_NAME.py URL fill TASK COUNT
    python with_NAME.py URL work MANY

A worker counts what it ran in the file ``BENCH_COUNTS``, in the slot ``BENCH_SLOT``: asking the database
how many are left would cost the peer its own speed. They are asked when all have run.
"""

from __future__ import annotations

import asyncio
import json
import mmap
import os
import struct
import sys
import time
from collections.abc import Sequence
from typing import Any, Protocol

SLOT = struct.Struct("<qqq")
"""How many, the first and the last moment (``time.time_ns``)."""
CALLERS = 64


class Rival(Protocol):
    """One peer. ``put`` and ``put_many`` return when the jobs are stored; ``work`` never returns."""

    async def install(self, url: str) -> None: ...
    async def open(self, url: str) -> None: ...
    async def put(self, task: str, n: int) -> None: ...
    async def put_many(self, task: str, numbers: Sequence[int]) -> None: ...
    async def work(self, url: str, many: int) -> None: ...


class Counter:
    """This worker's slot."""

    def __init__(self) -> None:
        with open(os.environ["BENCH_COUNTS"], "r+b") as file:
            self._map = mmap.mmap(file.fileno(), 0)
        self._at = int(os.environ.get("BENCH_SLOT", "0")) * SLOT.size
        self._count, self._first = 0, 0

    def ran(self) -> None:
        now = time.time_ns()
        self._count += 1
        self._first = self._first or now
        SLOT.pack_into(self._map, self._at, self._count, self._first, now)

    def read(self) -> tuple[int, int, int]:
        count, first, last = SLOT.unpack_from(self._map, self._at)
        return count, first, last


counter = Counter() if "BENCH_COUNTS" in os.environ else None


async def run(task: str, n: int) -> None:
    """The work itself, the same for all."""
    if task == "nap":
        await asyncio.sleep(0.1)
    elif task == "crunch":
        crunch(n)
    assert counter is not None
    counter.ran()


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
    began = time.perf_counter()
    if what == "put":
        done = await rate_of_one(rival, size)
    elif what == "callers":
        done = sum(await asyncio.gather(*(rate_of_one(rival, size) for _ in range(CALLERS))))
    elif what == "bulk":
        done = int(size)
        await rival.put_many("noop", range(done))
    else:
        return await pickup(rival, int(size))
    return done / (time.perf_counter() - began)


async def pickup(rival: Rival, count: int) -> float:
    """Milliseconds between the return of ``put`` and the job's own first moment, the median."""
    assert counter is not None
    took = []
    for n in range(count + 10):
        before = counter.read()[0]
        await rival.put("noop", n)
        handed = time.time_ns()
        while counter.read()[0] == before:
            if time.time_ns() - handed > 10e9:
                raise TimeoutError("a job was not picked up within 10 s")
            await asyncio.sleep(0.0002)
        took.append((counter.read()[2] - handed) / 1e6)
        await asyncio.sleep(0.02)  # it is idle again
    return sorted(took[10:])[count // 2]


async def program(rival: Rival, url: str, verb: str, *given: str) -> None:
    if verb == "install":
        await rival.install(url)
        return
    if verb == "work":
        await rival.work(url, int(given[0]))
        return
    await rival.open(url)
    if verb == "fill":
        task, count = given[0], int(given[1])
        number = int(given[2]) if len(given) > 2 else None
        numbers = range(count) if number is None else [number] * count
        await rival.put_many(task, numbers)
    else:
        print(json.dumps(await measured(rival, verb, float(given[0]))), flush=True)


def main(rival: Any) -> None:
    import uvloop

    uvloop.run(program(rival, *sys.argv[1:]))
    sys.stdout.flush()
    os._exit(0)  # pools and threads of the peers need not say goodbye
