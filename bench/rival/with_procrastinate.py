"""procrastinate over psycopg's asynchronous pool, its recommended connector; jobs are kept (its default)."""

from __future__ import annotations

import logging
from collections.abc import Sequence

import contract
import procrastinate

CHUNK = 1000


class ProcrastinateRival:
    async def install(self, url: str) -> None:
        await self.open(url)
        await self.app.schema_manager.apply_schema_async()

    async def open(self, url: str) -> None:
        logging.getLogger("procrastinate").setLevel(logging.ERROR)
        connector = procrastinate.PsycopgConnector(conninfo=url, min_size=4, max_size=20)
        self.app = procrastinate.App(connector=connector)
        self.tasks = {task: self.declared(task) for task in ("noop", "nap", "crunch")}
        await self.app.open_async()

    def declared(self, task: str) -> procrastinate.tasks.Task:
        @self.app.task(name=task)
        async def entry(n: int) -> None:
            await contract.run(task, n)

        return entry

    async def put(self, task: str, n: int) -> None:
        await self.tasks[task].defer_async(n=n)

    async def put_many(self, task: str, numbers: Sequence[int]) -> None:
        for start in range(0, len(numbers), CHUNK):
            some = numbers[start : start + CHUNK]
            await self.tasks[task].batch_defer_async(*({"n": n} for n in some))

    async def work(self, url: str, many: int) -> None:
        await self.open(url)
        await self.app.run_worker_async(
            concurrency=many, install_signal_handlers=False, fetch_job_polling_interval=0.05
        )


if __name__ == "__main__":
    contract.main(ProcrastinateRival())
