"""Row 9 on PostgreSQL: workers, with their children or without, are stopped for longer than a lease."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import subprocess
from pathlib import Path
from time import monotonic

from servers.postgres import Server

from .field import Figures, pause, until
from .leases import LEASE, SHORT_LEASE, LeaseField

WORKERS, AT_ONCE = 6, 4
JOBS = 48


def stopped_workers(folder: Path, size: int, seed: int) -> Figures:
    """Row 9: SIGSTOP of workers for longer than a lease, alone or with their children. ``size`` of them
    must hold jobs that are then run elsewhere."""
    draw = random.Random(seed)
    told: list[str] = []
    at = {"with their children": 0, "alone": 0}
    rescued = early = 0
    lease = LEASE if size > 1 else SHORT_LEASE
    bad: list[str] = []
    with Server() as server, LeaseField(folder, server, lease) as field:
        count = min(WORKERS, size + 2)
        workers = [field.worker_by(field.watcher) for _ in range(count)]
        field.ready(*workers)
        while sum(at.values()) < size:
            told += field.enqueue(field.mixed(draw, JOBS, field.lease + (2 if size > 1 else 0)))
            pause(draw.uniform(0.2, 0.6))
            chosen = draw.sample(workers, min(AT_ONCE, size))
            kinds = {worker.pid: draw.choice(list(at)) for worker in chosen}
            known = {worker.pid: field.ids([worker]) for worker in chosen}
            others = field.ids(worker for worker in workers if worker not in chosen)
            began = monotonic()
            doomed = {worker.pid: _stop(field, worker, kinds[worker.pid]) for worker in chosen}
            held = {pid: field.held(ids) for pid, ids in known.items()}
            beside = field.held(others)
            gone = set().union(*known.values())
            try:
                until(
                    lambda gone=gone: not gone & {row.id for row in field.app.store.workers()},
                    "their being given up", 30,
                )  # fmt: skip
                early += monotonic() - began < field.lease * 3 / 4 - 0.1
                pause(draw.uniform(0.6, 1.5))
            finally:
                for pids in doomed.values():
                    for pid in pids:
                        with contextlib.suppress(ProcessLookupError):  # its worker ended it
                            os.kill(pid, signal.SIGCONT)
            for pid, rows in held.items():
                taken = field.taken(rows)
                at[kinds[pid]] += bool(taken)
                rescued += len(taken)
            if wrong := field.taken(beside):
                bad.append(f"{len(wrong)} jobs were taken from workers that ran")
            until(lambda: len(field.ids(workers)) == count, "their coming back", 30)
        until(lambda: field.ended(told), "the end of all jobs", 90)
        bad += field.stop(*workers)
        found, seen = field.verdict(told)
        stale = field.refused()
        bad += found
    if early:
        bad.append(f"{early} times a worker was given up before its lease was over")
    if size > 2 and not stale:
        bad.append("nobody tried a stale write")
    return {
        "landed": sum(at.values()), **at, "jobs": len(told), "rescued": rescued,
        "stale writes refused": stale, **seen, "bad": bad,
    }  # fmt: skip


def _stop(field: LeaseField, worker: subprocess.Popen[bytes], kind: str) -> list[int]:
    """Stop it; which processes are to go on again. Itself first: it starts no more children then."""
    os.kill(worker.pid, signal.SIGSTOP)
    pids = [worker.pid, *(field.children(worker) if kind == "with their children" else [])]
    for pid in pids[1:]:
        os.kill(pid, signal.SIGSTOP)
    return pids
