"""Row 13: jobs that do not end by themselves."""

from __future__ import annotations

import re
from itertools import cycle, islice
from pathlib import Path
from time import monotonic_ns, time_ns

from sidework.ids import id_text
from sidework.outcome import decode_failure
from sidework.state import State
from sidework.worker.supervisor import GRACE_AFTER_TERM

from . import checker
from .checker import Death, Run
from .field import Field, Figures, until
from .said import Said

TIMEOUT = 0.3  # of the load's tasks
NOTICED = 1.0
"""Seconds within which an end or a flag must follow what it is promised for."""

WORDS = ("--children", "4", "--threads", "1", "--concurrency", "1")
KINDS = ("hang_coroutine", "hang_process", "hang_stubborn", "hang_thread")


def hung_jobs(folder: Path, size: int, seed: int) -> Figures:
    """Row 13: hung coroutines, threads, and processes that heed a signal or do not. ``size`` of them;
    there are four places for each kind, so that most begin only because a place came back."""
    offset = time_ns() - monotonic_ns()
    with Field(folder) as field, Said(folder / "worker.log") as said:
        bound = [(kind, getattr(field.load, kind).bind()) for kind in islice(cycle(KINDS), size)]
        kinds = {id_text(one.job.id): kind for kind, one in bound}
        told = field.enqueue([one for _, one in bound])
        worker = field.worker(*WORDS, log=folder / "worker.log")
        until(
            lambda: field.counts().keys() <= {"completed", "discarded"}, "their end", 60 + 2 * size
        )
        after = [getattr(field.load, task).enqueue(0)
                 for task in ("work", "coroutine", "alone") for _ in range(4)]  # fmt: skip
        for job in after:
            job.result(timeout=30)
        bad = field.stop(worker)
        rows = field.rows()
        ran = {run.job: run for run in checker.runs(folder / "runs.log")}
        attempts = {job: field.app.store.attempts(rows[job].id) for job in told}
    # Only the stubborn ones die with their process; when, the store says.
    deaths = [Death(run.pid, run.began, run.began + 10**10) for job, run in ran.items()
              if kinds.get(job) == "hang_stubborn"]  # fmt: skip
    bad += checker.violations(told, list(ran.values()), rows, deaths=deaths, in_flight=0)
    late: dict[str, float] = dict.fromkeys(KINDS, 0.0)
    for job, kind in kinds.items():
        if kind == "hang_thread":
            over = _flagged(ran[job], said, bad)
        else:
            (attempt,) = attempts[job]
            failure = decode_failure(attempt.failure)
            if failure is None or failure.kind != "TimeoutError":
                bad.append(f"{job} ({kind}) ended by {failure}")
            # Not from its claim on: a child may have had to be started for it first.
            over = (attempt.finished_at * 1e6 - offset - ran[job].began) / 1e9 - TIMEOUT
        late[kind] = max(late[kind], over)
        if over > NOTICED + (GRACE_AFTER_TERM if kind == "hang_stubborn" else 0):
            bad.append(f"{job} ({kind}): ended or flagged {over:.2f} s after its timeout")
        expected = State.COMPLETED if kind == "hang_thread" else State.DISCARDED
        if rows[job].state is not expected:
            bad.append(f"{job} ({kind}) is {rows[job].state}")
    return {
        "landed": len(told),
        "longest past its timeout, coroutine, s": round(late["hang_coroutine"], 2),
        "longest, process, s": round(late["hang_process"], 2),
        "longest, process that listens to nobody, s": round(late["hang_stubborn"], 2),
        "longest until a thread is flagged, s": round(late["hang_thread"], 2),
        "bad": bad,
    }  # fmt: skip


def _flagged(run: Run, said: Said, bad: list[str]) -> float:
    """Seconds from a thread's timeout until it was told to stop and a person was told of it."""
    lines = said.find(f"{re.escape(run.job)} .* is past its timeout of .* in a thread")
    if not lines or run.ended is None:
        bad.append(f"{run.job} was not flagged")
        return 0.0
    return (max(lines[0][0], run.ended) - run.began) / 1e9 - TIMEOUT
