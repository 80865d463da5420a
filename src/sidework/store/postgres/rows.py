"""Between rows and values: the column lists, how a row becomes a word, and jobs as columns."""

from __future__ import annotations

from collections.abc import Sequence
from operator import attrgetter
from typing import Any

import msgspec

from ...job import AttemptRow, Claimed, Edge, Input, JobRow, NewJob
from ...state import State
from .arrays import BigInts, Bytes, Column, Id, Ints, Texts, Uuids

JOB_COLUMNS = (
    "id, task, lane, state, runner, priority, attempt, max_attempts, fence, crashes, "
    "cancel_requested, inserted_at, due_at, started_at, finished_at, expires_at, timeout, "
    "on_crash, worker, note, tags, args, result, pending, callbacks, unique_key, "
    "unique_until, context"
)
EDGE_COLUMNS = "parent, child, policy, done"
ATTEMPT_COLUMNS = "job_id, attempt, fence, outcome, worker, started_at, finished_at, failure"
NOTE_COLUMNS = "job_id, fence, number, kind, at, body"

NEW_COLUMNS: dict[str, type[Column]] = {
    "id": Uuids,
    "task": Texts,
    "lane": Texts,
    "runner": Texts,
    "priority": Ints,
    "due_at": BigInts,
    "delay": BigInts,
    "max_attempts": Ints,
    "expires_at": BigInts,
    "expires_in": BigInts,
    "timeout": BigInts,
    "backoff": BigInts,
    "on_crash": Texts,
    "tags": Texts,
    "args": Bytes,
    "pending": Ints,
    "callbacks": Bytes,
    "unique_key": Texts,
    "unique_until": Texts,
    "context": Texts,
}
"""What ``insert.sql`` takes, an array each."""


def job_row(row: tuple[Any, ...]) -> JobRow:
    """A row of ``JOB_COLUMNS``."""
    (id_, task, lane, state, runner, priority, attempt, max_attempts, fence, crashes, cancel,
     inserted, due, started, finished, expires, timeout, on_crash, worker, note, tags, args,
     result, *more) = row  # fmt: skip
    return JobRow(
        id_, task, lane, State(state), runner, priority, attempt, max_attempts, fence, crashes,
        cancel, inserted, due, started, finished, expires, timeout, on_crash, worker, note,
        msgspec.json.decode(tags, type=tuple[str, ...]), args, result, *more,
    )  # fmt: skip


def attempt_row(row: tuple[Any, ...]) -> AttemptRow:
    """A row of ``ATTEMPT_COLUMNS``."""
    return AttemptRow(*row)


def edge_row(row: tuple[Any, ...]) -> Edge:
    """A row of ``EDGE_COLUMNS``."""
    return Edge(*row)


def input_of(row: Sequence[Any]) -> Input:
    """A row of ``inputs.sql``."""
    id_, state, *rest = row
    return Input(id_, None if state is None else State(state), *rest)


def claimed(row: tuple[Any, ...]) -> Claimed:
    """A row that ``claim.sql`` returned."""
    return Claimed(*row)


def columns_of(jobs: Sequence[NewJob]) -> dict[str, list[Any]]:
    """The jobs as columns, in the order of ``NEW_COLUMNS``: plain values."""
    columns = {name: [getattr(job, name) for job in jobs] for name in NEW_COLUMNS}
    columns["tags"] = [tags_of(job) for job in jobs]
    return columns


def values_of(job: NewJob) -> dict[str, Any]:
    """One plain job as ``insert_one.sql`` takes it."""
    return {
        **dict(zip(_PLAIN, _FIELDS(job), strict=True)),
        "id": Id(job.id),
        "tags": tags_of(job),
    }


_MORE = ("pending", "callbacks", "unique_key", "unique_until", "context")
_PLAIN = tuple(name for name in NEW_COLUMNS if name not in _MORE)
_FIELDS = attrgetter(*_PLAIN)


def is_plain(job: NewJob) -> bool:
    """Whether it has nothing but what every job has."""
    return not (job.unique_key or job.unique_until or job.context)


def tags_of(job: NewJob) -> str:
    """A job's tags as they are stored."""
    return "[]" if not job.tags else msgspec.json.encode(job.tags).decode()
