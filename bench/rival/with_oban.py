"""Oban for Python (Python 3.12 and newer), the open edition."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence

import contract
import orjson
from oban import Oban, worker
from oban.schema import install
from psycopg.types.json import set_json_dumps, set_json_loads
from psycopg_pool import AsyncConnectionPool

CHUNK = 1000
SOON = {"interval": contract.SOON, "rescue_after": contract.SOON}
LIFELINE = SOON if contract.SAFE else {}


@worker(queue="default")
class Noop:
    async def process(self, job) -> None:
        await contract.run("noop", job.args["n"])


@worker(queue="default")
class Nap:
    async def process(self, job) -> None:
        await contract.run("nap", job.args["n"])


@worker(queue="default")
class Crunch:
    async def process(self, job) -> None:
        await contract.run("crunch", job.args["n"])


KINDS = {"noop": Noop, "nap": Nap, "crunch": Crunch}


class ObanRival:
    async def pool(self, url: str) -> AsyncConnectionPool:
        # As its command line does.
        set_json_dumps(orjson.dumps)
        set_json_loads(orjson.loads)
        pool = AsyncConnectionPool(url, min_size=1, max_size=10, open=False)
        await pool.open()
        await pool.wait()
        return pool

    async def install(self, url: str) -> None:
        await install(await self.pool(url))

    async def open(self, url: str) -> None:
        self.oban = Oban(pool=await self.pool(url))
        await self.oban.start()

    async def put(self, task: str, n: int) -> None:
        await self.oban.enqueue(KINDS[task].new({"n": n}))

    async def put_many(self, task: str, numbers: Sequence[int]) -> None:
        kind = KINDS[task]
        for start in range(0, len(numbers), CHUNK):
            await self.oban.enqueue_many(kind.new({"n": n}) for n in numbers[start : start + CHUNK])

    async def work(self, url: str, many: int, processes: int) -> None:
        logging.getLogger("oban").setLevel(logging.ERROR)
        async with Oban(pool=await self.pool(url), queues={"default": many}, lifeline=LIFELINE):
            await asyncio.Event().wait()


if __name__ == "__main__":
    contract.main(ObanRival())
