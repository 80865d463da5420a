"""How long a worker takes to leave after SIGTERM, with so many jobs running.

``python bench/drain.py [URL]``; without a URL on a SQLite file of its own. Prints a table: the median of
three runs, and the longest. Jobs that take less than the grace end; those that take longer are cut off then.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

from sidework.store.opening import open_store
from sidework.store.protocol import Store

APP = """
import asyncio, time
from sidework import Sidework
app = Sidework()

def begin() -> None:
    with open("begun", "a") as file:
        file.write("1")

@app.task
async def coroutine(seconds: float) -> None:
    begin()
    await asyncio.sleep(seconds)

@app.task
def thread(seconds: float) -> None:
    begin()
    time.sleep(seconds)

@app.task(runner="process")
def process(seconds: float) -> None:
    begin()
    time.sleep(seconds)
"""
RUNS = 3
LENGTHS = ((2.0, 10.0), (60.0, 1.0))
"""What each job takes, and the grace."""
CASES = (("coroutine", 100), ("coroutine", 1000), ("thread", 16), ("process", 2))


def run(
    folder: Path, url: str, task: str, count: int, seconds: float, grace: float
) -> tuple[float, dict[str, int]]:
    """Seconds from the signal to the exit; and the jobs by state then."""
    env = {**os.environ, "SIDEWORK_URL": url}
    make = (
        f"import shop; shop.app.enqueue_many(shop.{task}.bind({seconds}) for _ in range({count}))"
    )
    subprocess.run([sys.executable, "-c", make], cwd=folder, env=env, check=True)
    store = open_store(url)
    words = ["worker", "shop", "--children", "2", "--concurrency", "500", "--grace", str(grace)]
    worker = subprocess.Popen(
        [sys.executable, "-m", "sidework", *words], cwd=folder, env=env, stderr=subprocess.DEVNULL
    )
    try:
        begun = folder / "begun"
        _until(lambda: begun.exists() and begun.stat().st_size == count)
        began = time.monotonic()
        worker.send_signal(signal.SIGTERM)
        worker.wait(60)
        return time.monotonic() - began, _jobs(store)
    finally:
        worker.kill()
        worker.wait()
        store.close()


def _jobs(store: Store) -> dict[str, int]:
    counts: dict[str, int] = {}
    for queue in store.queues():
        for state, count in queue.counts.items():
            counts[state] = counts.get(state, 0) + count
    return counts


def _until(condition: Callable[[], Any]) -> None:
    while not condition():
        time.sleep(0.01)


def main() -> None:
    given = sys.argv[1] if len(sys.argv) > 1 else None
    print(
        "| running | each takes | grace | SIGTERM to exit, median | longest | then |\n"
        "|---|---|---|---|---|---|"
    )
    for task, count in CASES:
        for seconds, grace in LENGTHS:
            took, ends = [], set()
            for _ in range(RUNS):
                with tempfile.TemporaryDirectory() as folder:
                    Path(folder, "shop.py").write_text(APP)
                    url = given or f"sqlite:///{folder}/jobs.db"
                    seconds_, states = run(Path(folder), url, task, count, seconds, grace)
                    took.append(seconds_)
                    ends.add(", ".join(f"{n} {state}" for state, n in sorted(states.items())))
                    _clear(url)
            told = f"{count} {task}" + ("es" if task.endswith("s") else "s")
            cells = (told, f"{seconds:g} s", f"{grace:g} s", f"{median(took):.2f} s",
                     f"{max(took):.2f} s", "; ".join(ends))  # fmt: skip
            print("|", " | ".join(cells), "|", flush=True)


def _clear(url: str) -> None:
    """Nothing of this run is left for the next."""
    from sidework.job import JobFilter
    from sidework.state import FINAL

    store = open_store(url)
    while rows := store.page(JobFilter(), None, 500):
        for row in rows:
            if row.state not in FINAL:
                store.cancel(row.id, "the bench is over")
            store.delete(row.id)
    store.close()


if __name__ == "__main__":
    main()
