"""chancy with its asyncio executor and eager polling; its default plugins (pruner, leadership, recovery)."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence

import contract
from chancy import Chancy, Job, Queue, Worker
from chancy.plugins.leadership import Leadership
from chancy.plugins.recovery import Recovery


async def noop(n: int) -> None:
    await contract.run("noop", n)


async def nap(n: int) -> None:
    await contract.run("nap", n)


async def crunch(n: int) -> None:
    await contract.run("crunch", n)


def job_of(task: str, n: int) -> Job:
    return Job(func=f"with_chancy.{task}", kwargs={"n": n})


class ChancyRival:
    async def install(self, url: str) -> None:
        await self.open(url)
        await self.app.migrate()

    async def open(self, url: str) -> None:
        quiet = logging.getLogger("chancy")
        quiet.setLevel(logging.ERROR)
        soon = [
            Leadership(poll_interval=2, timeout=contract.SOON), Recovery(poll_interval=2)
        ]  # fmt: skip
        self.app = Chancy(
            url, log=quiet, max_connection_pool_size=16, plugins=soon if contract.SAFE else []
        )
        await self.app.__aenter__()

    async def put(self, task: str, n: int) -> None:
        await self.app.push(job_of(task, n))

    async def put_many(self, task: str, numbers: Sequence[int]) -> None:
        async for _ in self.app.push_many([job_of(task, n) for n in numbers]):
            pass

    async def work(self, url: str, many: int, processes: int) -> None:
        await self.open(url)
        await self.app.declare(
            Queue(
                "default", concurrency=many, executor=Chancy.Executor.Async,
                polling_interval=1, eager_polling=True,
            ),
            upsert=True,
        )  # fmt: skip
        beats = {"heartbeat_poll_interval": 2, "heartbeat_timeout": contract.SOON}
        beats = beats if contract.SAFE else {}
        async with Worker(self.app, register_signal_handlers=False, **beats):
            await asyncio.Event().wait()


if __name__ == "__main__":
    contract.main(ChancyRival())
