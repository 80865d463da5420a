"""Row 36: a wide fan-in whose workers are killed ends exactly once, and calls back once."""

from __future__ import annotations

import os
import random
import signal
import subprocess
from pathlib import Path
from time import monotonic

from sidework.job import JobFilter, JobRow
from sidework.state import FINAL, State

from .field import Field, Figures, pause, quantile, until
from .ground import Engine, Ground

LOAD = Path(__file__).parent / "fan_load.py"
WIDE, NARROW = 10_000, 300
"""Inputs of one; fewer in a short run."""
ENGINES: tuple[Engine, ...] = ("sqlite", "postgres")


def fans(folder: Path, size: int, seed: int) -> Figures:
    """Row 36: SIGKILL of two workers and their children under a fan-in of 10,000, on each engine in turn.
    ``size`` fans."""
    draw = random.Random(seed)
    width = WIDE if size > 4 else NARROW
    bad: list[str] = []
    took: list[float] = []
    kills = again = 0
    for number in range(size):
        engine = ENGINES[number % 2]
        place = folder / str(number)
        place.mkdir()
        with Ground(engine) as ground, Field(place, LOAD, ground.store(place)) as field:
            found, seconds, landed, starts = _fan(field, draw, width)
        bad += [f"fan {number} on {engine}: {one}" for one in found]
        took.append(seconds)
        kills += landed
        again += starts - 1
    return {
        "fans": size,
        "inputs": size * width,
        "landed": kills,
        "last job begun again": again,
        "longest, s": round(quantile(took, 1.0), 1),
        "bad": bad,
    }


def _fan(field: Field, draw: random.Random, width: int) -> tuple[list[str], float, int, int]:
    load = field.load
    parts = [load.coroutine.bind(draw.choice((0, 0, 1))) for _ in range(width)]
    last = load.gathered.bind([part.output for part in parts])
    field.enqueue([*parts, last])
    began, kills = monotonic(), 0
    words = ("--children", "1", "--threads", "2", "--concurrency", "50")
    workers = [field.worker(*words) for _ in range(2)]
    field.ready(*workers)

    def row() -> JobRow:
        (found,) = field.app.store.get([last.job.id])
        assert found is not None
        return found

    most = 8 if width == WIDE else 2
    while row().state not in FINAL and kills < most:
        pause(draw.uniform(0.05, 0.4))
        victim = draw.choice(workers)
        child = (field.children(victim) or [None])[0]
        if child is not None and draw.random() < 0.4:
            os.kill(child, signal.SIGKILL)
        else:
            victim.kill()
            workers[workers.index(victim)] = field.worker(*words)
        kills += 1
    until(lambda: row().state in FINAL, "the last job", 240)
    seconds = monotonic() - began
    until(lambda: not _live(field), "the rest", 60)
    return (
        [*_wrong(field, row(), width), *field.stop(*_alive(workers))],
        seconds,
        kills,
        _starts(field, last.id),
    )


def _live(field: Field) -> bool:
    return any(state not in FINAL for state in field.counts())


def _alive(workers: list[subprocess.Popen[bytes]]) -> list[subprocess.Popen[bytes]]:
    return [worker for worker in workers if worker.poll() is None]


def _wrong(field: Field, last: JobRow, width: int) -> list[str]:
    bad = []
    if last.state is not State.COMPLETED or last.result != b"\x01%d" % width:
        bad.append(f"the last job is {last.state}, its result {last.result!r}: {last.note}")
    called = field.app.store.page(JobFilter(tasks=("told",)), None, 10)
    if [job.result for job in called] != [b'\x01"completed %d"' % width]:
        bad.append(f"{len(called)} callbacks")
    counts = field.counts()
    if counts.get(State.COMPLETED) != width + 2:
        bad.append(f"jobs by state: {counts}")
    edges = field.app.store.flows.edges([last.id])
    if not all(edge.done for edge in edges) or len(edges) != width + 1:
        bad.append(f"{sum(not edge.done for edge in edges)} of {len(edges)} waits are open")
    return bad


def _starts(field: Field, job_id: str) -> int:
    lines = (field.folder / "runs.log").read_text().splitlines()
    return sum(line.startswith(f"start {job_id} ") for line in lines)
