"""Huey on a Redis server or on a file; threads, or greenlets for sleeps on the server."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NoReturn

import contract
from huey import RedisHuey, SqliteHuey

ON_SERVER = contract.URL.startswith("redis")
huey = RedisHuey(url=contract.URL) if ON_SERVER else SqliteHuey(filename=contract.URL)


@huey.task(name="noop")
def noop(n: int) -> int:
    contract.run_here("noop", n)
    return n


@huey.task(name="nap")
def nap(n: int) -> int:
    contract.run_here("nap", n)
    return n


TASKS = {"noop": noop, "nap": nap}


class HueyRival:
    async def install(self, url: str) -> None:
        pass

    async def open(self, url: str) -> None:
        pass

    async def put(self, task: str, n: int) -> None:
        TASKS[task](n)

    async def put_many(self, task: str, numbers: Sequence[int]) -> None:
        for n in numbers:
            TASKS[task](n)

    async def trip(self, n: int) -> None:
        noop(n).get(blocking=True, timeout=30, backoff=1, max_delay=0.001)

    async def work(self, url: str, many: int, processes: int) -> NoReturn:
        kind = "greenlet" if many >= 1000 and ON_SERVER else "thread"
        words = ["-k", kind, "-w", str(contract.threads(many)), "-n", "-q"]
        words += ["-d", "0.01", "-m", "0.01"]
        contract.become("huey.bin.huey_consumer", "with_huey.huey", *words)


if __name__ == "__main__":
    import with_huey  # a task's name has its module's

    contract.main(with_huey.HueyRival())
