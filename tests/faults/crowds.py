"""Row 26: a crowd fails at the same moment. Its retries are spread, or they would fail the service that
everybody waits for once more."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from . import checker
from .field import Field, Figures, until
from .ground import Engine, Ground

LOAD = Path(__file__).parent / "crowd_load.py"
ENGINES: tuple[Engine, ...] = ("sqlite", "postgres")
MOST = 2.0
"""The busiest moment of a service that is called again, to the mean."""
A_MOMENT = 200
"""Calls, on average: with fewer, the busiest of many moments is one by chance."""


def crowds(folder: Path, size: int, seed: int) -> Figures:
    """Row 26: ``size`` calls run at a time and are refused at once, on each engine; then twice more,
    each when its backoff has it. ``seed`` is not used: the draws are those of the workers."""
    told: Figures = {"jobs each": size, "landed": 0, "bad": []}
    for engine in ENGINES:
        place = folder / engine
        place.mkdir()
        with Ground(engine) as ground, Field(place, LOAD, ground.store(place)) as field:
            landed, peaks, bad = _crowd(field, size)
        told["landed"] += landed
        told[f"peak to mean of calls 2 and 3 on {engine}"] = peaks
        told["bad"] += [f"{engine}: {one}" for one in bad]
    return told


def _crowd(field: Field, size: int) -> tuple[int, list[float], list[str]]:
    log = field.folder / "runs.log"
    ids = field.enqueue([field.load.call.bind() for _ in range(size)])
    worker = field.worker("--children", "2", "--concurrency", f"{size}")
    field.ready(worker)
    until(lambda: len(checker.runs(log)) == size, "the whole crowd's calls", 120)
    (field.folder / "refused").touch()
    until(lambda: field.counts().keys() <= {"completed"}, "the end of all jobs", 240)
    bad = [*field.stop(worker), *field.app.store.check()]
    ran = checker.runs(log)
    calls: dict[str, list[int]] = {job: [] for job in ids}
    for run in ran:
        calls[run.job].append(run.began)
    attempts = field.load.ATTEMPTS
    bad += [f"{job}: {len(times)} calls" for job, times in calls.items() if len(times) != attempts]
    peaks = [
        peak([times[n] for times in calls.values() if n < len(times)]) for n in range(1, attempts)
    ]
    bad += [
        f"call {n}: the busiest moment has {one} times the mean"
        for n, one in enumerate(peaks, 2)
        if one > MOST
    ]
    return sum(len(times) - 1 for times in calls.values()), peaks, bad


def peak(times: Sequence[int]) -> float:
    """How many fall into the busiest of equal moments from the first to the last, to the mean."""
    moments = max(1, len(times) // A_MOMENT)
    first, span = min(times), max(times) - min(times) + 1
    counts = [0] * moments
    for at in times:
        counts[(at - first) * moments // span] += 1
    return round(max(counts) * moments / len(times), 2)
