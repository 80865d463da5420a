"""Row 29: SIGKILL of workers and their children while queues are narrow and jobs are unique. What ran at a
time is told by the jobs' own log."""

from __future__ import annotations

import random
from collections.abc import Iterable, Mapping, Sequence
from itertools import accumulate, pairwise
from pathlib import Path

from sidework.state import FINAL, LIVE

from . import checker
from .checker import Death, Run
from .field import Field, Figures, pause, until
from .ground import Engine, Ground
from .kills import WORDS, kill

LIMIT, KEYS, JOBS_PER_KILL = 4, 7, 30
POSTGRES = 5
"""Of so many kills one is on PostgreSQL, where each takes as long as the lease."""


def narrow_queues(folder: Path, size: int, seed: int) -> Figures:
    """Row 29: SIGKILL of workers and their children while queues are narrow and jobs unique, both engines.
    ``size`` kills must land."""
    told: Figures = {"landed": 0, "jobs": 0, "not stored, as one was there": 0, "bad": []}
    engines: dict[Engine, int] = {"sqlite": size - size // POSTGRES, "postgres": size // POSTGRES}
    for engine, kills in engines.items():
        place = folder / engine
        place.mkdir()
        for name, value in _kills(place, kills, seed, engine).items() if kills else ():
            told[name] += value
    return told


def _kills(folder: Path, size: int, seed: int, engine: Engine) -> Figures:
    draw = random.Random(seed)
    keys: dict[str, int] = {}
    deaths: list[Death] = []
    landed = existing = 0
    with Ground(engine) as ground, Field(folder, url=ground.store(folder)) as field:
        store, work = field.app.store, field.load.work
        store.limits.limit("narrow", LIMIT)
        workers = [field.worker(*WORDS) for _ in range(2)]
        field.ready(*workers)
        while landed < size:
            for _ in range(JOBS_PER_KILL):
                key = draw.randrange(KEYS)
                one = work.options(queue_name="narrow", unique=lambda _, key=key: [key])
                job = one.enqueue(draw.randint(0, 40))
                existing += job.existing
                keys.setdefault(job.id, key)
                pause(draw.uniform(0, 0.01))
            victim = draw.choice(workers)
            children = field.children(victim)
            child = draw.choice(children) if children and draw.random() < 0.3 else None
            held, death = kill(field, victim, child)
            landed += bool(held)
            if death is not None:
                deaths.append(death)
                if child is None:
                    workers.remove(victim)
                    workers.append(field.worker(*WORDS))
                    field.ready(*workers)
        until(lambda: not any(field.jobs(*LIVE)), "the end of all jobs", 120)
        bad = field.stop(*workers)
        ran = checker.runs(folder / "runs.log")
        bad += [*too_many(ran, deaths, LIMIT), *two_of_a_key(ran, deaths, keys)]
        if store.limits.running("narrow"):
            bad.append("a place is taken by nobody")
        bad += [f"{row.id!r} ended with its key" for row in field.jobs(*FINAL) if row.unique_key]
        bad += store.check()
    return {
        "landed": landed, "jobs": len(keys), "not stored, as one was there": existing, "bad": bad,
    }  # fmt: skip


def spans(runs: Iterable[Run], deaths: Iterable[Death]) -> list[tuple[int, int, Run]]:
    """From when to when each run's code ran for certain: one that was killed, until it was struck."""
    struck: dict[int, list[int]] = {}
    for death in deaths:
        struck.setdefault(death.pid, []).append(death.at)
    found = []
    for run in runs:
        ends = [
            at for pid in (run.pid, run.parent) for at in struck.get(pid, ()) if at >= run.began
        ]
        ended = run.ended if run.ended is not None else min(ends, default=run.began)
        found.append((run.began, ended, run))
    return found


def too_many(runs: Sequence[Run], deaths: Sequence[Death], limit: int) -> Iterable[str]:
    """I11: at no instant do more run than the limit."""
    steps = [(began, 1) for began, _, _ in spans(runs, deaths)]
    steps += [(ended, -1) for _, ended, _ in spans(runs, deaths)]
    most = max(accumulate(step for _, step in sorted(steps)), default=0)
    if most > limit:
        yield f"{most} ran at a time, the limit is {limit}"


def two_of_a_key(
    runs: Sequence[Run], deaths: Sequence[Death], keys: Mapping[str, int]
) -> Iterable[str]:
    """I9: of one key a job begins when the one before has ended for good."""
    for key in set(keys.values()):
        line = sorted(
            (*span[:2], span[2].job) for span in spans(runs, deaths) if keys[span[2].job] == key
        )
        seen: set[str] = set()
        for (_, ended, job), (began, _, other) in pairwise(line):
            if other == job:
                continue
            seen.add(job)
            if began < ended or other in seen:
                yield f"key {key}: {other} began beside {job}"
