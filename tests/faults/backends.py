"""Row 7: the server ends connections of everybody's, also in the middle of a statement."""

from __future__ import annotations

import random
from collections import Counter
from contextlib import closing
from pathlib import Path
from time import monotonic
from typing import Any

import psycopg

from sidework.ids import new_id
from sidework.store.postgres.bells import channel, payloads_of
from sidework.store.protocol import Listener
from sidework.tasks.task import Bound

from . import checker
from .field import Field, Figures, pause, quantile, until
from .finishing import not_one
from .ground import SCHEMA, Ground, database_of
from .kills import WORDS
from .producing import Producers

PROMISED = 2.0
"""Seconds until a bell rings again whose connection was killed."""
AHEAD = 400
"""So many jobs may wait before the next kill."""

# The one that does something, if any does: what is idle has nothing to lose.
STRIKE = """
SELECT pid, application_name, coalesce(state <> 'idle', true), pg_terminate_backend(pid) FROM (
    SELECT pid, application_name, state FROM pg_stat_activity
    WHERE datname = %s AND backend_type = 'client backend' AND pid <> pg_backend_pid()
      AND application_name <> 'harness'
    ORDER BY (coalesce(state <> 'idle', true) AND %s) DESC, random() LIMIT 1) AS victim
"""
ALL_PULSES = """
SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'sidework pulse'
"""


def killed_backends(folder: Path, size: int, seed: int) -> Figures:
    """Row 7: backends of workers, jobs, clients and pulses ended by ``pg_terminate_backend``. ``size``
    kills must land."""
    draw = random.Random(seed)
    by: Counter[str] = Counter()
    busy = 0
    bells: list[float] = []
    with Ground("postgres") as ground, Field(folder, url=(url := ground.store(folder))) as field:
        load = field.load
        load.prepare()
        database = database_of(url)
        workers = [field.worker(*WORDS, log=folder / "workers.log") for _ in range(2)]
        field.ready(*workers)

        def bind() -> Bound[Any]:
            task = draw.choice([load.work, load.coroutine, load.pay, load.pay_coroutine])
            words = (draw.randint(0, 20),)
            return (
                task.bind(*words, draw.random() < 0.5) if "pay" in task.name else task.bind(*words)
            )

        with (
            Producers(url, bind, threads=3, rest=0.005) as producers,
            psycopg.connect(ground.server.url(database), application_name="harness",
                            autocommit=True) as harness,
            closing(field.app.store.listen("done")) as bell,
        ):  # fmt: skip
            while sum(by.values()) < size:
                pause(draw.uniform(0, 0.05))
                struck = harness.execute(STRIKE, (database, draw.random() < 0.7)).fetchone()
                if struck is None or not struck[3]:
                    continue
                by[struck[1]] += 1
                busy += struck[2]
                if sum(by.values()) // 25 >= len(bells):
                    pulses, seconds = _ring_again(bell, harness)
                    by["sidework pulse"] += pulses
                    bells.append(seconds)
                    until(lambda: field.counts().get("available", 0) < AHEAD, "a short line")
        told = producers.told
        until(lambda: field.counts().keys() <= {"completed"}, "the end of all jobs", 120)
        bad = field.stop(*workers)
        rows, ran = field.rows(), checker.runs(folder / "runs.log")
        bad += checker.violations(told, ran, rows, asked=told)
        plain = {job for job, row in rows.items() if "pay" not in row.task}
        paid = {job: row for job, row in rows.items() if job not in plain}
        bad += list(not_one(load.effects(), paid))
        bad += checker.extra([run for run in ran if run.job in plain], 0)
        bad += [f"{job}: attempt {rows[job].attempt}" for job in plain if rows[job].attempt != 1]
        bad += field.app.store.check()
    if not bells or max(bells) > PROMISED:
        bad.append(f"a bell rang again after {max(bells, default=0):.2f} s")
    return {
        "jobs": len(told), "landed": sum(by.values()), "in the middle of something": busy,
        "of pulses": by["sidework pulse"], "of stores": by["sidework"],
        "of the jobs' own": by[""], "bells killed and heard again": len(bells),
        "enqueues told to try again": len(producers.refusals),
        "bells back p50, s": round(quantile(bells, 0.5), 2),
        "longest until a bell rang again, s": round(max(bells, default=0), 2),
        "bad": bad,
    }  # fmt: skip


def _ring_again(bell: Listener, harness: psycopg.Connection[Any]) -> tuple[int, float]:
    """End the connections of all pulses at once: how many, and in how many seconds what is rung is heard
    again. A look at everything, as is told after a silence, is not that."""
    id_ = new_id()
    began = monotonic()
    killed = harness.execute(ALL_PULSES).fetchall()
    while not any(id_ in payload for payload in bell.read()):
        if monotonic() > began + 30:
            break
        harness.execute(
            "SELECT pg_notify(%s, %s)", (channel(SCHEMA, "done"), payloads_of([id_])[0])
        )
        pause(0.01)
    return len(killed), monotonic() - began
