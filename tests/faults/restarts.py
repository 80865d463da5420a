"""Row 6: the server ends without a word, and comes up again from its log."""

from __future__ import annotations

import random
from pathlib import Path
from time import monotonic_ns
from typing import Any

from servers.postgres import Mode
from sidework.tasks.task import Bound

from . import checker
from .field import Field, Figures, pause, quantile, until
from .ground import Ground
from .kills import WORDS, settled
from .producing import Producers

PROMISED = 3.0
"""Seconds from when the server takes connections until every worker works again."""
WORKERS = 3
BATCH = 150


def restarts(folder: Path, size: int, seed: int) -> Figures:
    """Row 6: PostgreSQL stopped at once (immediate, SIGKILL) and restarted under load. ``size`` times."""
    draw = random.Random(seed)
    told: list[str] = []
    late: list[float] = []
    landed = busy_at = 0
    with Ground("postgres") as ground, Field(folder, url=(url := ground.store(folder))) as field:
        server, load = ground.server, field.load

        def bind() -> Bound[Any]:
            return draw.choice([load.work, load.coroutine, load.alone]).bind(draw.randint(0, 60))

        # A queue of its own for each, so that it is seen when each of them works again.
        own = [f"own-{number}" for number in range(WORKERS)]
        workers = [
            field.worker(*WORDS, "--queues", f"default,{queue}", log=folder / "workers.log")
            for queue in own
        ]
        field.ready(*workers)
        with Producers(url, bind, threads=2, rest=0.02) as producers:
            for _ in range(size):
                batch = [load.work.bind(draw.randint(0, 60)) for _ in range(BATCH)]
                told += field.enqueue(batch)
                until(lambda: field.counts().get("running"), "a run")
                pause(draw.uniform(0, 0.2))
                running = field.counts().get("running", 0)
                mode: Mode = draw.choice(["immediate", "kill"])
                server.stop(mode)
                landed += bool(running)
                busy_at += running
                pause(draw.choice([0.0, 0.0, draw.uniform(0, 4)]))
                server.start()
                began = monotonic_ns()
                asked = [load.work.options(queue_name=queue, priority=100).bind(0) for queue in own]
                ids = field.enqueue(asked)
                told += ids
                starts = until(lambda ids=ids: _starts(folder, ids), "work of all workers", 30)
                late += [(at - began) / 1e9 for at in starts]
                done = [one.job.id for one in batch]
                until(lambda done=done: settled(field.app.store, done), "the end of the batch")
        told += producers.told
        ended = [worker.returncode for worker in workers if worker.poll() is not None]
        until(lambda: field.counts() == {"completed": len(told)}, "the end of all jobs")
        bad = field.stop(*workers) if not ended else [f"workers ended by themselves: {ended}"]
        rows, ran = field.rows(), checker.runs(folder / "runs.log")
        # No process of ours died, so nothing may have run twice, nor have cost an attempt.
        bad += checker.violations(told, ran, rows, deaths=[], in_flight=0, asked=told)
        bad += [f"{job}: attempt {row.attempt}" for job, row in rows.items() if row.attempt != 1]
        bad += field.app.store.check()
    if quantile(late, 0.99) > PROMISED:
        bad.append(f"a worker was going again {quantile(late, 0.99):.2f} s after the server (p99)")
    return {
        "jobs": len(told), "landed": landed, "in flight at stops": busy_at,
        "enqueues told to try again": len(producers.refusals),
        "extra runs": len(ran) - len({run.job for run in ran}),
        "going again p50, s": round(quantile(late, 0.5), 2),
        "going again p99, s": round(quantile(late, 0.99), 2),
        "bad": bad,
    }  # fmt: skip


def _starts(folder: Path, ids: list[str]) -> list[int] | None:
    """When each of them began, once all have."""
    found = {run.job: run.began for run in checker.runs(folder / "runs.log")}
    return [found[job] for job in ids] if all(job in found for job in ids) else None
