"""What is only looked at: jobs, attempts, queues."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ...job import AttemptRow, JobFilter, JobRow, QueueRow
from .arrays import Id, Texts, Uuids
from .connection import Connection, numbered, rows
from .rows import ATTEMPT_COLUMNS, JOB_COLUMNS, attempt_row, job_row


def get(connection: Connection, schema: str, ids: Sequence[bytes]) -> list[JobRow | None]:
    """The jobs of these ids, ``None`` where there is none."""
    sql = numbered(f"SELECT {JOB_COLUMNS} FROM sidework.jobs WHERE id = ANY (:ids::uuid[])", schema)
    found = {row[0]: job_row(row) for row in rows(connection, sql, [Uuids(ids)])}
    return [found.get(id_) for id_ in ids]


def page(
    connection: Connection, schema: str, want: JobFilter, before: bytes | None, limit: int
) -> list[JobRow]:
    """Jobs that fit, newest first, older than ``before``; paging by id is stable."""
    where = ["true"]
    values: dict[str, Any] = {"limit": limit}
    for column, wanted in (("state", want.states), ("lane", want.lanes)):
        if wanted:
            where.append(f"{column} = ANY (:{column}::text[])")
            values[column] = Texts(str(value) for value in wanted)
    if want.tasks:
        # Not LIKE: "_" would be any character.
        where.append(
            "EXISTS (SELECT 1 FROM unnest(:task::text[]) AS asked (name) WHERE task = name OR "
            "(strpos(name, ':') = 0 AND right(task, length(name) + 1) = ':' || name))"
        )
        values["task"] = Texts(want.tasks)
    if want.tag is not None:
        where.append(
            "EXISTS (SELECT 1 FROM json_array_elements_text(tags::json) AS tag WHERE tag = :tag)"
        )
        values["tag"] = want.tag
    if before is not None:
        where.append("id < :before::uuid")
        values["before"] = Id(before)
    sql = numbered(
        f"SELECT {JOB_COLUMNS} FROM sidework.jobs WHERE {' AND '.join(where)} "
        "ORDER BY id DESC LIMIT :limit::bigint",
        schema,
    )
    return [job_row(row) for row in rows(connection, sql, sql.values(values))]


def attempts(connection: Connection, schema: str, job_id: bytes) -> list[AttemptRow]:
    """The job's failed, crashed and cancelled attempts, oldest first."""
    sql = numbered(
        f"SELECT {ATTEMPT_COLUMNS} FROM sidework.attempts WHERE job_id = :id::uuid ORDER BY fence",
        schema,
    )
    return [attempt_row(row) for row in rows(connection, sql, [Id(job_id)])]


_SWITCH = "SELECT name, paused_at, paused_by, paused_why, most, declared FROM sidework.queues"


def switch(connection: Connection, schema: str, queue: str) -> QueueRow:
    """The queue's switch, without counts."""
    found = rows(connection, numbered(f"{_SWITCH} WHERE name = :name", schema), [queue])
    return QueueRow(*found[0]) if found else QueueRow(queue)


def queues(connection: Connection, schema: str) -> list[QueueRow]:
    """Every queue that holds jobs or has a switch, with counts by state."""
    made = {row[0]: QueueRow(*row) for row in rows(connection, numbered(_SWITCH, schema), [])}
    counted = "SELECT lane, state, count(*) FROM sidework.jobs GROUP BY lane, state"
    for lane, state, count in rows(connection, numbered(counted, schema), []):
        made.setdefault(lane, QueueRow(lane)).counts[state] = count
    return [made[name] for name in sorted(made)]
