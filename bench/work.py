"""The same work for ours and for peers: a no-op, a sleep, a piece of calculation."""

from __future__ import annotations

import asyncio
import os
import time

from sidework import Sidework

app = Sidework(os.environ.get("SIDEWORK_URL", "bench.db"))


@app.task
async def noop(n: int) -> int:
    return n


@app.task
def thread_noop(n: int) -> int:
    return n


@app.task
async def stamp() -> int:
    return time.time_ns()


@app.task
async def nap() -> None:
    await asyncio.sleep(0.1)


@app.task
def crunch(n: int) -> int:
    total = 0
    for i in range(n):
        total += i * i % 7
    return total


@app.task
async def count(numbers: list[int]) -> int:
    return len(numbers)
