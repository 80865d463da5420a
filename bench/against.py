"""Whether it became slower: another revision and this one, in alternation, and the ratios.

    python bench/against.py REVISION [--engine sqlite|postgres] [--pairs N]

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
from contextlib import ExitStack
from pathlib import Path

from server import Databases, databases

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


ON_POSTGRES = """
import json, os, resource, statistics, subprocess, sys, time
import psycopg
sys.path.insert(0, sys.argv[1])
import work
from sidework.store.postgres.place import place_of
app, told = work.app, {}
app.store.migrate()
database = psycopg.connect(place_of(os.environ["SIDEWORK_URL"]).conninfo, autocommit=True)
def asked(what):
    return database.execute("SELECT " + what + " FROM sidework.jobs").fetchone()
def rate(count, what):
    began = time.perf_counter()
    what()
    return count / (time.perf_counter() - began)
def spent():
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime
def worker():
    words = [sys.executable, "-m", "sidework", "worker", "work", "--children", "1"]
    return subprocess.Popen(words, cwd=sys.argv[1], stderr=subprocess.DEVNULL)
def one():
    for n in range(500):
        work.noop.enqueue(n)
def done():
    return asked("count(*) FILTER (WHERE finished_at IS NOT NULL)")[0]
one()
told["one by one"] = rate(500, one)
told["bulk"] = rate(15000, lambda: app.enqueue_many(work.noop.bind(n) for n in range(15000)))
database.execute("ANALYZE sidework.jobs")
before, running = spent(), worker()
while done() < 16000:
    time.sleep(0.1)
first, last = asked("min(finished_at), max(finished_at)")
told["drain"] = 16000 * 1000 / (last - first)
running.terminate()
running.wait()
told["drain, by the worker's processor time"] = 16000 / (spent() - before)
trips, running = [], worker()
work.stamp.enqueue().result(timeout=30)
for _ in range(100):
    began = time.perf_counter()
    work.stamp.enqueue().result(timeout=10)
    trips.append(time.perf_counter() - began)
told["round trips"] = 1 / statistics.median(trips)
running.terminate()
running.wait()
app.close()
print(json.dumps(told))
"""


def sample(tree: Path, databases: Databases | None) -> dict[str, float]:
    env = {**os.environ, "PYTHONPATH": str(tree / "src")}
    with ExitStack() as stack:
        env["TMPDIR"] = stack.enter_context(tempfile.TemporaryDirectory())
        if databases is not None:
            databases.settle()
            env["SIDEWORK_URL"] = stack.enter_context(databases.fresh())
        program = SAMPLE if databases is None else ON_POSTGRES
        done = subprocess.run(
            [sys.executable, "-c", program, str(tree / "bench")],
            env=env, stdout=subprocess.PIPE, text=True, check=True,
        )  # fmt: skip
    found: dict[str, float] = json.loads(done.stdout)
    return found


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("revision")
    parser.add_argument("--engine", choices=("sqlite", "postgres"), default="sqlite")
    parser.add_argument("--pairs", type=int, default=10)
    given = parser.parse_args()
    if given.pairs < 2:
        parser.error("--pairs: at least 2, for a spread")
    with ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="sidework-against-"))
        server = stack.enter_context(databases()) if given.engine == "postgres" else None
        other = Path(folder) / "other"
        git: Callable[..., object] = lambda *words: subprocess.run(  # noqa: E731
            ["git", "-C", ROOT, *words], check=True, capture_output=True
        )
        git("worktree", "add", "--detach", str(other), given.revision)
        try:
            ratios: dict[str, list[float]] = {}
            for turn in range(given.pairs):
                order = (ROOT, other) if turn % 2 else (other, ROOT)
                found = {tree: sample(tree, server) for tree in order}
                for what, value in found[ROOT].items():
                    ratios.setdefault(what, []).append(value / found[other][what])
                print(turn + 1, {w: round(r[-1], 2) for w, r in ratios.items()}, flush=True)
        finally:
            git("worktree", "remove", "--force", str(other))
    print(f"rates of this tree as a share of those of {given.revision}, {given.pairs} pairs")
    for what, values in ratios.items():
        low, _, high = statistics.quantiles(values, n=4)
        print(
            f"{what:38} median {statistics.median(values):.3f}, middle half {low:.2f} – {high:.2f}"
        )


if __name__ == "__main__":
    main()
