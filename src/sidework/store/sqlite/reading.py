"""What is only looked at: jobs, attempts, queues."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import apsw

from ...job import AttemptRow, JobFilter, JobRow, QueueRow
from ...note import NoteRow
from .rows import ATTEMPT_COLUMNS, JOB_COLUMNS, NOTE_COLUMNS, attempt_row, job_row


def get(connection: apsw.Connection, ids: Sequence[bytes]) -> list[JobRow | None]:
    """The jobs of these ids, ``None`` where there is none."""
    sql = f"SELECT {JOB_COLUMNS} FROM jobs WHERE id = ?"
    found: list[Any] = [connection.execute(sql, (job_id,)).fetchone() for job_id in ids]
    return [None if row is None else job_row(row) for row in found]


def page(
    connection: apsw.Connection, want: JobFilter, before: bytes | None, limit: int
) -> list[JobRow]:
    """Jobs that fit, newest first, older than ``before``; paging by id is stable."""
    where, values = ["1"], list[Any]()
    for column, wanted in (("state", want.states), ("lane", want.lanes)):
        if wanted:
            where.append(f"{column} IN ({', '.join('?' * len(wanted))})")
            values += [str(value) for value in wanted]
    if want.tasks:
        # Not LIKE: "_" would be any character, and case would not count.
        each = "task = ? OR (instr(?, ':') = 0 AND substr(task, -length(?) - 1) = ':' || ?)"
        where.append(f"({' OR '.join([each] * len(want.tasks))})")
        values += [value for task in want.tasks for value in (task,) * 4]
    if want.tag is not None:
        where.append("EXISTS (SELECT 1 FROM json_each(tags) WHERE value = ?)")
        values.append(want.tag)
    if before is not None:
        where.append("id < ?")
        values.append(before)
    sql = f"SELECT {JOB_COLUMNS} FROM jobs WHERE {' AND '.join(where)} ORDER BY id DESC LIMIT ?"
    return [job_row(row) for row in connection.execute(sql, (*values, limit))]


def attempts(connection: apsw.Connection, job_id: bytes) -> list[AttemptRow]:
    """The job's failed, crashed and cancelled attempts, oldest first."""
    sql = f"SELECT {ATTEMPT_COLUMNS} FROM attempts WHERE job_id = ? ORDER BY fence"
    return [attempt_row(row) for row in connection.execute(sql, (job_id,))]


def notes(connection: apsw.Connection, job_id: bytes) -> list[NoteRow]:
    """All that is kept of what the job told, in order."""
    sql = f"SELECT {NOTE_COLUMNS} FROM notes WHERE job_id = ? ORDER BY fence, number"
    return [NoteRow(*row) for row in connection.execute(sql, (job_id,))]


def switch(connection: apsw.Connection, queue: str) -> QueueRow:
    """The queue's switch, without counts."""
    sql = "SELECT name, paused_at, paused_by, paused_why, most, declared FROM queues WHERE name = ?"
    row: Any = connection.execute(sql, (queue,)).fetchone()
    return QueueRow(queue) if row is None else QueueRow(*row)


def queues(connection: apsw.Connection) -> list[QueueRow]:
    """Every queue that holds jobs or has a switch, with counts by state."""
    sql = "SELECT name, paused_at, paused_by, paused_why, most, declared FROM queues"
    rows = {row[0]: QueueRow(*row) for row in connection.execute(sql)}
    counted = "SELECT lane, state, count(*) FROM jobs GROUP BY lane, state"
    for lane, state, count in connection.execute(counted):
        rows.setdefault(lane, QueueRow(lane)).counts[state] = count
    return [rows[name] for name in sorted(rows)]
