"""Storing jobs: one statement for one job, wide ones for many."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any

import apsw

from ...clock import Millis
from ...job import Inserted, NewJob
from ...state import State
from ..relating import edges_of, parents_of, refuse_orphans, with_pending
from .connection import statement
from .rows import insert_parameters

_WIDEST = 50
"""Rows of one statement at most. CPU per row: 3.5 us in fifties, 6 to 8 us one by one."""


class SomeWereThere(Exception):
    """A wide statement met an id or a unique key that was there, or one twice; the transaction is to be
    undone."""


Row = tuple[Any, ...]
"""What ``insert.sql`` takes, as ``rows.insert_parameters`` makes it."""


def insert_wide(connection: apsw.Connection, rows: Sequence[Row]) -> list[Inserted]:
    """Store jobs whose ids and keys are all new, as they nearly always are; else ``SomeWereThere``.

    It cannot tell which: what then went in is only known by undoing it and using ``insert``.
    """
    for start in range(0, len(rows), _WIDEST):
        some = rows[start : start + _WIDEST]
        values = some[0] if len(some) == 1 else [value for row in some for value in row]
        connection.execute(_statement(len(some)), values)
        if connection.changes() != len(some):
            raise SomeWereThere
    return [Inserted(row[0], "stored") for row in rows]


def insert(connection: apsw.Connection, rows: Sequence[Row]) -> list[Inserted]:
    """Store the jobs one by one, in the caller's transaction; an answer for each (promises I9, I12)."""
    return [_insert(connection, row) for row in rows]


def _insert(connection: apsw.Connection, row: Row) -> Inserted:
    while True:
        connection.execute(statement("insert"), row)
        if connection.changes() == 1:
            return Inserted(row[0], "stored")
        if (found := _taken(connection, row)) is not None:
            return found


def insert_related(
    connection: apsw.Connection, jobs: Sequence[NewJob], now: Millis
) -> list[Inserted]:
    """The same for jobs that wait for others or have callbacks: with their edges."""
    ends = {}
    for parent in parents_of(jobs):
        found: Any = connection.execute(statement("parent"), (parent,)).fetchone()
        if found is not None:
            ends[parent] = State(found[0]), bool(found[1])
    edges = edges_of(jobs, ends)
    told = insert(connection, [insert_parameters(job, now) for job in with_pending(jobs, edges)])
    refuse_orphans(jobs, told)
    for one, its in zip(told, edges, strict=True):
        if one.verdict == "stored":
            values = [(edge.parent, edge.child, edge.policy, int(edge.done)) for edge in its]
            connection.executemany(statement("insert_edge"), values)
    return told


def _taken(connection: apsw.Connection, row: Row) -> Inserted | None:
    """What is in the way of a job: it was stored before, another job has its id, or one holds its key. None
    when that is gone, as may be on a caller's connection that is in no transaction."""
    id_, task, lane, *_, key, _until, _context, _tags, args = row
    same, holder = connection.execute(statement("same_content"), (task, lane, args, id_, key)).get
    if same is not None:
        return Inserted(id_, "present" if same else "conflict")
    return None if holder is None else Inserted(holder, "unique")


@functools.cache
def _statement(width: int) -> str:
    head, _, rest = statement("insert").partition("VALUES ")
    values, _, tail = rest.partition("\n")
    return f"{head}VALUES {', '.join([values] * width)}\n{tail}"
