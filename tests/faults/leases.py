"""Where the rows about leases are fought: workers that reach one PostgreSQL server in ways of their own,
and what is looked at afterwards, by whatever the workers were cut off or stopped."""

from __future__ import annotations

import random
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

from psycopg.conninfo import conninfo_to_dict

from servers.running import Running
from sidework.job import AttemptRow, JobRow
from sidework.state import State
from sidework.tasks.task import Bound

from . import checker
from .checker import Run
from .field import Field

LEASE, SHORT_LEASE = 5.0, 4.0
"""Of a proof, and of its short run."""
LOAD = Path(__file__).parent / "load_leases.py"
WORDS = ("--children", "1", "--threads", "3", "--concurrency", "12")
LOST = "had lost its claim"
"""How a worker's log says that the store refused what it had to say."""


class LeaseField(Field):
    """A field on a server's new database. ``watcher`` is this program's own way to it."""

    def __init__(self, folder: Path, server: Running, lease: float = LEASE) -> None:
        self.lease = lease
        self.database = str(conninfo_to_dict(server.new_database())["dbname"])
        self.watcher = self.way(server)
        super().__init__(folder, LOAD, self.watcher)
        self.app.store.migrate()
        self.log = folder / "workers.log"

    def way(self, through: Any) -> str:
        """The store's URL, by whatever leads to the server."""
        url: str = through.url(self.database, lease=f"{self.lease:g}s")
        return url

    def worker_by(self, url: str, *within: str) -> subprocess.Popen[bytes]:
        """Start a worker that reaches the store by this URL; ``within`` goes before its command."""
        with open(self.log, "ab") as said:
            process = subprocess.Popen(
                [*within, sys.executable, "-m", "sidework", "worker", "load", *WORDS],
                cwd=self.folder, env={**self.env, "SIDEWORK_URL": url}, stdout=said, stderr=said,
                stdin=subprocess.DEVNULL,
            )  # fmt: skip
        self.workers.append(process)
        return process

    def ids(self, workers: Iterable[subprocess.Popen[bytes]]) -> set[int]:
        """Under which numbers the store knows these workers now."""
        pids = {worker.pid for worker in workers}
        return {row.id for row in self.app.store.workers() if row.pid in pids}

    def held(self, workers: set[int]) -> list[JobRow]:
        """What runs by these workers, as the store has it."""
        return [row for row in self.jobs(State.RUNNING) if row.worker in workers]

    def taken(self, rows: Iterable[JobRow]) -> list[AttemptRow]:
        """Those of these claims that were taken away by a rescue."""
        return [
            attempt
            for row in rows
            for attempt in self.app.store.attempts(row.id)
            if attempt.outcome == "crashed" and attempt.fence == row.fence
        ]

    def mixed(self, draw: random.Random, count: int, longest: float) -> list[Bound[Any]]:
        """Jobs of all kinds; a half of them short, the others up to ``longest`` seconds."""
        load = self.load
        tasks = [load.thread, *[load.coroutine] * 3, load.process]
        tasks += [*[load.stop_coroutine] * 4, load.stop_process]
        return [
            draw.choice(tasks).bind(
                round(1000 * draw.choice([draw.uniform(0, 0.1), draw.uniform(1, longest)]))
            )
            for _ in range(count)
        ]

    def ended(self, told: Sequence[str]) -> bool:
        return self.counts() == {"completed": len(told)}

    def refused(self) -> int:
        """How often a worker was told that it had lost its claim."""
        return self.log.read_text().count(LOST)

    def verdict(
        self, told: Sequence[str], *, clock_jumped: bool = False
    ) -> tuple[list[str], dict[str, int]]:
        """What is wrong when all is over, and what was seen on the way. Where the server's clock jumped,
        when a claim was lost is not known: nothing may overlap."""
        rows = self.rows()
        logged = checker.runs(self.folder / "runs.log")
        ran, lost = (
            with_ticks(logged, self.folder / "ticks.log"),
            {} if clock_jumped else self._lost(rows),
        )
        # In a child that was stopped, or cut off with its worker, jobs wait to begin; they begin when it
        # goes on, and that is judged as what it is: a run of those that do not stop, beside the next one.
        late = {(run.job, run.fence, run.pid) for run in begun_late(logged, lost)}
        bad = checker.violations(
            told, [run for run in logged if (run.job, run.fence, run.pid) not in late], rows,
            asked=told, lost=lost,
        )  # fmt: skip
        bad += checker.overlaps(
            [run for run in ran if (run.job, run.fence, run.pid) not in late], None, lost
        )
        bad += foreign_results(rows)
        bad += self.app.store.check()
        both = list(overlapping(ran))
        stops = {job for job, row in rows.items() if ":stop_" in row.task}
        together = sum(job not in stops for job, _, _ in both)
        return bad, {
            "begun after a lost claim": len(late),
            "extra runs": len(ran) - len({run.job for run in ran}),
            "runs at once after a lost claim": together,
            "of them to be stopped": len(both) - together,
        }

    def _lost(self, rows: Mapping[str, JobRow]) -> dict[tuple[str, int], int]:
        """Since when each claim that a rescue took was lost, on the log's clock."""
        ahead = time.time_ns() - time.monotonic_ns()
        return {
            (job, attempt.fence): attempt.finished_at * 1_000_000 - ahead
            for job, row in rows.items()
            for attempt in self.app.store.attempts(row.id)
            if attempt.outcome == "crashed"
        }


def with_ticks(ran: Sequence[Run], path: Path) -> list[Run]:
    """The runs; one without an end ran until its last tick at the least."""
    last: dict[tuple[str, int, int], int] = {}
    for line in path.read_text().split("\n")[:-1] if path.exists() else []:
        _, job, fence, pid, _, at = line.split()
        key = (job, int(fence), int(pid))
        last[key] = max(last.get(key, 0), int(at))
    return [
        run if run.ended else replace(run, ended=last.get((run.job, run.fence, run.pid), run.began))
        for run in ran
    ]


def overlapping(ran: Sequence[Run]) -> Iterator[tuple[str, Run, Run]]:
    """Runs of one job that went on while the next had begun."""
    by_job = defaultdict(list)
    for run in ran:
        by_job[run.job].append(run)
    for job, several in by_job.items():
        for first, second in pairwise(several):
            if second.began < (first.ended or first.began):
                yield job, first, second


def begun_late(ran: Sequence[Run], lost: Mapping[tuple[str, int], int]) -> Iterator[Run]:
    """Runs that began when their claim had been lost and the next one's run had begun."""
    first: dict[tuple[str, int], int] = {}
    for run in ran:
        first.setdefault((run.job, run.fence), run.began)
    for run in ran:
        gone = lost.get((run.job, run.fence))
        if gone is not None and run.began > gone and min(
            (began for (job, fence), began in first.items()
             if job == run.job and fence > run.fence), default=run.began,
        ) < run.began:  # fmt: skip
            yield run


def foreign_results(rows: Mapping[str, JobRow]) -> Iterator[str]:
    """What a job's row holds was written under the claim that ended it."""
    for job, row in rows.items():
        if row.state is State.COMPLETED:
            wrote = int((row.result or b"_0")[1:])
            if wrote != row.fence - 1:
                yield f"{job} ended under fence {row.fence - 1} with what ran under {wrote}"
