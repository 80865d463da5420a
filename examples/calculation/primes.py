"""Heavy calculation: how many primes there are below a number, by all cores.

python primes.py         # by one core, by multiprocessing, and by jobs; README.md has the rest
"""

import os
import subprocess
import sys
from collections.abc import Callable
from itertools import pairwise
from math import isqrt
from multiprocessing import Pool
from time import perf_counter

from sidework import JobHandle, Sidework, as_completed, track

CORES = len(os.sched_getaffinity(0))
BLOCK = 1000

jobs = Sidework()


def is_prime(number: int) -> bool:
    if number < 4 or number % 2 == 0:
        return number in (2, 3)
    return all(number % divisor for divisor in range(3, isqrt(number) + 1, 2))


def primes(numbers: range) -> int:
    return sum(map(is_prime, numbers))


@jobs.task(runner="process", retries=2)
def count(start: int, stop: int) -> int:
    """Those from ``start`` up to ``stop``, in a process of its own; block by block, to tell how far it is."""
    blocks = track(range(start, stop, BLOCK), note=f"{start:,} to {stop:,}")
    return sum(primes(range(block, min(block + BLOCK, stop))) for block in blocks)


@jobs.task
def add(counts: list[int]) -> int:
    return sum(counts)


def count_below(limit: int, parts: int) -> tuple[list[JobHandle[int]], JobHandle[int]]:
    """Fan out, and in: the last job is given the results of the others, and runs when all are there."""
    counts = [count.enqueue(part.start, part.stop) for part in split(limit, parts)]
    return counts, add.enqueue([job.output for job in counts])


def split(limit: int, parts: int) -> list[range]:
    bounds = [limit * part // parts for part in range(parts + 1)]
    return [range(*pair) for pair in pairwise(bounds)]


def by_one_core(limit: int) -> int:
    return primes(range(limit))


def by_multiprocessing(limit: int) -> int:
    with Pool(CORES) as pool:
        return sum(pool.imap_unordered(primes, split(limit, 8 * CORES)))


def by_jobs(limit: int) -> int:
    counts, total = count_below(limit, 8 * CORES)
    for done, _ in enumerate(as_completed(counts), 1):
        print(f"\r{done} of {len(counts)} parts", end="", file=sys.stderr, flush=True)
    print(file=sys.stderr)
    return total.result()


def timed(way: Callable[[int], int], limit: int) -> None:
    began = perf_counter()
    found = way(limit)
    print(f"{way.__name__:<20} {perf_counter() - began:6.2f} s   {found:,} primes below {limit:,}")


if __name__ == "__main__":
    limit = int(sys.argv[1]) if len(sys.argv) > 1 else 1_000_000
    timed(by_one_core, limit)
    timed(by_multiprocessing, limit)
    command = ["-m", "sidework", "worker", __file__, "--log-level", "warning"]
    worker = subprocess.Popen([sys.executable, *command])
    try:
        add.enqueue([]).result(timeout=30)  # it is there
        timed(by_jobs, limit)
    finally:
        worker.terminate()
        worker.wait()
