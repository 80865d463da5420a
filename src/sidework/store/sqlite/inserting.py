"""Storing jobs: one statement for one job, wide ones for many."""

from __future__ import annotations

import functools
from collections.abc import Sequence

import apsw

from ...clock import Millis
from ...job import Inserted, NewJob
from .connection import statement
from .rows import insert_parameters

_WIDEST = 50
"""Rows of one statement at most. CPU per row: 3.5 us in fifties, 6 to 8 us one by one."""


class SomeWereThere(Exception):
    """A wide statement met an id that was there, or one twice; the transaction is to be undone."""


def insert_wide(connection: apsw.Connection, jobs: Sequence[NewJob], now: Millis) -> list[Inserted]:
    """Store jobs whose ids are all new, as they nearly always are; else ``SomeWereThere``.

    It cannot tell which: what then went in is only known by undoing it and using ``insert``.
    """
    for start in range(0, len(jobs), _WIDEST):
        rows = [insert_parameters(job, now) for job in jobs[start : start + _WIDEST]]
        connection.execute(_statement(len(rows)), [value for row in rows for value in row])
        if connection.changes() != len(rows):
            raise SomeWereThere
    return [Inserted(job.id, "stored") for job in jobs]


def insert(connection: apsw.Connection, jobs: Sequence[NewJob], now: Millis) -> list[Inserted]:
    """Store the jobs one by one, in the caller's transaction; a verdict for each (promise I12)."""
    done: list[Inserted] = []
    for job in jobs:
        connection.execute(statement("insert"), insert_parameters(job, now))
        if connection.changes() == 1:
            done.append(Inserted(job.id, "stored"))
            continue
        content = (job.task, job.lane, job.args, job.id)
        same = connection.execute(statement("same_content"), content).get
        done.append(Inserted(job.id, "present" if same else "conflict"))
    return done


@functools.cache
def _statement(width: int) -> str:
    head, _, rest = statement("insert").partition("VALUES ")
    values, _, tail = rest.partition("\n")
    return f"{head}VALUES {', '.join([values] * width)}\n{tail}"
