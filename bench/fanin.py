"""What it costs that jobs wait for jobs: so many plain ones, one that takes the outputs of as many, and as
many that wait for one. From the start of the first to the end of the last, by the store's own times.

    python bench/fanin.py [--width N] [--rounds N]

A SQLite file and the tests' PostgreSQL, each new for every round.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE), str(HERE.parent / "tests"), str(HERE.parent / "src")]

Put = Callable[[Any, int], str]
"""Enqueues the jobs; the id of one that ends last, or of any."""


def plain(work: Any, width: int) -> str:
    bound = [work.noop.bind(n) for n in range(width)]
    work.app.enqueue_many(bound)
    return str(bound[-1].id)


def fan_in(work: Any, width: int) -> str:
    bound = [work.noop.bind(n) for n in range(width)]
    last = work.count.bind([one.output for one in bound])
    work.app.enqueue_many([*bound, last])
    return str(last.id)


def fan_out(work: Any, width: int) -> str:
    first = work.noop.bind(0)
    bound = [work.noop.bind(first.output) for _ in range(width)]
    work.app.enqueue_many([first, *bound])
    return str(bound[-1].id)


def seconds(url: str, put: Put, width: int) -> tuple[float, float]:
    """How long handing over took, and the work."""
    os.environ["SIDEWORK_URL"] = url
    sys.modules.pop("work", None)
    import work

    app = work.app
    app.store.migrate()
    began = time.perf_counter()
    last = put(work, width)
    handed = time.perf_counter() - began
    command = [
        sys.executable,
        "-m",
        "sidework",
        "worker",
        str(HERE / "work.py"),
        "--log-level",
        "warning",
    ]
    worker = subprocess.Popen(command)
    try:
        app.job(last).result(timeout=300)
        while any(row.counts.get(state, 0) for row in app.store.queues()
                  for state in ("available", "running", "blocked")):  # fmt: skip
            time.sleep(0.05)
    finally:
        worker.terminate()
        worker.wait()
    jobs = list(app.jobs())
    app.close()
    assert all(job.state == "completed" for job in jobs), "a job did not complete"
    ended = max(job.finished_at for job in jobs if job.finished_at is not None)
    started = min(job.started_at for job in jobs if job.started_at is not None)
    return handed, (ended - started).total_seconds()


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--width", type=int, default=10_000)
    parser.add_argument("--rounds", type=int, default=3)
    given = parser.parse_args()
    from servers.binaries import newest
    from servers.shared import shared

    for engine in ("sqlite", "postgres"):
        found: dict[str, list[tuple[float, float]]] = {}
        for _ in range(given.rounds):
            for put in (plain, fan_in, fan_out):
                with tempfile.TemporaryDirectory() as folder:
                    if engine == "sqlite":
                        url = f"sqlite:///{folder}/jobs.db"
                    else:
                        url = shared(newest()).new_database()
                    found.setdefault(put.__name__, []).append(seconds(url, put, given.width))
        base = statistics.median(worked for _, worked in found["plain"])
        for name, times in found.items():
            handed = statistics.median(one for one, _ in times)
            worked = statistics.median(one for _, one in times)
            print(f"{engine:9} {name:8} handed over in {handed:.2f} s, done in {worked:.2f} s, "
                  f"{worked / base:.2f} of plain")  # fmt: skip


if __name__ == "__main__":
    main()
