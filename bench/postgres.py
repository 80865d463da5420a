"""What is measured on PostgreSQL: ours and the peers', each on a database of its own on one server."""

from __future__ import annotations

import asyncio
import importlib
import os
import signal
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg
from bare import bare_commits, bare_copies
from measures import (
    HERE,
    IDLE_SECONDS,
    OTHER,
    Measured,
    bare_processes,
    bare_turns,
    share_of_a_core,
    wait_until,
)
from rivals import Failed, Rival
from server import Databases


class Run:
    """Our app on one database. ``size`` is 1 but for tries."""

    def __init__(self, url: str, size: float, folder: Path) -> None:
        self.url, self.size, self.folder = url, size, folder
        os.environ["SIDEWORK_URL"] = url
        if str(HERE) not in sys.path:
            sys.path.insert(0, str(HERE))
        sys.modules.pop("work", None)
        self.work = importlib.import_module("work")
        self.app = self.work.app
        self.app.store.migrate()
        self._look = psycopg.connect(url, autocommit=True)

    def close(self) -> None:
        self.app.close()
        self._look.close()

    def count(self, full: int) -> int:
        return max(50, int(full * self.size))

    def ask(self, sql: str, *values: Any) -> Any:
        found = self._look.execute(sql, values).fetchone()
        assert found is not None
        return found if len(found) > 1 else found[0]

    def live(self) -> bool:
        """Whether there is anything left to do: two looks into small indexes."""
        return bool(
            self.ask(
                "SELECT EXISTS (SELECT FROM sidework.jobs WHERE state = 'available' LIMIT 1) "
                "OR EXISTS (SELECT FROM sidework.jobs WHERE state = 'running' LIMIT 1)"
            )
        )

    @contextmanager
    def worker(self, *words: str) -> Iterator[subprocess.Popen[bytes]]:
        process = subprocess.Popen(
            [sys.executable, "-m", "sidework", "worker", str(HERE / "work.py"), *words],
            stderr=subprocess.DEVNULL,
        )
        try:
            yield process
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait()


class Bench:
    """One repeat: the server, the peers that could be installed, and where a failure is told."""

    def __init__(
        self, databases: Databases, rivals: list[Rival], size: float, failures: dict[str, str],
        folder: Path,
    ) -> None:  # fmt: skip
        self.databases, self.rivals, self.size = databases, rivals, size
        self.failures, self.folder = failures, folder

    @contextmanager
    def ours(self) -> Iterator[Run]:
        with self.databases.fresh() as url:
            run = Run(url, self.size, self.folder)
            try:
                yield run
            finally:
                run.close()

    def theirs(self, what: str, measure: Callable[[Rival, str], Measured]) -> Measured:
        """The same of each peer, on a database in which it is installed."""
        told: Measured = {}
        for rival in self.rivals:
            self.databases.settle()
            with self.databases.fresh() as url:
                try:
                    rival.run(url, "install")
                    for name, value in measure(rival, url).items():
                        told[f"{rival.peer.name}{', ' * bool(name)}{name}"] = value
                except (Failed, subprocess.TimeoutExpired) as why:
                    self.failures[f"{rival.peer.name}: {what}"] = str(why)
        return told


def drain_of(run: Run, task: Any, jobs: int, *words: str) -> float:
    """Jobs/s between the first and the last record, by the server's clock."""
    run.app.enqueue_many(task.bind(n) for n in range(jobs))
    with run.worker(*words):
        wait_until(lambda: not run.live(), 0.2)
    first, last = run.ask(
        "SELECT min(finished_at), max(finished_at) FROM sidework.jobs WHERE state = 'completed'"
    )
    return jobs / max(0.001, (last - first) / 1000)


def drain(bench: Bench) -> Measured:
    told: Measured = {}
    for name, task, children, full in (
        ("coroutines, 1 child", "noop", 1, 40_000),
        ("coroutines, 2 children", "noop", 2, 40_000),
        ("threads, 2 children", "thread_noop", 2, 20_000),
    ):
        bench.databases.settle()
        with bench.ours() as run:
            jobs = run.count(full)
            told[name] = drain_of(run, getattr(run.work, task), jobs, "--children", str(children))
    bench.databases.settle()
    with bench.ours() as run:
        told["one process, no child: claim and record alone"] = bare_turns(run, run.count(40_000))

    def rate(rival: Rival, url: str) -> Measured:
        found: Measured = {}
        jobs = max(50, int(rival.peer.jobs * bench.size))
        for count in (1, 2):
            rival.run(url, "fill", "noop", str(jobs))
            bench.databases.settle()
            with rival.workers(url, count, 500) as counts:
                counts.wait(jobs, 60)
                end = counts.recorded(rival.peer, url)
                seconds = max(0.001, (end - counts.first) / 1e9)
            found[f"{count} process{'es' * (count > 1)}"] = jobs / seconds
        return found

    told |= bench.theirs("drain", rate)
    peers = [value for name, value in told.items() if " process" in name and "claim" not in name]
    if peers:
        ours = max(told["coroutines, 1 child"], told["coroutines, 2 children"])
        told["ours against the fastest peer"] = ours / max(peers)
    return told


def enqueue(bench: Bench) -> Measured:
    with bench.ours() as run, bench.databases.fresh() as other:
        second = Run(other, 1, bench.folder)  # the same table, empty, for the bare statement
        second.close()
        os.environ["SIDEWORK_URL"] = run.url
        count = run.count(1000)
        bare = bare_commits(other, count)
        pairs = []
        for _ in range(5):  # side by side, since the disk's pace changes by the second
            plain = bare()
            began = time.perf_counter()
            for n in range(count):
                run.work.noop.enqueue(n)
            pairs.append((plain, count / (time.perf_counter() - began)))
        pairs = pairs[1:]
        told = {
            "one by one": statistics.median(ours for _, ours in pairs),
            "a bare insert, committed": statistics.median(plain for plain, _ in pairs),
            "ratio to bare": statistics.median(ours / plain for plain, ours in pairs),
            "64 callers, coroutines": asyncio.run(coroutines(run, count // 4)),
            "64 callers, threads": threads(run, count // 4),
        }

    def rates(rival: Rival, url: str) -> Measured:
        seconds = "1.5" if bench.size >= 1 else "0.1"
        return {
            "one by one": rival.told(url, "put", seconds),
            "64 coroutines": rival.told(url, "callers", seconds),
        }

    return told | bench.theirs("enqueue", rates)


async def coroutines(run: Run, each: int) -> float:
    async def call() -> None:
        for n in range(each):
            await run.work.noop.aenqueue(n)

    began = time.perf_counter()
    await asyncio.gather(*(call() for _ in range(64)))
    return 64 * each / (time.perf_counter() - began)


def threads(run: Run, each: int) -> float:
    def call() -> None:
        for n in range(each):
            run.work.noop.enqueue(n)

    callers = [threading.Thread(target=call) for _ in range(64)]
    began = time.perf_counter()
    for caller in callers:
        caller.start()
    for caller in callers:
        caller.join()
    return 64 * each / (time.perf_counter() - began)


def bulk(bench: Bench) -> Measured:
    with bench.ours() as run, bench.databases.fresh() as other:
        second = Run(other, 1, bench.folder)  # the same table, empty
        second.close()
        os.environ["SIDEWORK_URL"] = run.url
        jobs = run.count(100_000)
        began = time.perf_counter()
        run.app.enqueue_many(run.work.noop.bind(n) for n in range(jobs))
        told = {"enqueue_many": jobs / (time.perf_counter() - began)}
        bench.databases.settle()
        told["a bare COPY of such rows, 500 a commit"] = bare_copies(other, jobs)
        told["ratio to bare"] = (
            told["enqueue_many"] / told["a bare COPY of such rows, 500 a commit"]
        )
        seconds = 3.0 if run.size >= 1 else 0.5
        other = subprocess.Popen(
            [sys.executable, "-c", OTHER, str(HERE), str(seconds)],
            stdout=subprocess.PIPE,
            text=True,
        )
        assert other.stdout is not None
        other.stdout.readline()
        while other.poll() is None:
            run.app.enqueue_many(run.work.noop.bind(n) for n in range(1000))
        told["other writer's p99, ms"] = float(other.stdout.read())

    def rate(rival: Rival, url: str) -> Measured:
        return {"": rival.told(url, "bulk", str(max(50, int(rival.peer.jobs * bench.size))))}

    return told | bench.theirs("bulk", rate)


def latency(bench: Bench) -> Measured:
    with bench.ours() as run, bench.databases.fresh() as other:
        second = Run(other, 1, bench.folder)
        second.close()
        os.environ["SIDEWORK_URL"] = run.url
        count = run.count(300)
        bare = bare_commits(other, 200)
        pickups, trips = [], []
        with run.worker("--children", "1"):
            run.work.stamp.enqueue().result(timeout=30)
            for _ in range(count):
                began = time.perf_counter()
                job = run.work.stamp.enqueue()
                handed = time.time_ns()
                started = job.result(timeout=10)
                trips.append((time.perf_counter() - began) * 1000)
                pickups.append((started - handed) / 1e6)
            commit = 1000 / statistics.median(bare() for _ in range(3))
    pickups.sort()
    trips.sort()
    at99 = int(count * 0.99)
    told = {
        "a commit, ms": commit,
        "pickup p50, ms": statistics.median(pickups),
        "pickup p99, ms": pickups[at99],
        "pickup p50 less 2 commits, ms": statistics.median(pickups) - 2 * commit,
        "enqueue to result p50, ms": statistics.median(trips),
        "enqueue to result p99, ms": trips[at99],
    }

    def picked_up(rival: Rival, url: str) -> Measured:
        with rival.workers(url, 1, 10) as counts:
            rival.run(url, "fill", "noop", "1")
            counts.wait(1, 30)
            asks = str(max(20, int(100 * bench.size)))
            took = rival.told(url, "pickup", asks, BENCH_COUNTS=str(counts.path))
        return {"pickup p50, ms": took}

    return told | bench.theirs("pickup", picked_up)


def parallel(bench: Bench) -> Measured:
    told: Measured = {}
    with bench.ours() as run:
        began = time.perf_counter()
        run.work.crunch(300_000)
        turns = int(300_000 * 0.1 / (time.perf_counter() - began))
        naps = run.count(2000)
        crunches = 40 if run.size >= 1 else 4
        with run.worker("--children", "2", "--concurrency", "1000", "--threads", "1"):
            run.work.noop.enqueue(1).result(timeout=30)
            began = time.perf_counter()
            run.app.enqueue_many(run.work.nap.bind() for _ in range(naps))
            wait_until(lambda: not run.live(), 0.005)
            told["2,000 sleeps of 100 ms, s"] = time.perf_counter() - began
            # The same work by two bare processes, before and after: what this machine can do just now.
            bare = [bare_processes(run, turns, crunches)]
            began = time.perf_counter()
            run.app.enqueue_many(run.work.crunch.bind(turns) for _ in range(crunches))
            wait_until(lambda: not run.live(), 0.02)
            took = time.perf_counter() - began
            bare.append(bare_processes(run, turns, crunches))
    told["40 calculations of 100 ms, s"] = took
    told["the same by two bare processes, s"] = statistics.mean(bare)
    told["calculations, ratio to bare processes"] = took / statistics.mean(bare)

    def both(rival: Rival, url: str) -> Measured:
        return {
            "2,000 sleeps, s": rival.timed(url, "nap", naps, 2000),
            "40 calculations, s": rival.timed(url, "crunch", crunches, 1, turns),
        }

    return told | bench.theirs("parallel", both)


def backlog(bench: Bench) -> Measured:
    """Jobs/s in the same second and a half, once the worker is at its pace, few and many behind them."""
    size = bench.size
    few, many = max(50, int(10_000 * size)), max(500, int(1_000_000 * size))
    seconds, start = (1.5, 1.5) if size >= 1 else (0.05, 0.05)
    told: Measured = {}
    for name, waiting in (("at 10k queued", few + int(80_000 * size)), ("at 1M queued", many)):
        with bench.ours() as run:
            run.app.enqueue_many(run.work.noop.bind(n) for n in range(waiting))
            bench.databases.settle()
            with run.worker("--children", "2"):
                wait_until(lambda: run.ask(
                    "SELECT EXISTS (SELECT FROM sidework.jobs WHERE state = 'completed' LIMIT 1)"
                ))  # fmt: skip
                threading.Event().wait(start + seconds + 0.1)
            first = run.ask("SELECT min(finished_at) FROM sidework.jobs WHERE state = 'completed'")
            begin = first + int(start * 1000)
            end = begin + int(seconds * 1000)
            done = run.ask(
                "SELECT count(*) FROM sidework.jobs WHERE state = 'completed' "
                "AND finished_at >= %s AND finished_at < %s", begin, end,
            )  # fmt: skip
            told[name] = done / seconds
    told["ratio"] = told["at 1M queued"] / max(1.0, told["at 10k queued"])
    return told


def weight(bench: Bench) -> Measured:
    told: Measured = {}
    with bench.ours() as run:
        job = run.work.noop.enqueue(1)
        began = time.perf_counter()
        with run.worker("--children", "1") as process:
            job.result(timeout=30)
            told["start to first result, s"] = time.perf_counter() - began
            children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
            memory = sum(
                int(line.split()[1])
                for pid in (process.pid, *children)
                for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
                if line.startswith("Pss:")
            )
            told["worker and one child, MB"] = memory / 1024
            told["connections of the worker"] = run.ask(
                "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() "
                "AND pid <> pg_backend_pid()"
            )
            own = {process.pid, *map(int, children)}
            server = bench.databases.pids()
            seconds = IDLE_SECONDS * run.size
            told["idle worker and child, % of a core"] = share_of_a_core(own, seconds)
            told["the server meanwhile, % of a core"] = share_of_a_core(server, seconds)
        told["connections of the worker"] -= 2  # this program's own: one of its store, one pulse

    def theirs(rival: Rival, url: str) -> Measured:
        rival.run(url, "fill", "noop", "1")
        began = time.time_ns()
        with rival.workers(url, 1, 10) as counts:
            counts.wait(1, 30)
            return {"start to first job, s": (counts.last - began) / 1e9, "MB": counts.memory()}

    return told | bench.theirs("weight", theirs)


BENCHES: dict[str, Callable[[Bench], Measured]] = {
    "drain": drain, "enqueue": enqueue, "bulk": bulk, "latency": latency,
    "parallel": parallel, "backlog": backlog, "weight": weight,
}  # fmt: skip
