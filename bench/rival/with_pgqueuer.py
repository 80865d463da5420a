"""pgqueuer over asyncpg, the driver of its own benchmark; durable tables (its default)."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import timedelta

import asyncpg
import contract
from pgqueuer import PgQueuer
from pgqueuer.db import AsyncpgDriver, AsyncpgPoolDriver
from pgqueuer.models import Job
from pgqueuer.queries import Queries

CHUNK = 1000


def own(url: str) -> str:
    """As asyncpg reads it: a host before the database would hide the socket's folder."""
    return url.replace("@localhost/", "@/", 1)


class PgqueuerRival:
    async def install(self, url: str) -> None:
        connection = await asyncpg.connect(own(url))
        await Queries(AsyncpgDriver(connection)).install()

    async def open(self, url: str) -> None:
        pool = await asyncpg.create_pool(own(url), max_size=16)
        self.queries = Queries(AsyncpgPoolDriver(pool))

    async def put(self, task: str, n: int) -> None:
        await self.queries.enqueue(task, str(n).encode())

    async def put_many(self, task: str, numbers: Sequence[int]) -> None:
        for start in range(0, len(numbers), CHUNK):
            some = numbers[start : start + CHUNK]
            await self.queries.enqueue(
                [task] * len(some), [str(n).encode() for n in some], [0] * len(some)
            )

    async def work(self, url: str, many: int, processes: int) -> None:
        workers = []
        # Five dequeuers, as its own benchmark has; one for few jobs at a time.
        for _ in range(5 if many > 10 else 1):
            pgq = PgQueuer(AsyncpgDriver(await asyncpg.connect(own(url))))
            for task in ("noop", "nap", "crunch"):
                self.declare(pgq, task)
            batch, most = (100, None) if many > 10 else (max(1, many // 2), max(2, many))
            idle = timedelta(seconds=contract.SOON if contract.SAFE else 30)
            workers.append(
                pgq.run(
                    batch_size=batch, max_concurrent_tasks=most, dequeue_timeout=idle,
                    heartbeat_timeout=idle,
                )
            )  # fmt: skip
        await asyncio.gather(*workers)

    def declare(self, pgq: PgQueuer, task: str) -> None:
        @pgq.entrypoint(task)
        async def entry(job: Job) -> None:
            await contract.run(task, int(job.payload or b"0"))


if __name__ == "__main__":
    contract.main(PgqueuerRival())
