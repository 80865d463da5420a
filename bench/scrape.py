"""What a monitor's look at a store costs, with few jobs in it and with many.

``python bench/scrape.py [URL]``; without a URL on a SQLite file of its own. The store has to be empty. The
jobs are in 200 queues, nine in ten available. Prints the median of nine looks.
"""

from __future__ import annotations

import sys
import tempfile
import time
from statistics import median

from sidework.ids import new_id
from sidework.job import NewJob
from sidework.store.opening import open_store
from sidework.store.protocol import Store

SIZES = (10_000, 500_000)
QUEUES = 200
CHUNK = 5_000


def fill(store: Store, first: int, last: int) -> None:
    for start in range(first, last, CHUNK):
        store.insert(
            [
                NewJob(new_id(), "m:f", b"\x01{}", lane=f"q{n % QUEUES:03}", priority=n % 3,
                       delay=0 if n % 10 else 3_600_000)
                for n in range(start, min(start + CHUNK, last))
            ]
        )  # fmt: skip


def looked(store: Store) -> float:
    began = time.perf_counter()
    store.gauges.read()
    return time.perf_counter() - began


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        store = open_store(sys.argv[1] if len(sys.argv) > 1 else f"sqlite:///{folder}/jobs.db")
        store.migrate()
        there = 0
        for size in SIZES:
            fill(store, there, size)
            there = size
            print(
                f"{size:,} jobs: {median(looked(store) for _ in range(9)) * 1000:.0f} ms",
                flush=True,
            )
        store.close()


if __name__ == "__main__":
    main()
