"""What is measured: each a function of one repeat that gives figures by name."""

from __future__ import annotations

import asyncio
import importlib
import multiprocessing
import os
import signal
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
Measured = dict[str, float]
IDLE_SECONDS = 20
"""For which an idle worker is watched: its CPU is counted in hundredths of a second."""


class Run:
    """One repeat in a folder of its own."""

    def __init__(self, folder: Path, size: float) -> None:
        self.folder = folder
        self.size = size
        os.environ["SIDEWORK_URL"] = str(folder / "jobs.db")
        sys.path.insert(0, str(HERE))
        sys.modules.pop("work", None)
        self.work = importlib.import_module("work")
        self.app = self.work.app

    def fresh(self) -> None:
        """Another database, empty."""
        self.app.close()
        for path in self.folder.glob("jobs.db*"):
            if path.is_file():
                path.unlink()

    def count(self, full: int) -> int:
        return max(50, int(full * self.size))

    def done(self) -> int:
        store = self.app.store
        return store._session.read(
            lambda c: (
                c.execute(
                    "SELECT count(*) FROM jobs WHERE state = 'completed' AND finished_at > 0"
                ).get
            )
        )

    @contextmanager
    def worker(self, *words: str) -> Iterator[subprocess.Popen[bytes]]:
        self.app.store  # noqa: B018 - there before the worker
        process = subprocess.Popen(
            [sys.executable, "-m", "sidework", "worker", str(HERE / "work.py"), *words],
            stderr=subprocess.DEVNULL,
        )
        try:
            yield process
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait()


def wait_until(condition: Callable[[], bool], every: float = 0.01) -> None:
    pause, began = threading.Event(), time.perf_counter()
    while not condition():
        if time.perf_counter() - began > 120:
            raise TimeoutError
        pause.wait(every)


def drain_of(run: Run, task: Any, jobs: int, children: int) -> float:
    """Jobs/s between the first and the last record, by the jobs' own times (ms)."""
    before = run.done()
    run.app.enqueue_many(task.bind(n) for n in range(jobs))
    with run.worker("--children", str(children)):
        wait_until(lambda: run.done() - before >= jobs, 0.05)
    first, last = run.app.store._session.read(
        lambda c: c.execute(
            "SELECT min(finished_at), max(finished_at) FROM (SELECT finished_at FROM jobs "
            "WHERE state = 'completed' ORDER BY finished_at DESC LIMIT ?)", (jobs,)
        ).get
    )  # fmt: skip
    return jobs / max(0.001, (last - first) / 1000)


def drain(run: Run) -> Measured:
    jobs = run.count(40_000)
    return {
        "coroutines, 1 child": drain_of(run, run.work.noop, jobs, 1),
        "coroutines, 2 children": drain_of(run, run.work.noop, jobs, 2),
        "threads, 2 children": drain_of(run, run.work.thread_noop, jobs // 2, 2),
        "one process, no child: claim and record alone": bare_turns(run, jobs),
    }


def bare_turns(run: Run, jobs: int) -> float:
    from sidework.outcome import Outcome
    from sidework.store.protocol import Demand

    store = run.app.store
    run.app.enqueue_many(run.work.noop.bind(n) for n in range(jobs))
    worker = store.register("bench", os.getpid(), ()).id
    outcomes: list[Outcome] = []
    began = time.perf_counter()
    while True:
        turn = store.turn(outcomes, Demand(worker, {"loop": 250}))
        outcomes = [Outcome(j.id, j.fence, j.attempt, "completed", b"\x017") for j in turn.claimed]
        if not outcomes:
            break
    return jobs / (time.perf_counter() - began)


def anatomy(run: Run) -> Measured:
    """Where a job's time goes in a drain: CPU in microseconds per job, of each process and each part."""
    jobs = run.count(40_000)
    told: Measured = {}
    for name, dropped in (
        ("claim and record, in one process", ()),
        ("the same without jobs_running", ("jobs_running", "jobs_cancelling")),
        ("the same without jobs_final", ("jobs_final",)),
    ):
        for index in dropped:
            run.app.store._session.write(lambda c, index=index: c.execute(f"DROP INDEX {index}"))
        before = time.process_time()
        bare_turns(run, jobs)
        told[name] = (time.process_time() - before) / jobs * 1e6
        run.fresh()
    before = time.process_time()
    rows = [run.work.noop.bind(n) for n in range(jobs)]
    told["binding a job"] = (time.process_time() - before) / jobs * 1e6
    run.app.enqueue_many(rows)
    with run.worker("--children", "1") as process:
        wait_until(lambda: run.done() > 0)
        (child,) = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
        pids = {"worker": process.pid, "child": int(child)}
        began, before = run.done(), {name: cpu_of(pid) for name, pid in pids.items()}
        wait_until(lambda: run.done() >= jobs, 0.05)
        for name, pid in pids.items():
            told[name] = (cpu_of(pid) - before[name]) / max(1, jobs - began) * 1e6
    return told


def cpu_of(pid: int) -> float:
    """Seconds of CPU that a process has used, its start included."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def share_of_a_core(pids: Collection[int], seconds: float) -> float:
    """Percent of one core that these processes use together, those that live as long."""
    before, began = {pid: cpu_of(pid) for pid in pids}, time.perf_counter()
    threading.Event().wait(seconds)
    passed = time.perf_counter() - began
    used = [cpu_of(pid) - was for pid, was in before.items() if Path(f"/proc/{pid}").exists()]
    return 100 * sum(used) / passed


def bare_commits(run: Run, count: int) -> Callable[[], float]:
    """Inserts/s of the same row on a plain connection with the same settings, each committed."""
    from sidework.ids import new_id
    from sidework.store.sqlite.connection import open_connection, statement

    connection = open_connection(str(run.folder / "bare.db"), create=True)
    sql = statement("insert")
    rest = (
        "m:f",
        "default",
        "available",
        "loop",
        0,
        1,
        1,
        1,
        None,
        None,
        None,
        "rescue",
        "[]",
        b"\x01{}",
    )

    def measure() -> float:
        began = time.perf_counter()
        for _ in range(count):
            connection.execute("BEGIN IMMEDIATE")
            connection.execute(sql, (new_id(), *rest))
            connection.execute("COMMIT")
        return count / (time.perf_counter() - began)

    return measure


def enqueue(run: Run) -> Measured:
    count = run.count(1500)
    bare = bare_commits(run, count)
    pairs = []
    for _ in range(4):  # side by side, since the disk's pace changes by the second
        plain = bare()
        began = time.perf_counter()
        for n in range(count):
            run.work.noop.enqueue(n)
        pairs.append((plain, count / (time.perf_counter() - began)))
    pairs = pairs[1:]
    one = statistics.median(ours for _, ours in pairs)

    def call() -> None:
        for n in range(count // 4):
            run.work.noop.enqueue(n)

    async def acall() -> None:
        for n in range(count // 4):
            await run.work.noop.aenqueue(n)

    async def coroutines() -> float:
        began = time.perf_counter()
        await asyncio.gather(*(acall() for _ in range(64)))
        return 64 * (count // 4) / (time.perf_counter() - began)

    shared = asyncio.run(coroutines())
    threads = [threading.Thread(target=call) for _ in range(64)]
    began = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    many = 64 * (count // 4) / (time.perf_counter() - began)
    return {
        "one by one": one,
        "a bare insert and commit": statistics.median(plain for plain, _ in pairs),
        "ratio to bare": statistics.median(ours / plain for plain, ours in pairs),
        "64 callers, coroutines": shared,
        "64 callers, threads": many,
    }


OTHER = """
import sys, time
sys.path.insert(0, sys.argv[1])
import work
late = []
print("ready", flush=True)
end = time.perf_counter() + float(sys.argv[2])
while time.perf_counter() < end:
    began = time.perf_counter()
    work.noop.enqueue(1)
    late.append(time.perf_counter() - began)
late.sort()
print(late[int(len(late) * 0.99)] * 1000)
"""


def bulk(run: Run) -> Measured:
    jobs = run.count(200_000)
    began = time.perf_counter()
    run.app.enqueue_many(run.work.noop.bind(n) for n in range(jobs))
    rate = jobs / (time.perf_counter() - began)
    seconds = 3.0 if run.size >= 1 else 0.5
    other = subprocess.Popen(
        [sys.executable, "-c", OTHER, str(HERE), str(seconds)], stdout=subprocess.PIPE, text=True
    )
    assert other.stdout is not None
    other.stdout.readline()
    while other.poll() is None:
        run.app.enqueue_many(run.work.noop.bind(n) for n in range(1000))
    return {"enqueue_many": rate, "other writer's p99, ms": float(other.stdout.read())}


def latency(run: Run) -> Measured:
    count = run.count(300)
    bare = bare_commits(run, 300)
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
    return {
        "a commit, ms": commit,
        "pickup p50, ms": statistics.median(pickups),
        "pickup p99, ms": pickups[at99],
        "pickup p50 less 2 commits, ms": statistics.median(pickups) - 2 * commit,
        "enqueue to result p50, ms": statistics.median(trips),
        "enqueue to result p99, ms": trips[at99],
        "enqueue to result p50 less 3 commits, ms": statistics.median(trips) - 3 * commit,
    }


def parallel(run: Run) -> Measured:
    told = {}
    with run.worker("--children", "2", "--concurrency", "1000", "--threads", "1"):
        run.work.noop.enqueue(1).result(timeout=30)
        run.app.enqueue_many([])
        before, began = run.done(), time.perf_counter()
        jobs = run.count(2000)
        run.app.enqueue_many(run.work.nap.bind() for _ in range(jobs))
        wait_until(lambda: run.done() - before >= jobs, 0.005)
        told["2,000 sleeps of 100 ms, s"] = time.perf_counter() - began
        began = time.perf_counter()
        run.work.crunch(300_000)
        turns = int(300_000 * 0.1 / (time.perf_counter() - began))
        jobs = 40 if run.size >= 1 else 4
        # The same work by two bare processes, before and after: what this machine can do just now.
        bare = [bare_processes(run, turns, jobs)]
        before, began = run.done(), time.perf_counter()
        run.app.enqueue_many(run.work.crunch.bind(turns) for _ in range(jobs))
        wait_until(lambda: run.done() - before >= jobs, 0.02)
        took = time.perf_counter() - began
        bare.append(bare_processes(run, turns, jobs))
    told["40 calculations of 100 ms, s"] = took
    told["the same by two bare processes, s"] = statistics.mean(bare)
    told["calculations, ratio to bare processes"] = took / statistics.mean(bare)
    return told


def bare_processes(run: Run, turns: int, jobs: int) -> float:
    crunch = run.work.crunch.function
    context = multiprocessing.get_context("fork")

    def half() -> None:
        for _ in range(jobs // 2):
            crunch(turns)

    both = [context.Process(target=half) for _ in range(2)]
    began = time.perf_counter()
    for process in both:
        process.start()
    for process in both:
        process.join()
    return time.perf_counter() - began


def backlog(run: Run) -> Measured:
    few, many = run.count(10_000), run.count(1_000_000)

    def claimed_in(seconds: float) -> float:
        with run.worker("--children", "2"):
            before = run.done()
            wait_until(lambda: run.done() > before, 0.005)
            before, began = run.done(), time.perf_counter()
            threading.Event().wait(seconds)
            return (run.done() - before) / (time.perf_counter() - began)

    seconds = 1.0 if run.size >= 1 else 0.01
    run.app.enqueue_many(run.work.noop.bind(n) for n in range(few + int(60_000 * run.size)))
    small = claimed_in(seconds)
    run.app.enqueue_many(run.work.noop.bind(n) for n in range(many))
    large = claimed_in(seconds)
    return {"at 10k queued": small, "at 1M queued": large, "ratio": large / max(1.0, small)}


def weight(run: Run) -> Measured:
    def timed(code: str) -> float:
        began = time.perf_counter()
        subprocess.run([sys.executable, "-c", code], check=True)
        return (time.perf_counter() - began) * 1000

    bare = statistics.median(timed("pass") for _ in range(7))
    ours = statistics.median(timed("from sidework import Sidework") for _ in range(7))
    job = run.work.noop.enqueue(1)
    began = time.perf_counter()
    with run.worker("--children", "1") as process:
        job.result(timeout=30)
        start = time.perf_counter() - began
        children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
        memory = sum(
            int(line.split()[1])
            for pid in (process.pid, *children)
            for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
            if line.startswith("Pss:")
        )
        idle = share_of_a_core([process.pid, *map(int, children)], IDLE_SECONDS * run.size)
    return {"import, ms": ours - bare, "start to first result, s": start,
            "worker and one child, MB": memory / 1024,
            "idle worker and child, % of a core": idle}  # fmt: skip


BENCHES: dict[str, Callable[[Run], Measured]] = {
    "drain": drain, "anatomy": anatomy, "enqueue": enqueue, "bulk": bulk, "latency": latency,
    "parallel": parallel, "backlog": backlog, "weight": weight,
}  # fmt: skip
