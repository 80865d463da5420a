"""Peers on SQLite that need no server: litequeue (a queue alone) and huey, as each comes."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from pathlib import Path

POP = """
import sys, time
from litequeue import LiteQueue
queue = LiteQueue(sys.argv[1])
count = 0
began = time.perf_counter()
while (message := queue.pop()) is not None:
    queue.done(message.message_id)
    count += 1
print(count / (time.perf_counter() - began))
"""
HUEY = """
import os
from huey import SqliteHuey
huey = SqliteHuey(filename=os.path.join(os.path.dirname(os.path.abspath(__file__)), "huey.db"))

@huey.task()
def noop(n):
    return n
"""


def litequeue_drain(folder: Path, jobs: int) -> float:
    """Jobs/s of one process that pops and marks as done; no task is run, no result is kept."""
    from litequeue import LiteQueue

    queue = LiteQueue(str(folder / "lite.db"))
    for n in range(jobs):
        queue.put(str(n))
    done = subprocess.run(
        [sys.executable, "-c", POP, str(folder / "lite.db")],
        capture_output=True,
        text=True,
        check=True,
    )
    return float(done.stdout)


def litequeue_put(folder: Path, jobs: int) -> float:
    """Puts/s, one by one."""
    from litequeue import LiteQueue

    queue = LiteQueue(str(folder / "put.db"))
    began = time.perf_counter()
    for n in range(jobs):
        queue.put(str(n))
    return jobs / (time.perf_counter() - began)


def huey_all(folder: Path, jobs: int) -> dict[str, float]:
    """huey's enqueue/s, drained jobs/s with results, and enqueue to result in ms, 4 worker threads."""
    (folder / "hueyapp.py").write_text(HUEY)
    sys.path.insert(0, str(folder))
    import os

    os.chdir(folder)
    for name in ("hueyapp",):
        sys.modules.pop(name, None)
    import hueyapp

    began = time.perf_counter()
    results = [hueyapp.noop(n) for n in range(jobs)]
    put = jobs / (time.perf_counter() - began)
    consumer = subprocess.Popen(
        [str(Path(sys.executable).parent / "huey_consumer"), "hueyapp.huey", "-w", "4", "-q", "-d", "0.01"],
        cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        results[0].get(blocking=True, timeout=30)
        began = time.perf_counter()
        while hueyapp.huey.pending_count() and time.perf_counter() - began < 60:
            threading.Event().wait(0.05)
        drained = jobs / (time.perf_counter() - began)
        trips = []
        for n in range(30):
            began = time.perf_counter()
            hueyapp.noop(n).get(blocking=True, timeout=10, backoff=1, max_delay=0.001)
            trips.append((time.perf_counter() - began) * 1000)
    finally:
        consumer.terminate()
        consumer.wait()
    return {"put": put, "drain": drained, "trip": sorted(trips)[15]}
