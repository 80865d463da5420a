"""Whether SQLite became slower: another revision and this one, in alternation, and the ratios.

    python bench/against.py REVISION [--pairs N]

Each sample is a process of its own with the code and the bench of its revision. A busy or moody machine is
the same for both of a pair, and which goes first changes with every pair. Processor time minds it least.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
SAMPLE = """
import asyncio, json, resource, statistics, sys, tempfile, threading, time
from pathlib import Path
sys.path.insert(0, sys.argv[1])
import measures
run = measures.Run(Path(tempfile.mkdtemp(prefix="sidework-against-")), 1.0)
work, told = run.work, {}
def rate(count, what):
    began = time.perf_counter()
    what()
    return count / (time.perf_counter() - began)
def one():
    for n in range(500):
        work.noop.enqueue(n)
async def acall():
    for n in range(100):
        await work.noop.aenqueue(n)
async def all64():
    await asyncio.gather(*(acall() for _ in range(64)))
def spent(who):
    used = resource.getrusage(who)
    return used.ru_utime + used.ru_stime
one()
before = spent(resource.RUSAGE_SELF)
told["one by one"] = rate(500, one)
told["one by one, by processor time"] = 500 / (spent(resource.RUSAGE_SELF) - before)
told["64 callers, coroutines"] = rate(6400, lambda: asyncio.run(all64()))
def call():
    for n in range(50):
        work.noop.enqueue(n)
def all_threads():
    threads = [threading.Thread(target=call) for _ in range(64)]
    for thread in threads: thread.start()
    for thread in threads: thread.join()
told["64 callers, threads"] = rate(3200, all_threads)
told["bulk"] = rate(30000, lambda: run.app.enqueue_many(work.noop.bind(n) for n in range(30000)))
run.fresh()
before = spent(resource.RUSAGE_CHILDREN)
told["drain"] = measures.drain_of(run, work.noop, 15000, 1)
told["drain, by processor time"] = 15000 / (spent(resource.RUSAGE_CHILDREN) - before)
run.fresh()
trips = []
with run.worker("--children", "1"):
    work.stamp.enqueue().result(timeout=30)
    for _ in range(100):
        began = time.perf_counter()
        work.stamp.enqueue().result(timeout=10)
        trips.append(time.perf_counter() - began)
told["round trips"] = 1 / statistics.median(trips)
run.app.close()
print(json.dumps(told))
"""


def sample(tree: Path) -> dict[str, float]:
    env = {**os.environ, "PYTHONPATH": str(tree / "src")}
    with tempfile.TemporaryDirectory() as folder:
        done = subprocess.run(
            [sys.executable, "-c", SAMPLE, str(tree / "bench")],
            env={**env, "TMPDIR": folder}, capture_output=True, text=True, check=True,
        )  # fmt: skip
    found: dict[str, float] = json.loads(done.stdout)
    return found


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("revision")
    parser.add_argument("--pairs", type=int, default=10)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="sidework-against-") as folder:
        other = Path(folder) / "other"
        git: Callable[..., object] = lambda *words: subprocess.run(  # noqa: E731
            ["git", "-C", ROOT, *words], check=True, capture_output=True
        )
        git("worktree", "add", "--detach", str(other), given.revision)
        try:
            ratios: dict[str, list[float]] = {}
            for turn in range(given.pairs):
                order = (ROOT, other) if turn % 2 else (other, ROOT)
                found = {tree: sample(tree) for tree in order}
                for what, value in found[ROOT].items():
                    ratios.setdefault(what, []).append(value / found[other][what])
                print(turn + 1, {w: round(r[-1], 2) for w, r in ratios.items()}, flush=True)
        finally:
            git("worktree", "remove", "--force", str(other))
    print(f"rates of this tree as a share of those of {given.revision}, {given.pairs} pairs")
    for what, values in ratios.items():
        low, _, high = statistics.quantiles(values, n=4)
        print(
            f"{what:30} median {statistics.median(values):.3f}, middle half {low:.2f} – {high:.2f}"
        )


if __name__ == "__main__":
    main()
