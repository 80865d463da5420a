"""Storing jobs: one statement for one job, wide ones for many."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any

import apsw

from ...clock import Millis
from ...job import NewJob, Verdict
from ...state import State
from ..relating import edges_of, parents_of, pending
from .connection import statement
from .rows import insert_parameters

_WIDEST = 50
"""Rows of one statement at most. CPU per row: 3.5 us in fifties, 6 to 8 us one by one."""


class SomeWereThere(Exception):
    """A wide statement met an id that was there, or one twice; the transaction is to be undone."""


Row = tuple[Any, ...]
"""What ``insert.sql`` takes, as ``rows.insert_parameters`` makes it: the id is first."""


def insert_wide(connection: apsw.Connection, rows: Sequence[Row]) -> list[Verdict]:
    """Store jobs whose ids are all new, as they nearly always are; else ``SomeWereThere``.

    It cannot tell which: what then went in is only known by undoing it and using ``insert``.
    """
    for start in range(0, len(rows), _WIDEST):
        some = rows[start : start + _WIDEST]
        values = some[0] if len(some) == 1 else [value for row in some for value in row]
        connection.execute(_statement(len(some)), values)
        if connection.changes() != len(some):
            raise SomeWereThere
    return ["stored"] * len(rows)


def insert(connection: apsw.Connection, rows: Sequence[Row]) -> list[Verdict]:
    """Store the jobs one by one, in the caller's transaction; a verdict for each (promise I12)."""
    done: list[Verdict] = []
    for row in rows:
        connection.execute(statement("insert"), row)
        done.append("stored" if connection.changes() == 1 else verdict_on_taken(connection, row))
    return done


def insert_related(
    connection: apsw.Connection, jobs: Sequence[NewJob], now: Millis
) -> list[Verdict]:
    """The same for jobs that wait for others or have callbacks: with their edges."""
    ends = {}
    for parent in parents_of(jobs):
        found: Any = connection.execute(statement("parent"), (parent,)).fetchone()
        if found is not None:
            ends[parent] = State(found[0]), bool(found[1])
    edges = edges_of(jobs, ends)
    rows = [insert_parameters(job, now, pending(its)) for job, its in zip(jobs, edges, strict=True)]
    verdicts = insert(connection, rows)
    for verdict, its in zip(verdicts, edges, strict=True):
        if verdict == "stored":
            values = [(one.parent, one.child, one.policy, int(one.done)) for one in its]
            connection.executemany(statement("insert_edge"), values)
    return verdicts


def verdict_on_taken(connection: apsw.Connection, row: Row) -> Verdict:
    """What became of a job whose id was there: the same job again, or another one (promise I12)."""
    id_, task, lane, *_, args = row
    same = connection.execute(statement("same_content"), (task, lane, args, id_)).get
    return "present" if same else "conflict"


@functools.cache
def _statement(width: int) -> str:
    head, _, rest = statement("insert").partition("VALUES ")
    values, _, tail = rest.partition("\n")
    return f"{head}VALUES {', '.join([values] * width)}\n{tail}"
