"""Dramatiq with its Redis broker and results in the same server."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NoReturn

import contract
import dramatiq
from dramatiq.brokers.redis import RedisBroker
from dramatiq.results import Results
from dramatiq.results.backends import RedisBackend

SAFE = {"heartbeat_timeout": contract.SOON * 1000, "maintenance_chance": 100_000}
broker = RedisBroker(url=contract.URL, **(SAFE if contract.SAFE else {}))
broker.add_middleware(Results(backend=RedisBackend(url=contract.URL)))
dramatiq.set_broker(broker)


@dramatiq.actor(actor_name="noop", store_results=True)
def noop(n: int) -> int:
    contract.run_here("noop", n)
    return n


@dramatiq.actor(actor_name="nap", store_results=True)
def nap(n: int) -> int:
    contract.run_here("nap", n)
    return n


TASKS = {"noop": noop, "nap": nap}


class DramatiqRival:
    async def install(self, url: str) -> None:
        pass

    async def open(self, url: str) -> None:
        pass

    async def put(self, task: str, n: int) -> None:
        TASKS[task].send(n)

    async def put_many(self, task: str, numbers: Sequence[int]) -> None:
        for n in numbers:
            TASKS[task].send(n)

    async def trip(self, n: int) -> None:
        noop.send(n).get_result(block=True, timeout=30_000)

    async def work(self, url: str, many: int, processes: int) -> NoReturn:
        sizes = ["-p", str(processes), "-t", str(contract.threads(many))]
        contract.become("dramatiq", "with_dramatiq", "--skip-logging", *sizes)


if __name__ == "__main__":
    contract.main(DramatiqRival())
