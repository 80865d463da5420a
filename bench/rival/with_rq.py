"""RQ with its default worker, which forks for each job."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NoReturn

import contract
from redis import Redis
from rq import Queue, Retry


def noop(n: int) -> int:
    contract.run_here("noop", n)
    return n


def nap(n: int) -> int:
    contract.run_here("nap", n)
    return n


SAFE = {"retry": Retry(max=3), "job_timeout": contract.SOON} if contract.SAFE else {}


class RqRival:
    async def install(self, url: str) -> None:
        pass

    async def open(self, url: str) -> None:
        self.queue = Queue(connection=Redis.from_url(url))

    async def put(self, task: str, n: int) -> None:
        self.queue.enqueue(f"with_rq.{task}", n, **SAFE)

    async def put_many(self, task: str, numbers: Sequence[int]) -> None:
        prepared = [Queue.prepare_data(f"with_rq.{task}", (n,), **named()) for n in numbers]
        self.queue.enqueue_many(prepared)

    async def trip(self, n: int) -> None:
        job = self.queue.enqueue("with_rq.noop", n)
        assert job.latest_result(timeout=30) is not None

    async def work(self, url: str, many: int, processes: int) -> NoReturn:
        soon = ["--job-monitoring-interval", "1", "--maintenance-interval", str(contract.SOON)]
        # What a job imports is there before the fork, as its page on performance asks for.
        contract.become("rq.cli", "worker", "-q", "-u", url, *(soon if contract.SAFE else []))


def named() -> dict[str, object]:
    """As ``prepare_data`` calls them."""
    return {"timeout" if name == "job_timeout" else name: value for name, value in SAFE.items()}


if __name__ == "__main__":
    contract.main(RqRival())
