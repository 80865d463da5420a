"""Row 32: the server is away, or frozen, for three leases; nobody takes that for the others' death."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

from servers.postgres import Server
from sidework.job import JobRow
from sidework.tasks.task import Bound

from .field import Figures, pause, until
from .leases import LEASE, SHORT_LEASE, LeaseField

WORKERS, JOBS = 20, 120
LEASES = 3


def _stopped(server: Server, draw: random.Random, seconds: float) -> None:
    server.stop(draw.choice(["fast", "immediate", "kill"]))
    pause(seconds)
    server.start()


def _frozen(server: Server, draw: random.Random, seconds: float) -> None:
    server.pause()
    pause(seconds)
    server.resume()


WAYS: dict[str, Callable[[Server, random.Random, float], None]] = {
    "stopped": _stopped, "frozen": _frozen
}  # fmt: skip


def outages(folder: Path, size: int, seed: int) -> Figures:
    """Row 32: PostgreSQL away or frozen for three leases, under twenty workers. Every outage must find
    jobs in flight, some of which end meanwhile."""
    draw = random.Random(seed)
    told: list[str] = []
    at = dict.fromkeys(WAYS, 0)
    waited = 0
    # In one small run fewer of them, and less patient: it still outlives a lease.
    workers, jobs, lease, leases = (
        (WORKERS, JOBS, LEASE, LEASES) if size > 1 else (4, 30, SHORT_LEASE, 1.5)
    )
    bad: list[str] = []
    with Server() as server, LeaseField(folder, server, lease) as field:
        alive = [field.worker_by(field.watcher) for _ in range(workers)]
        field.ready(*alive)
        before = field.ids(alive)
        while sum(at.values()) < size:
            told += field.enqueue(_jobs(field, draw, jobs, lease * (leases + 0.5)))
            until(lambda: len(field.held(before)) > jobs // 2, "jobs in flight")
            held = field.held(before)
            way = list(WAYS)[(seed + sum(at.values())) % len(WAYS)]
            WAYS[way](server, draw, lease * leases)
            until(lambda told=told: field.ended(told), "the end of all jobs", 90)
            # Those whose code ended while nobody could be told.
            count = _waited(field, held)
            waited += count
            at[way] += bool(count)
            if not count:
                bad.append("no result was held through an outage")
        taken = sum(row.crashes for row in field.jobs())
        if taken:
            bad.append(f"{taken} jobs were taken from workers that lived")
        after = field.ids(alive)
        if after != before:
            bad.append(f"{len(before - after)} of {workers} living workers were taken for dead")
        bad += field.stop(*alive)
        found, seen = field.verdict(told)
        bad += found
    if seen["extra runs"]:
        bad.append(f"{seen['extra runs']} jobs ran again")
    return {
        "landed": sum(at.values()), **at, "jobs": len(told), "results held through it": waited,
        "workers": workers, "bad": bad,
    }  # fmt: skip


def _jobs(field: LeaseField, draw: random.Random, count: int, longest: float) -> list[Bound[Any]]:
    load = field.load
    tasks = [load.thread, load.coroutine, load.coroutine, load.coroutine]
    return [draw.choice(tasks).bind(round(1000 * draw.uniform(1, longest))) for _ in range(count)]


def _waited(field: LeaseField, held: list[JobRow]) -> int:
    """How many of these ended before their results could land, by what they were to take."""
    rows = field.app.store.get([row.id for row in held])
    late = 0
    for row in rows:
        if row is not None and row.finished_at is not None and row.started_at is not None:
            took = row.finished_at - row.started_at
            late += took > json.loads(row.args[1:])["milliseconds"] + 1000
    return late
