"""awa (PyPI: awa-pg): its queue storage, which a first start of a worker makes the active engine."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

import contract
from awa import AsyncClient

CHUNK = 5000
SOON = contract.SOON * 1000
SAFE = {
    "heartbeat_interval_ms": SOON // 5, "heartbeat_staleness_ms": SOON,
    "heartbeat_rescue_interval_ms": SOON // 5, "leader_election_interval_ms": SOON // 5,
} if contract.SAFE else {}  # fmt: skip


@dataclass
class Noop:
    n: int


@dataclass
class Nap:
    n: int


@dataclass
class Crunch:
    n: int


KINDS = {"noop": Noop, "nap": Nap, "crunch": Crunch}


class AwaRival:
    async def install(self, url: str) -> None:
        await self.open(url)
        await self.client.migrate()
        self.declare()
        await self.client.start([("default", 1)])
        await asyncio.sleep(1)
        await self.client.shutdown()

    async def open(self, url: str) -> None:
        self.client = AsyncClient(url, max_connections=20)

    async def put(self, task: str, n: int) -> None:
        await self.client.insert(KINDS[task](n))

    async def put_many(self, task: str, numbers: Sequence[int]) -> None:
        kind = KINDS[task]
        for start in range(0, len(numbers), CHUNK):
            await self.client.enqueue_many_copy([kind(n) for n in numbers[start : start + CHUNK]])

    async def work(self, url: str, many: int, processes: int) -> None:
        await self.open(url)
        self.declare()
        # Fewer than the sleeps ask for lowers those; more than 256 lowers the drain.
        await self.client.start([("default", min(many, 256))], **SAFE)
        await asyncio.Event().wait()

    def declare(self) -> None:
        for task, kind in KINDS.items():
            self.declare_one(task, kind)

    def declare_one(self, task: str, kind: type) -> None:
        @self.client.task(kind, queue="default")
        async def entry(job) -> None:
            await contract.run(task, job.args.n)


if __name__ == "__main__":
    contract.main(AwaRival())
