"""Rows 1, 2 and 4: SIGKILL of workers and their children under load, and of producers."""

from __future__ import annotations

import contextlib
import os
import random
import select
import signal
import subprocess
import sys
from pathlib import Path
from time import monotonic_ns
from typing import Any

from sidework.clock import now_ms
from sidework.ids import id_text
from sidework.job import JobRow
from sidework.state import FINAL, State
from sidework.store.protocol import Store
from sidework.tasks.task import Bound

from . import checker
from .checker import Death, Run
from .field import Field, Figures, pause, quantile, until
from .ground import LEASE, Engine, Ground

JOBS_PER_KILL, FEW = 100, 40
"""Fewer in a short run."""
WORDS = ("--children", "1", "--threads", "4", "--concurrency", "20")
PROMISED: dict[Engine, float] = {"sqlite": 2.0, "postgres": LEASE + 1.0}
"""Seconds within which a dead worker's jobs run again (promise I7)."""


class Kill:
    """A kill that landed: what the store said ran when its victim was stopped, just before."""

    def __init__(self, death: Death, held: list[JobRow], *, of_worker: bool) -> None:
        self.death = death
        self.wall = now_ms() - (monotonic_ns() - death.at) / 1e6
        self.held = held
        self.of_worker = of_worker

    def rescued(self, store: Store) -> list[float]:
        """Seconds until each job that was cut off was brought back, by the store's record of it."""
        return [
            (attempt.finished_at - self.wall) / 1000
            for row in self.held
            for attempt in store.attempts(row.id)
            if attempt.outcome == "crashed" and attempt.fence == row.fence
        ]

    def again(self, starts: dict[str, list[Run]], ids: dict[bytes, str]) -> list[float]:
        """Seconds until each job ran again, by the log of its own code: the first time after this kill,
        since one that a later kill cut off once more runs later still."""
        late = []
        for row in self.held:
            later = [run for run in starts.get(ids[row.id], []) if run.fence > row.fence]
            if later:
                first = min(later, key=lambda run: run.fence)
                late.append((first.began - self.death.at) / 1e9)
        return late


def killed_workers(folder: Path, size: int, seed: int) -> Figures:
    """Row 1: SIGKILL of workers and of their children under load. ``size`` kills must land."""
    return _killed_workers(folder, size, seed, "sqlite")


def killed_postgres_workers(folder: Path, size: int, seed: int) -> Figures:
    """Row 2: SIGKILL of workers and of their children under load, PostgreSQL, lease 5 s. ``size`` kills
    must land."""
    return _killed_workers(folder, size, seed, "postgres")


IN_A_ROW: dict[Engine, int] = {"sqlite": 2, "postgres": 8}
"""How many kills may come while the jobs of the first are still being brought back, which takes as long
as the lease."""


def _killed_workers(folder: Path, size: int, seed: int, engine: Engine) -> Figures:
    draw = random.Random(seed)
    told: list[str] = []
    kills: list[Kill] = []
    deaths: list[Death] = []
    seen: dict[str, tuple[str, State, int]] = {}
    unsettled: list[bytes] = []
    with Ground(engine) as ground, Field(folder, url=ground.store(folder)) as field:
        store = field.app.store

        def strike(worker: subprocess.Popen[bytes], child: int | None) -> bool:
            held, death = kill(field, worker, child)
            if death is not None:
                deaths.append(death)
            if held and death is not None:
                kills.append(Kill(death, held, of_worker=child is None))
                unsettled.extend(row.id for row in held)
            return death is not None

        workers = [field.worker(*WORDS) for _ in range(3)]
        field.ready(*workers)
        row: list[bool] = []  # since all was well: whether it was a child
        spared: subprocess.Popen[bytes] | None = None
        while len(kills) < size:
            # Two that live, at the least: the promise is that of the one that is left.
            ready = until(lambda: _two(field, workers), "two workers")
            told += field.enqueue(_mixed(field, draw, JOBS_PER_KILL if size > 8 else FEW))
            if engine == "postgres" and not row:
                # Nobody rescues who has not watched for a whole lease himself: one has, at any time.
                spared = draw.choice(ready)
            pause(draw.uniform(0, 0.15))
            victim = draw.choice([worker for worker in ready if worker is not spared])
            children = field.children(victim)
            # A job that was alone at three deaths of its process could fairly be quarantined.
            child = draw.choice(children) if children and draw.random() < 0.3 else None
            child = None if sum(row) >= 2 else child
            row.append(child is not None)
            if strike(victim, child) and child is None:
                workers.remove(victim)
                workers.append(field.worker(*WORDS))
            if draw.random() < 0.1:
                # One that is killed before its first job, at any point of its coming up.
                newest = field.worker(*WORDS)
                pause(draw.uniform(0, 0.4))
                strike(newest, None)
            # Now and then the next one comes while this one's jobs are still being brought back.
            if len(row) >= IN_A_ROW[engine] or draw.random() < 0.1 or len(kills) >= size:
                until(lambda ids=unsettled: settled(store, ids), "the killed jobs' end")
                unsettled.clear()
                row.clear()
                for one in field.jobs(*FINAL):
                    job = id_text(one.id)
                    seen.setdefault(job, (job, one.state, one.fence))
        until(lambda: field.counts() == {"completed": len(told)}, "the end of all jobs")
        bad = field.stop(*workers)
        ran = checker.runs(folder / "runs.log")
        rows = field.rows()
        bad += checker.violations(
            told, ran, rows, deaths=deaths, in_flight=sum(len(kill.held) for kill in kills),
            asked=told, seen=seen.values(),
        )  # fmt: skip
        bad += [f"{job}: attempt {row.attempt}" for job, row in rows.items() if row.attempt != 1]
        bad += store.check()
        starts: dict[str, list[Run]] = {}
        for run in ran:
            starts.setdefault(run.job, []).append(run)
        ids = {row.id: job for job, row in rows.items()}
        rescued = [late for kill in kills for late in kill.rescued(store)]
        again = [late for kill in kills if kill.of_worker for late in kill.again(starts, ids)]
    for what, values in (("rescued", rescued), ("running again", again)):
        # Of a hundred values or more: of fewer it would be the worst one's.
        if len(values) >= 100 and quantile(values, 0.99) > PROMISED[engine]:
            bad.append(f"{what} after {quantile(values, 0.99):.2f} s (p99)")
    return {
        "jobs": len(told), "landed": len(kills), "of them children": sum(not k.of_worker for k in kills),
        "in flight at kills": sum(len(kill.held) for kill in kills),
        "extra runs": len(ran) - len(starts),
        "rescued p50, s": round(quantile(rescued, 0.5), 2),
        "rescued p99, s": round(quantile(rescued, 0.99), 2),
        "running again p50, s": round(quantile(again, 0.5), 2),
        "running again p99, s": round(quantile(again, 0.99), 2),
        "bad": bad,
    }  # fmt: skip


def _mixed(field: Field, draw: random.Random, count: int) -> list[Bound[Any]]:
    load = field.load
    tasks = [load.work] * 8 + [load.coroutine] * 11 + [load.alone]
    return [draw.choice(tasks).bind(draw.randint(0, 60)) for _ in range(count)]


def kill(
    field: Field, worker: subprocess.Popen[bytes], child: int | None
) -> tuple[list[JobRow], Death | None]:
    """Kill the worker, or one child of it; what it held, and its death, if it was still there.

    The victim is stopped for the look at what it holds: read after the kill, its jobs may have been
    rescued already, read before, others may have begun. What a stopped worker has not committed yet
    is rolled back with it, and what starts elsewhere does not start in the victim. A worker's children
    die by the kernel's hand, some milliseconds after it.
    """
    pid = worker.pid if child is None else child
    with contextlib.ExitStack() as stack:
        try:
            os.kill(pid, signal.SIGSTOP)
            doomed = [pid] if child is not None else [pid, *field.children(worker)]
            ends = [os.pidfd_open(one) for one in doomed]
        except ProcessLookupError:  # a child that had just ended by itself: nothing to break
            return [], None
        for end in ends:
            stack.callback(os.close, end)
        known = next((w.id for w in field.app.store.workers() if w.pid == worker.pid), None)
        held = [row for row in field.jobs(State.RUNNING) if row.worker == known]
        if child is not None:
            # The store knows which worker holds a job, the jobs' own log in which child it began. One
            # whose code has ended counts as well: its worker may not have been told.
            began = {(r.job, r.fence) for r in checker.runs(field.folder / "runs.log")
                     if r.pid == child}  # fmt: skip
            held = [row for row in held if (id_text(row.id), row.fence) in began]
        at = monotonic_ns()
        os.kill(pid, signal.SIGKILL)
        for end in ends:
            until(
                lambda end=end: select.select([end], [], [], 0)[0], "the end of what was killed", 5
            )
        return held, Death(pid, at, monotonic_ns())


def _two(
    field: Field, workers: list[subprocess.Popen[bytes]]
) -> list[subprocess.Popen[bytes]] | None:
    """The workers that are ready, when they are at least two."""
    known = {worker.pid for worker in field.app.store.workers()}
    ready = [worker for worker in workers if worker.pid in known]
    return ready if len(ready) >= 2 else None


def settled(store: Store, ids: list[bytes]) -> bool:
    return all(row is not None and row.state in FINAL for row in store.get(ids))


PRODUCER = """
import os
import load
fd = os.open("told.log", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
ready = False
while True:
    os.write(fd, (load.work.enqueue(0).id + "\\n").encode())
    if not ready:
        ready = bool(os.write(1, b"ready\\n"))
"""


def killed_producers(folder: Path, size: int, seed: int) -> Figures:
    """Row 4: what a producer was told before SIGKILL is there."""
    draw = random.Random(seed)
    with Field(folder) as field:
        for _ in range(size):
            process = subprocess.Popen(
                [sys.executable, "-c", PRODUCER], cwd=folder, env=field.env, stdout=subprocess.PIPE
            )
            assert process.stdout is not None
            process.stdout.readline()
            pause(draw.uniform(0.001, 0.03))
            process.kill()
            process.wait()
            process.stdout.close()
        told = checker.acknowledged(folder / "told.log")
        bad = list(checker.missing(told, field.rows()))
        if len(told) < size:
            bad.append(f"{size} kills, but only {len(told)} acknowledged: some met no work")
        bad += field.app.store.check()
    return {"acknowledged": len(told), "landed": size, "bad": bad}
