"""Row 34: SIGKILL around ``finish_in``: what a job wrote and that it is completed are one thing."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from sidework.job import JobRow
from sidework.state import State
from sidework.tasks.task import Bound

from . import checker
from .field import Field, Figures, pause, until
from .ground import Engine, Ground
from .kills import WORDS, kill, settled

JOBS_PER_KILL, FEW = 60, 20
"""Fewer in a short run: a process for each of some costs most of its time."""
POINTS = {
    "finish: before commit": "before the commit",
    "child: run, not told": "committed, not told",
    "worker: outcomes received": "told, not recorded",
    "turn: recorded, not committed": "recorded, not committed",
}
"""Steps around the commit of a job's own transaction, and what the figures call a death there."""


def ends_in_transactions(folder: Path, size: int, seed: int) -> Figures:
    """Row 34: SIGKILL of workers and children whose jobs end in transactions of their own. ``size``
    kills must land."""
    return _ends_in_transactions(folder, size, seed, "sqlite")


def ends_in_postgres_transactions(folder: Path, size: int, seed: int) -> Figures:
    """Row 35: SIGKILL of workers and children whose jobs end in transactions of their own, PostgreSQL.
    ``size`` kills must land."""
    return _ends_in_transactions(folder, size, seed, "postgres")


def _ends_in_transactions(folder: Path, size: int, seed: int, engine: Engine) -> Figures:
    draw = random.Random(seed)
    count = JOBS_PER_KILL if size > 8 else FEW
    told: list[str] = []
    at = dict.fromkeys([*POINTS.values(), "at any moment"], 0)
    with Ground(engine) as ground, Field(folder, url=ground.store(folder)) as field:
        field.load.prepare()
        worker = field.worker(*WORDS)
        field.ready(worker)
        while sum(at.values()) < size:
            point = draw.choice([*POINTS, None, None])
            if point is None:
                told += field.enqueue(_mixed(field, draw, count))
                pause(draw.uniform(0, 0.15))
                children = field.children(worker)
                child = draw.choice(children) if children and draw.random() < 0.6 else None
                held, death = kill(field, worker, child)
                at["at any moment"] += bool(held and death)
                ids = [row.id for row in held]
            else:
                told += _crash(field, draw, point, folder / f"marker-{len(told)}", count)
                at[POINTS[point]] += 1
                ids = [row.id for row in field.jobs(State.RUNNING)]
            if worker.poll() is not None:
                worker = field.worker(*WORDS)
                field.ready(worker)
            # One after another: a job that was alone at three deaths could fairly be quarantined.
            until(lambda ids=ids: settled(field.app.store, ids), "the killed jobs' end")
        until(lambda: field.counts() == {"completed": len(told)}, "the end of all jobs")
        bad = field.stop(worker)
        ran, rows = checker.runs(folder / "runs.log"), field.rows()
        bad += checker.violations(told, ran, rows, asked=told)
        bad += list(not_one(field.load.effects(), rows))
        bad += field.app.store.check()
    return {
        "jobs": len(told), "landed": sum(at.values()), **at,
        "extra runs": len(ran) - len({run.job for run in ran}), "bad": bad,
    }  # fmt: skip


def _mixed(field: Field, draw: random.Random, count: int) -> list[Bound[Any]]:
    load = field.load
    tasks = [load.pay] * 5 + [load.pay_coroutine] * 5 + [load.pay_alone]
    return [draw.choice(tasks).bind(draw.randint(0, 3), draw.random() < 0.5) for _ in range(count)]


def _crash(field: Field, draw: random.Random, point: str, marker: Path, count: int) -> list[str]:
    """Have the first process of one more worker that comes to the point die there; then end what is left
    of it. Returns the ids of the jobs that this took."""
    told: list[str] = []
    plain, field.env = field.env, {**field.env, "SIDEWORK_CRASH_AT": f"{point}:{marker}"}
    armed = field.worker(*WORDS)
    field.env = plain
    while not marker.exists():
        jobs = _mixed(field, draw, count)
        told += field.enqueue(jobs)
        ids = [one.job.id for one in jobs]
        until(
            lambda ids=ids: marker.exists() or settled(field.app.store, ids), "the crash or the end"
        )
    armed.kill()
    armed.wait()
    return told


def not_one(effects: Sequence[tuple[str, int]], rows: Mapping[str, JobRow]) -> Iterator[str]:
    """Each completed job has one effect, written under the claim that completed it; no other has any."""
    times = Counter(job for job, _ in effects)
    for job, row in rows.items():
        wanted = int(row.state is State.COMPLETED)
        if times[job] != wanted:
            yield f"{job} is {row.state} and took effect {times[job]} times"
    for job, fence in effects:
        if job not in rows:
            yield f"{job} took effect and is not there"
        elif rows[job].fence != fence + 1:
            yield f"{job} took effect under fence {fence} and ended with {rows[job].fence}"
