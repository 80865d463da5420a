"""Row 3: whoever comes to a named step of the protocol dies there, as by SIGKILL."""

from __future__ import annotations

import contextlib
import random
import subprocess
import sys
from itertools import cycle, islice
from pathlib import Path
from typing import Any

from sidework.crashpoint import POINTS

from . import checker
from .field import LOAD, Field, Figures, until
from .ground import Engine, Ground

WORDS = ("--children", "1", "--threads", "2")
LANDED_WITHIN = 10.0

ELSEWHERE: dict[Engine, frozenset[str]] = {
    "sqlite": frozenset({"rescue: worker forgotten"}),
    # One statement each, which commits by itself; and there is nothing to checkpoint.
    "postgres": frozenset({"insert: before commit", "checkpoint: done", "migration: committed"}),
}
"""Steps that an engine does not have."""

BATCH = """
import os
import load
load.migrate()
load.prepare()
fd = os.open("told.log", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
for n in range(30):
    task = load.work if n % 6 else load.pay
    os.write(fd, (task.enqueue(n % 7).id + "\\n").encode())
"""

RESUME = """
import load
load.app.store.limits.resume("load:work")
"""

TICKS = """
app.periodic(every="1s", args=(1,), name="tick")(work)
"""


def crash_points(folder: Path, size: int, seed: int) -> Figures:
    """Row 3: a crash at every named step, of whoever comes there, both engines. ``size`` crashes."""
    steps: list[tuple[Engine, str]] = [
        (engine, point)
        for engine, none in ELSEWHERE.items()
        for point in POINTS
        if point not in none
    ]
    random.Random(seed).shuffle(steps)  # so that a few of them will do in a short run
    bad: list[str] = []
    landed = jobs = 0
    with Ground("sqlite") as files, Ground("postgres") as server:
        grounds: dict[Engine, Ground] = {"sqlite": files, "postgres": server}
        for turn, (engine, point) in enumerate(islice(cycle(steps), size)):
            place = folder / str(turn)
            place.mkdir()
            found, hit, count = _crash_at(grounds[engine], place, point)
            landed += hit
            jobs += count
            bad += [f"{engine}, at {point!r}: {one}" for one in found]
            if not hit:
                bad.append(f"{engine}: {point!r} was never reached")
    return {"jobs": jobs, "landed": landed, "bad": bad}


def _crash_at(ground: Ground, folder: Path, point: str) -> tuple[list[str], bool, int]:
    marker = folder / "marker"
    # Enqueued by a program that may be the one to die; what it was told is in its log. That comes
    # before anything opens the store, or the migration would have been made already.
    client = point.startswith(("insert", "migration"))
    load = folder / "under_fire.py"
    ticks = TICKS if point.startswith("periodic") else ""
    load.write_text(LOAD.read_text() + ticks)
    (folder / "load.py").write_text(load.read_text())
    url = ground.store(folder, migrated=False)
    plain = Field.environment(folder, url)
    armed = {**plain, "SIDEWORK_CRASH_AT": f"{point}:{marker}"}
    words: dict[str, Any] = {"cwd": folder, "stderr": subprocess.DEVNULL}
    enqueue = [sys.executable, "-c", BATCH]
    if client:
        subprocess.run(enqueue, env=armed, check=False, **words)
        if marker.exists():
            subprocess.run(enqueue, env=plain, check=True, **words)
    with Field(folder, load, url) as field:
        if not client:
            with contextlib.chdir(folder):
                exec(BATCH, {})  # the load that it imports is the field's
        if point.startswith("rescue"):
            # One to be killed with jobs in its hands, so that the armed one has something to rescue.
            victim = field.worker(*WORDS)
            until(lambda: field.counts().get("running"), "a run")
            victim.kill()
            victim.wait()
        resumes = point.startswith("resume")
        if resumes:
            field.app.store.limits.pause(
                "load:work", "row 3", "so that there is something to resume"
            )
        field.env = plain if client or resumes else armed
        workers = [field.worker(*WORDS)]
        field.env = plain
        if resumes:
            until(lambda: field.counts().get("blocked"), "jobs that are set aside")
            subprocess.run([sys.executable, "-c", RESUME], env=armed, check=False, **words)
        elif not client:
            with contextlib.suppress(TimeoutError):  # then it was not hit, and the row says so
                until(marker.exists, "the crash", LANDED_WITHIN)
            if ticks:
                field.app.store.periodics.pause("tick", "row 3", "so that there is an end")
            workers.append(field.worker(*WORDS))
        until(lambda: field.counts().keys() <= {"completed"}, f"the end, {point} crashed")
        found = field.stop(*(worker for worker in workers if worker.poll() is None))
        told = checker.acknowledged(folder / "told.log")
        rows = field.rows()
        found += checker.violations(told, checker.runs(folder / "runs.log"), rows)
        found += [f"{job}: attempt {row.attempt}" for job, row in rows.items() if row.attempt != 1]
        found += field.app.store.check()
    return found, marker.exists(), len(rows)
