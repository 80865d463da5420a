"""Row 23: no bell is heard: their connections are killed, what they tell gets lost on its way, or a pooler
is between that passes none on, whose connections others may have."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from random import Random
from typing import Any

import psycopg
from click.testing import CliRunner

from servers.pgbouncer import PgBouncer, why_not
from servers.postgres import Server
from servers.proxy import Proxy
from sidework.cli.main import main
from sidework.errors import StoreUnavailable
from sidework.handle import JobHandle
from sidework.ids import id_text, new_id
from sidework.store.postgres.place import place_of
from sidework.store.postgres.pulse import POLL_HEARD, POLL_MOST
from sidework.store.postgres.session import PATIENCE

from .field import Field, Figures, pause, quantile, until
from .ground import Ground, database_of, url_of
from .pinned import LOAD

KINDS = ("nothing", "in_a_thread", "fails_first", "ends_itself")
PULSES = "application_name = 'sidework pulse'"
WITHIN = 60.0
"""Seconds after which a job counts as stuck."""
SAID = "a pooler is between"
POOL = 2
"""Connections to the server that two workers, a program and strangers share."""
HOLD_EVERY = 25
"""Jobs behind the pooler for each time that strangers have all of it."""
SHORT_HOLD, LONGEST_HOLD = 1.3, PATIENCE + 2
"""Seconds: longer than a worker waits for an answer; longer than a program does."""
JITTER, BESIDE = 1.2, 0.1
"""A poll is drawn up to so much longer; what a pickup may take besides, in seconds."""


class Part:
    """One way in which bells do not come: jobs that are handed over there one by one, and their results."""

    def __init__(self, field: Field, draw: Random, poll: float) -> None:
        self.field = field
        self._draw = draw
        self._poll = poll
        self._told: set[str] = set()
        self._undone: list[str] = []
        self.on_own = 0
        self.bad: list[str] = []

    def job(self, number: int) -> JobHandle[int]:
        """Handed over, half of the time in a transaction of the program's own."""
        task = getattr(self.field.load, self._draw.choice(KINDS))
        if self._draw.random() < 0.5:
            job: JobHandle[int] = task.enqueue(number)
        else:
            with psycopg.connect(place_of(self.field.app.url).conninfo) as own:
                if self._draw.random() < 0.3:
                    self._undone.append(task.options(connection=own).enqueue(number).id)
                    own.rollback()
                job = task.options(connection=own).enqueue(number)
            self.on_own += 1
        self._told.add(job.id)
        return job

    def ended(self, jobs: Sequence[JobHandle[int]], numbers: Sequence[int]) -> None:
        """Wait for their results."""
        for job, number in zip(jobs, numbers, strict=True):
            try:
                result = job.result(timeout=WITHIN)
            except TimeoutError:
                self.bad.append(f"job {job.id} is stuck")
            else:
                if result != number:
                    self.bad.append(f"job {job.id} gave {result!r}")

    def pickups(self) -> list[float]:
        """Seconds that the jobs waited for a worker once they were due, by the server's clock."""
        rows = self.field.rows()
        self.bad += [f"{job} was rolled back and is there" for job in self._undone if job in rows]
        mine = [rows[job] for job in self._told]
        waited = [
            (row.started_at - row.due_at) / 1000 for row in mine if row.started_at is not None
        ]
        # Of a hundred or more: of fewer it would be the slowest one's.
        if len(waited) >= 100 and quantile(waited, 0.99) > self._poll + BESIDE:
            self.bad.append(
                f"{quantile(waited, 0.99):.2f} s until picked up (p99), poll {self._poll:.2f} s"
            )
        return waited


def cut_bells(folder: Path, size: int, seed: int) -> Figures:
    """Row 23: bells cut: their connections are killed, notifications lost on their way, then two workers
    share two connections of PgBouncer in transaction mode, which strangers hold at times. ``size`` jobs for
    each; half of them in transactions of the program's own."""
    draw = Random(seed)
    figures: Figures = {"landed": 0, "jobs each": size, "in own transactions": 0}
    bad: list[str] = []
    ways = [straight]
    if (missing := why_not()) is not None:
        bad.append(f"not tried behind a pooler: {missing}")
    else:
        ways.append(pooled)
    with Ground("postgres") as ground:
        url = ground.store(folder)
        for way in ways:
            with ExitStack() as stack:
                parts, told = way(stack, ground.server, url, folder, size, draw)
                for name, part in parts.items():
                    waited = part.pickups()
                    bad += [f"{name}: {one}" for one in part.bad]
                    figures["in own transactions"] += part.on_own
                    figures[f"pickup p50 ms {name}"] = round(quantile(waited, 0.5) * 1000)
                    figures[f"pickup p99 ms {name}"] = round(quantile(waited, 0.99) * 1000)
                counts = parts.popitem()[1].field.counts()
                bad += [f"jobs are {state} at the end" for state in counts if state != "completed"]
            figures["landed"] += sum(told.values())
            figures |= told
    return {**figures, "bad": bad}


Way = tuple[dict[str, Part], dict[str, int]]
"""What was handed over, by what befell its bells, and how often that was."""


def straight(
    stack: ExitStack, server: Server, url: str, folder: Path, size: int, draw: Random
) -> Way:
    """Under the jobs the connections on which bells come are ended; then every line is open, every statement
    is answered, and only notifications never arrive."""
    proxy = stack.enter_context(Proxy(server))
    field = stack.enter_context(Field(folder, LOAD, url_of(proxy, database_of(url))))
    worker = field.worker()
    field.ready(worker)
    # Back within less than a poll, and whoever listens anew looks at everything.
    killed, kills = Part(field, draw, POLL_MOST * JITTER), 0
    for group in groups(size):
        jobs = [killed.job(number) for number in group]
        kills += server.kill_backends(PULSES)
        killed.ended(jobs, group)
    lost = Part(field, draw, POLL_HEARD * JITTER)
    proxy.deafen()
    for group in groups(size):
        lost.ended([lost.job(number) for number in group], group)
        pause(draw.uniform(0, POLL_MOST))  # what comes next does not always come just after a look
    lost.bad += field.stop(worker)
    unheard = proxy.landed["unheard"]
    return {"killed": killed, "lost": lost}, {"killed": kills, "notifications lost": unheard}


def pooled(
    stack: ExitStack, server: Server, url: str, folder: Path, size: int, draw: Random
) -> Way:
    """Nothing is kept in a session, and now and then there is none to have."""
    pooler = stack.enter_context(PgBouncer(server, pool_size=POOL))
    through = url_of(pooler, database_of(url))
    field = stack.enter_context(Field(folder, LOAD, through))
    part = Part(field, draw, POLL_MOST * JITTER)
    logs = [folder / "first.log", folder / "second.log"]
    workers = [field.worker(log=log) for log in logs]
    field.ready(*workers)
    for group in groups(size):
        part.ended([part.job(number) for number in group], group)
    holds = max(1, size // HOLD_EVERY)
    refused = sum(
        exhausted(pooler, part, draw.uniform(0.5, LONGEST_HOLD) if holds > 1 else SHORT_HOLD)
        for _ in range(holds)
    )
    part.bad += verbs(through)
    part.bad += field.stop(*workers)
    part.bad += [f"{log.name}: said {said} times that a pooler is between"
                 for log in logs if (said := log.read_text().count(SAID)) != 1]  # fmt: skip
    part.bad += moved(through)
    return {"pooled": part}, {"pools held": holds, "enqueues refused meanwhile": refused}


def groups(size: int) -> list[list[int]]:
    """One by one, so that each has to be found for itself; few, as in a test, together."""
    numbers = list(range(size))
    return [numbers] if size < HOLD_EVERY else [[number] for number in numbers]


def exhausted(pooler: PgBouncer, part: Part, seconds: float) -> bool:
    """Strangers have all connections of the pool for so long: whether the program, which has to wait for
    one, was told that it cannot have it. Then the same job is handed over again (promise I12)."""
    task, job_id = part.field.load.nothing, id_text(new_id())
    conninfo = place_of(part.field.app.url).conninfo
    with ThreadPoolExecutor(1) as program:
        with ExitStack() as stack:
            for _ in range(POOL):
                stranger = stack.enter_context(psycopg.connect(conninfo))
                stranger.execute("SELECT 1")  # from here on it is in a transaction
            asked = program.submit(task.options(id=job_id).enqueue, 7)
            until(lambda: waiting(pooler), "somebody's wait for a connection")
            pause(seconds)
        refused = isinstance(asked.exception(), StoreUnavailable)
        job = task.options(id=job_id).enqueue(7) if refused else asked.result()
    part.ended([job], [7])
    return refused


def waiting(pooler: PgBouncer) -> bool:
    return any(pool["cl_waiting"] for pool in pooler.console("SHOW POOLS"))


def verbs(url: str) -> Iterator[str]:
    """``sidework db`` and ``sidework doctor`` behind the pooler, while workers work."""
    fresh = place_of(url).url.replace("schema=", "schema=other_")
    for words, expected in (
        (("db", "migrate", "--url", url), "there is nothing to do"),
        (("db", "migrate", "--url", fresh), "applied version"),
        (("db", "check", "--url", url), "nothing is damaged"),
        (("db", "info", "--url", url), "completed"),
        (("db", "vacuum", "--url", url), "bytes before"),
        (("doctor", "--url", url), "there is one between"),
    ):
        yield from done(words, expected)


def moved(url: str) -> Iterator[str]:
    """``sidework db copy`` into the other schema, both behind the pooler, when no worker lives."""
    fresh = place_of(url).url.replace("schema=", "schema=other_")
    yield from done(("db", "copy", url, fresh), "is copied to")


def done(words: tuple[str, ...], expected: str) -> Iterator[str]:
    """What was wrong with a command."""
    told: Any = CliRunner().invoke(main, words)
    if told.exit_code != 0 or expected not in told.output:
        yield f"sidework {' '.join(words)}: {told.exit_code}, {told.output.strip()}"
