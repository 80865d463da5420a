"""What a thousand who follow jobs' events take from a drain: with them and without, in alternation.

    python bench/watching.py [--engine sqlite|postgres] [--pairs N] [--jobs N] [--waiters N]

The followers are coroutines of one process of their own, each with a job that waits meanwhile; so they hear
of every job that ends, and read the store as often as its safety net has them.
"""

from __future__ import annotations

import argparse
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path

from server import store_url

ROOT = Path(__file__).resolve().parent.parent
APP = """
from sidework import Sidework
app = Sidework()
@app.task
async def noop(n: int) -> int:
    return n
"""
FOLLOW = """
import asyncio, sys
import shop
async def follow(job, ready):
    async for event in job.events():
        ready.release()
async def main(count):
    ready = asyncio.Semaphore(0)
    jobs = [await shop.noop.options(delay="1h").aenqueue(n) for n in range(count)]
    tasks = [asyncio.create_task(follow(job, ready)) for job in jobs]
    for _ in range(count):
        await ready.acquire()
    print("following", flush=True)
    await asyncio.gather(*tasks)
asyncio.run(main(int(sys.argv[1])))
"""


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--engine", choices=("sqlite", "postgres"), default="sqlite")
    parser.add_argument("--pairs", type=int, default=5)
    parser.add_argument("--jobs", type=int, default=20_000)
    parser.add_argument("--waiters", type=int, default=1_000)
    given = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="sidework-watching-"))
    (folder / "shop.py").write_text(APP)
    with ExitStack() as stack:
        os.environ["SIDEWORK_URL"] = store_url(given.engine, folder, stack)
        path = os.pathsep.join([str(ROOT / "src"), str(folder)])
        os.environ["PYTHONPATH"] = path
        sys.path[:0] = [str(ROOT / "src"), str(folder)]
        import shop  # type: ignore[import-not-found]

        shop.app.store.migrate()
        rates: dict[bool, list[float]] = {False: [], True: []}
        for pair in range(given.pairs):
            for watched in (pair % 2 == 0, pair % 2 == 1):
                rates[watched].append(_drain(shop, given.jobs, given.waiters if watched else 0))
            print(
                pair + 1, {watched: round(rate[-1]) for watched, rate in rates.items()}, flush=True
            )
    shares = [watched / plain for plain, watched in zip(rates[False], rates[True], strict=True)]
    print(
        f"{given.engine}: drain with {given.waiters} followers as a share of that without, "
        f"{given.pairs} pairs: median {statistics.median(shares):.2f}, "
        f"{min(shares):.2f} - {max(shares):.2f}"
    )


def _drain(shop, count: int, waiters: int) -> float:  # type: ignore[no-untyped-def]
    """Jobs a second of one child, from the first that ends to the last."""
    with ExitStack() as stack:
        if waiters:
            followers = subprocess.Popen(
                [sys.executable, "-c", FOLLOW, str(waiters)], stdout=subprocess.PIPE, text=True
            )
            stack.callback(followers.wait)
            stack.callback(followers.kill)
            assert followers.stdout is not None
            assert followers.stdout.readline() == "following\n"
        shop.app.enqueue_many(shop.noop.bind(n) for n in range(count))
        last = shop.noop.options(priority=-100).enqueue(0)
        first = shop.noop.options(priority=100).enqueue(0)
        worker = subprocess.Popen([sys.executable, "-m", "sidework", "worker", "shop", "--children", "1"],
                                  stderr=subprocess.DEVNULL)  # fmt: skip
        stack.callback(worker.wait)
        stack.callback(worker.send_signal, signal.SIGTERM)
        first.wait(timeout=60)
        began = time.perf_counter()
        last.wait(timeout=600)
        return count / (time.perf_counter() - began)


if __name__ == "__main__":
    main()
