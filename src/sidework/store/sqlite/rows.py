"""Between rows and values: the column lists and how a row becomes a word."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import apsw
import msgspec

from ...clock import Millis
from ...job import AttemptRow, Claimed, Edge, Input, JobRow, NewJob
from ...state import State

JOB_COLUMNS = (
    "id, task, lane, state, runner, priority, attempt, max_attempts, fence, crashes, "
    "cancel_requested, inserted_at, due_at, started_at, finished_at, expires_at, timeout, "
    "on_crash, worker, note, tags, args, result, pending, callbacks, unique_key, "
    "unique_until, context"
)
EDGE_COLUMNS = "parent, child, policy, done"
ATTEMPT_COLUMNS = "job_id, attempt, fence, outcome, worker, started_at, finished_at, failure"
NOTE_COLUMNS = "job_id, fence, number, kind, at, body"


def job_row(row: tuple[Any, ...]) -> JobRow:
    """A row of ``JOB_COLUMNS``."""
    (id_, task, lane, state, runner, priority, attempt, max_attempts, fence, crashes, cancel,
     inserted, due, started, finished, expires, timeout, on_crash, worker, note, tags, args,
     result, *more) = row  # fmt: skip
    return JobRow(
        id_, task, lane, state_of(state), runner, priority, attempt, max_attempts, fence, crashes,
        bool(cancel), inserted, due, started, finished, expires, timeout, on_crash, worker, note,
        msgspec.json.decode(tags, type=tuple[str, ...]), args, result, *more,
    )  # fmt: skip


def state_of(text: str) -> State:
    """The state of that name; anything else is damage."""
    try:
        return State(text)
    except ValueError:
        raise apsw.CorruptError(f"{text!r} is no state of a job") from None


def attempt_row(row: tuple[Any, ...]) -> AttemptRow:
    """A row of ``ATTEMPT_COLUMNS``."""
    return AttemptRow(*row)


def edge_row(row: tuple[Any, ...]) -> Edge:
    """A row of ``EDGE_COLUMNS``."""
    parent, child, policy, done = row
    return Edge(parent, child, policy, bool(done))


def input_of(row: Sequence[Any]) -> Input:
    """A row of ``inputs.sql``."""
    id_, state, *rest = row
    return Input(id_, None if state is None else State(state), *rest)


def claimed(row: tuple[Any, ...]) -> Claimed:
    """A row that ``claim.sql`` returned."""
    (id_, fence, attempt, max_attempts, task, lane, runner, priority, due, timeout, backoff,
     on_crash, args, context) = row  # fmt: skip
    return Claimed(
        id_, fence, attempt, max_attempts, task, lane, runner, priority, due, timeout, backoff,
        on_crash, args, context,
    )  # fmt: skip


def insert_parameters(job: NewJob, now: Millis) -> tuple[Any, ...]:
    """What ``insert.sql`` takes; a due time that has passed means now."""
    due = job.due_at if job.due_at is not None else now + job.delay
    expires = job.expires_at
    if expires is None and job.expires_in is not None:
        expires = now + job.expires_in
    return (
        job.id,
        job.task,
        job.lane,
        "blocked" if job.pending else "scheduled" if due > now else "available",
        job.runner,
        job.priority,
        due if due > now else now,
        job.max_attempts,
        now,
        expires,
        job.timeout,
        job.backoff,
        job.on_crash,
        job.pending,
        job.callbacks,
        job.unique_key,
        job.unique_until,
        job.context,
        "[]" if not job.tags else msgspec.json.encode(job.tags).decode(),
        job.args,
    )
