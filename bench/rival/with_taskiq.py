"""taskiq on a Redis stream, the broker that its plugin recommends, and results in the same server."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NoReturn

import contract
from taskiq_redis import RedisAsyncResultBackend, RedisStreamBroker

idle = {"idle_timeout": contract.SOON * 1000} if contract.SAFE else {}
broker = RedisStreamBroker(contract.URL, consumer_id="0", **idle).with_result_backend(
    RedisAsyncResultBackend(contract.URL, result_ex_time=3600)
)


@broker.task(task_name="noop")
async def noop(n: int) -> int:
    await contract.run("noop", n)
    return n


@broker.task(task_name="nap")
async def nap(n: int) -> int:
    await contract.run("nap", n)
    return n


TASKS = {"noop": noop, "nap": nap}


class TaskiqRival:
    async def install(self, url: str) -> None:
        pass

    async def open(self, url: str) -> None:
        await broker.startup()

    async def put(self, task: str, n: int) -> None:
        await TASKS[task].kiq(n)

    async def put_many(self, task: str, numbers: Sequence[int]) -> None:
        await contract.each(TASKS[task].kiq, numbers)

    async def trip(self, n: int) -> None:
        await (await noop.kiq(n)).wait_result(check_interval=0.001, timeout=30)

    async def work(self, url: str, many: int, processes: int) -> NoReturn:
        sizes = ["--workers", str(processes), "--max-async-tasks", str(many)]
        quiet = ["--log-level", "ERROR", "--no-parse"]
        contract.become("taskiq", "worker", "with_taskiq:broker", *sizes, *quiet)


if __name__ == "__main__":
    contract.main(TaskiqRival())
