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
        if contract.SAFE:
            self.app.periodic(cron="* * * * * */2")(self.app.task(name="stalled")(self.stalled))
        self.tasks = {task: self.declared(task) for task in ("noop", "nap", "crunch")}
        await self.app.open_async()

    async def stalled(self, timestamp: int) -> None:
        """As its documentation shows: stalled jobs are for the application to look for."""
        manager = self.app.job_manager
        for job in await manager.get_stalled_jobs(seconds_since_heartbeat=contract.SOON):
            await manager.retry_job(job)

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

    async def work(self, url: str, many: int, processes: int) -> None:
        await self.open(url)
        beats = {"update_heartbeat_interval": 2, "stalled_worker_timeout": contract.SOON}
        beats = beats if contract.SAFE else {}
        await self.app.run_worker_async(
            concurrency=many,
            install_signal_handlers=False,
            fetch_job_polling_interval=0.05,
            **beats,
        )


if __name__ == "__main__":
    contract.main(ProcrastinateRival())
