"""SAQ on Redis with hiredis."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import NoReturn

import contract
from saq import Queue

SAFE = {"timeout": contract.SOON, "heartbeat": contract.SOON, "retries": 3}
OPTIONS = SAFE if contract.SAFE else {}
queue = Queue.from_url(contract.URL)


async def noop(ctx: object, *, n: int) -> int:
    await contract.run("noop", n)
    return n


async def nap(ctx: object, *, n: int) -> int:
    await contract.run("nap", n)
    return n


settings = {
    "queue": queue,
    "functions": [noop, nap],
    "concurrency": int(os.environ.get("BENCH_MANY", "10")),
    "timers": {"sweep": contract.SOON if contract.SAFE else 60},
}


class SaqRival:
    async def install(self, url: str) -> None:
        pass

    async def open(self, url: str) -> None:
        await queue.connect()

    async def put(self, task: str, n: int) -> None:
        await queue.enqueue(task, n=n, **OPTIONS)

    async def put_many(self, task: str, numbers: Sequence[int]) -> None:
        await contract.each(lambda n: queue.enqueue(task, n=n, **OPTIONS), numbers)

    async def trip(self, n: int) -> None:
        await queue.apply("noop", n=n, timeout=30, poll_interval=0.001)

    async def work(self, url: str, many: int, processes: int) -> NoReturn:
        contract.become("saq", "with_saq.settings", "--quiet", BENCH_MANY=str(many))


if __name__ == "__main__":
    contract.main(SaqRival())
