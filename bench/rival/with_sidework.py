"""Ours, on either engine, as it comes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NoReturn

import contract

from sidework import Sidework

app = Sidework(contract.URL)


@app.task(name="noop")
async def noop(n: int) -> int:
    await contract.run("noop", n)
    return n


@app.task(name="nap")
async def nap(n: int) -> int:
    await contract.run("nap", n)
    return n


TASKS = {"noop": noop, "nap": nap}


class Ours:
    async def install(self, url: str) -> None:
        app.store.migrate()

    async def open(self, url: str) -> None:
        pass

    async def put(self, task: str, n: int) -> None:
        TASKS[task].enqueue(n)  # one caller has nothing to share a commit with

    async def put_many(self, task: str, numbers: Sequence[int]) -> None:
        app.enqueue_many(TASKS[task].bind(n) for n in numbers)

    async def trip(self, n: int) -> None:
        noop.enqueue(n).result(timeout=30)

    async def work(self, url: str, many: int, processes: int) -> NoReturn:
        concurrency = ["--concurrency", str(many)]
        contract.become("sidework", "worker", __file__, "--children", str(processes), *concurrency)


if __name__ == "__main__":
    contract.main(Ours(), "asyncio")
