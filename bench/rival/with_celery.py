"""Celery: processes for no-ops, gevent's pool for sleeps; results in the same server."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NoReturn

import contract
from celery import Celery

app = Celery("bench", broker=contract.URL, backend=contract.URL)
app.conf.worker_prefetch_multiplier = 128  # for short tasks
if contract.SAFE:
    app.conf.update(
        task_acks_late=True, task_reject_on_worker_lost=True, worker_prefetch_multiplier=1,
        broker_transport_options={"visibility_timeout": contract.SOON},
    )  # fmt: skip


@app.task(name="noop")
def noop(n: int) -> int:
    contract.run_here("noop", n)
    return n


@app.task(name="nap")
def nap(n: int) -> int:
    contract.run_here("nap", n)
    return n


TASKS = {"noop": noop, "nap": nap}


class CeleryRival:
    async def install(self, url: str) -> None:
        pass

    async def open(self, url: str) -> None:
        pass

    async def put(self, task: str, n: int) -> None:
        TASKS[task].delay(n)

    async def put_many(self, task: str, numbers: Sequence[int]) -> None:
        with app.producer_pool.acquire(block=True) as producer:
            for n in numbers:
                TASKS[task].apply_async((n,), producer=producer)

    async def trip(self, n: int) -> None:
        noop.delay(n).get(timeout=30)

    async def work(self, url: str, many: int, processes: int) -> NoReturn:
        pool = ["-P", "gevent", "-c", str(many * processes)]
        if many < 1000:
            pool = ["-P", "prefork", "-c", str(processes)]
        quiet = ["--without-gossip", "--without-mingle", "-l", "ERROR"]
        contract.become("celery", "-A", "with_celery", "worker", *pool, *quiet)


if __name__ == "__main__":
    contract.main(CeleryRival())
