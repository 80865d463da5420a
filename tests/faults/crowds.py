"""Row 26: a crowd fails at the same moment. Its retries are spread, or they would fail the service that
everybody waits for once more."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from pathlib import Path

from sidework.retry import BASE_SECONDS

from . import checker
from .field import Field, Figures, until
from .ground import Engine, Ground

LOAD = Path(__file__).parent / "crowd_load.py"
ENGINES: tuple[Engine, ...] = ("sqlite", "postgres")
LATE, EARLY, MANY = 4, 2, 5_000
"""Which attempt fails: of a large crowd a later one, whose backoff draws from 16 s. It takes some seconds to
record so many failures, and that alone would spread what comes after 2."""
MOMENT = 1.0
MOST = 2.0
"""The busiest moment of a service that is called again, to the mean of an even spread over that backoff."""


def crowds(folder: Path, size: int, seed: int) -> Figures:
    """Row 26: calls that run at a time are refused at once, and retried by the default backoff. ``size`` of
    them on each engine (a short run: on one; the draws are no engine's). ``seed`` is not used."""
    told: Figures = {"jobs each": size, "landed": 0, "bad": []}
    for engine in ENGINES if size >= MANY else ENGINES[:1]:
        place = folder / engine
        place.mkdir()
        with Ground(engine) as ground, Field(place, LOAD, ground.store(place)) as field:
            worst, bad = _crowd(field, size)
        told["landed"] += size
        told[f"longest peak to mean on {engine}"] = worst
        told["bad"] += [f"{engine}: {one}" for one in bad]
    return told


def _crowd(field: Field, size: int) -> tuple[float, list[str]]:
    log, refused_at = field.folder / "runs.log", LATE if size >= MANY else EARLY
    ids = field.enqueue([field.load.call.bind(refused_at) for _ in range(size)])
    worker = field.worker("--children", "2", "--concurrency", f"{size}")
    field.ready(worker)
    until(lambda: len(checker.runs(log)) == size, "the whole crowd's calls", 120)
    (field.folder / "refused").touch()
    until(lambda: field.counts().keys() <= {"completed"}, "the end of all jobs", 240)
    bad = [*field.stop(worker), *field.app.store.check()]
    calls: dict[str, list[int]] = {job: [] for job in ids}
    for run in checker.runs(log):
        calls[run.job].append(run.began)
    bad += [f"{job}: {len(times)} calls" for job, times in calls.items() if len(times) != 2]
    window = BASE_SECONDS * 2 ** (refused_at - 1)
    worst = peak((times[-1] for times in calls.values()), window)
    if worst > MOST:
        bad.append(f"the busiest moment has {worst} times as many calls as an even spread")
    return worst, bad


def peak(times: Iterable[int], window: float) -> float:
    """How many of these nanoseconds fall into the busiest moment, to an even spread over so many seconds."""
    counts = Counter(at // round(MOMENT * 1e9) for at in times)
    return round(max(counts.values()) / counts.total() * window / MOMENT, 2)
