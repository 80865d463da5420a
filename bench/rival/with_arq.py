"""arq, its worker's limits raised to what the measure asks for."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import NoReturn

import contract
from arq import create_pool
from arq.connections import RedisSettings

SETTINGS = RedisSettings.from_dsn(contract.URL)


async def noop(ctx: object, n: int) -> int:
    await contract.run("noop", n)
    return n


async def nap(ctx: object, n: int) -> int:
    await contract.run("nap", n)
    return n


class WorkerSettings:
    functions = (noop, nap)
    redis_settings = SETTINGS
    max_jobs = int(os.environ.get("BENCH_MANY", "10"))
    poll_delay = 0.01
    job_timeout = contract.SOON if contract.SAFE else 300


class ArqRival:
    async def install(self, url: str) -> None:
        pass

    async def open(self, url: str) -> None:
        self.pool = await create_pool(SETTINGS)

    async def put(self, task: str, n: int) -> None:
        await self.pool.enqueue_job(task, n)

    async def put_many(self, task: str, numbers: Sequence[int]) -> None:
        await contract.each(lambda n: self.pool.enqueue_job(task, n), numbers)

    async def trip(self, n: int) -> None:
        job = await self.pool.enqueue_job("noop", n)
        assert job is not None
        await job.result(timeout=30, poll_delay=0.001)

    async def work(self, url: str, many: int, processes: int) -> NoReturn:
        contract.become("arq", "with_arq.WorkerSettings", BENCH_MANY=str(many))


if __name__ == "__main__":
    contract.main(ArqRival())
