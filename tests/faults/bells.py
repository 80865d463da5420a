"""Row 23: no bell is heard: their connections are killed, or a pooler is between that passes none on."""

from __future__ import annotations

from pathlib import Path
from random import Random
from time import monotonic
from urllib.parse import urlsplit

from servers.pgbouncer import PgBouncer, why_not
from sidework.handle import JobHandle

from .field import Field, Figures, quantile
from .ground import Ground, url_of
from .pinned import LOAD

KINDS = ("nothing", "in_a_thread", "fails_first", "ends_itself")
PULSES = "application_name = 'sidework pulse'"
WITHIN = 60.0
"""Seconds after which a job counts as stuck."""
SAID = "a pooler is between"


def cut_bells(folder: Path, size: int, seed: int) -> Figures:
    """Row 23: bells cut: their connections are killed under every job, then two workers share two connections
    of PgBouncer in transaction mode. The pickup is from the request to the known result, on whatever else the
    machine did."""
    random, waited, pooled_waits, bad, landed = Random(seed), [], [], [], 0
    with Ground("postgres") as ground:
        url = ground.store(folder)
        with Field(folder, LOAD, url) as field:
            worker = field.worker()
            field.ready(worker)
            for number in range(size):
                began = monotonic()
                job: JobHandle[int] = getattr(field.load, random.choice(KINDS)).enqueue(number)
                landed += ground.server.kill_backends(PULSES)
                bad += _ended(job, number)
                waited.append(monotonic() - began)
            bad += field.stop(worker)
        if (missing := why_not()) is not None:
            return {"landed": landed, "bad": [*bad, f"not tried behind a pooler: {missing}"]}
        with (
            PgBouncer(ground.server, pool_size=2) as pooler,
            Field(folder, LOAD, url_of(pooler, urlsplit(url).path[1:])) as field,
        ):
            logs = [folder / "first.log", folder / "second.log"]
            workers = [field.worker(log=log) for log in logs]
            field.ready(*workers)
            for number in range(size):
                began = monotonic()
                job = getattr(field.load, random.choice(KINDS)).enqueue(number)
                bad += _ended(job, number)
                pooled_waits.append(monotonic() - began)
            bad += field.stop(*workers)
            for log in logs:
                if (said := log.read_text().count(SAID)) != 1:
                    bad.append(f"{log.name}: said {said} times that a pooler is between")
            left = {state for state in field.counts() if state != "completed"}
            bad += [f"jobs are {state} at the end" for state in left]
    return {
        "landed": landed,
        "jobs": size * 2,
        "result p50 ms": round(quantile(waited, 0.5) * 1000),
        "result p99 ms": round(quantile(waited, 0.99) * 1000),
        "result p50 ms pooled": round(quantile(pooled_waits, 0.5) * 1000),
        "result p99 ms pooled": round(quantile(pooled_waits, 0.99) * 1000),
        "bad": bad,
    }


def _ended(job: JobHandle[int], number: int) -> list[str]:
    try:
        result = job.result(timeout=WITHIN)
    except TimeoutError:
        return [f"job {job.id} is stuck"]
    return [] if result == number else [f"job {job.id} gave {result!r}"]
