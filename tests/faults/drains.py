"""Row 14: SIGTERM and SIGINT while jobs run."""

from __future__ import annotations

import random
import signal
from pathlib import Path
from time import monotonic

from sidework.ids import id_text
from sidework.state import State

from . import checker
from .field import Field, Figures, pause, until

WORDS = ("--children", "1", "--threads", "4")


def drains(folder: Path, size: int, seed: int) -> Figures:
    """Row 14: SIGTERM at any moment hands back everything and spends nothing."""
    draw = random.Random(seed)
    told: list[str] = []
    landed, bad, longest = 0, [], 0.0
    with Field(folder) as field:
        for _ in range(size):
            told += field.enqueue([field.load.work.bind(draw.randint(0, 20)) for _ in range(60)])
            worker = field.worker(*WORDS)
            until(lambda: field.counts().get("running") or not field.counts().get("available"),
                  "a run")  # fmt: skip
            pause(draw.uniform(0, 0.05))
            busy = field.counts().get("running", 0)
            began = monotonic()
            worker.send_signal(draw.choice([signal.SIGTERM, signal.SIGINT]))
            if worker.wait(30) != 0:
                bad.append(f"exit code {worker.returncode}")
            longest = max(longest, monotonic() - began)
            landed += bool(busy)
            for row in field.jobs():
                job = id_text(row.id)
                if row.state is State.RUNNING:
                    bad.append(f"{job} still runs after the drain")
                elif row.attempt != (row.state is State.COMPLETED):
                    bad.append(f"{job}: attempt {row.attempt} in {row.state}")
                elif row.state is not State.COMPLETED and row.crashes:
                    bad.append(f"{job} was handed back as if it had crashed")
            if field.app.store.workers():
                bad.append("a worker is still known")
        worker = field.worker(*WORDS)
        until(lambda: field.counts() == {"completed": len(told)}, "the end of all jobs")
        bad += field.stop(worker)
        bad += checker.violations(
            told,
            checker.runs(folder / "runs.log"),
            field.rows(),
            deaths=[],
            in_flight=0,
            asked=told,
        )
    return {"jobs": len(told), "landed": landed, "longest drain, s": round(longest, 2), "bad": bad}
