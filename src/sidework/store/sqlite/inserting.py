"""Storing jobs: one statement for one job, wide ones for many."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any

import apsw

from ...job import Inserted
from .connection import statement

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


def insert(
    connection: apsw.Connection,
    rows: Sequence[Row],
    parents: Sequence[Sequence[bytes]] | None = None,
) -> list[Inserted]:
    """Store the jobs one by one, in the caller's transaction; an answer for each (promises I9, I12).
    ``parents`` are those that they wait for, whose edges the caller stores; None: they wait for nobody."""
    told: list[Inserted] = []
    fresh: dict[bytes, set[bytes]] = {}
    for at, row in enumerate(rows):
        id_, waits = row[0], set(parents[at]) if parents else set()
        one = _insert(connection, row)
        if one.verdict == "stored":
            fresh[id_] = waits
        elif one.verdict == "present":
            there = fresh[id_] if id_ in fresh else _waits(connection, id_)
            one = one if there == waits else Inserted(id_, "conflict")
        told.append(one)
    return told


def _waits(connection: apsw.Connection, id_: bytes) -> set[bytes]:
    return {row[0] for row in connection.execute(statement("waits"), (id_,))}


def _insert(connection: apsw.Connection, row: Row) -> Inserted:
    while True:
        connection.execute(statement("insert"), row)
        if connection.changes() == 1:
            return Inserted(row[0], "stored")
        if (found := _taken(connection, row)) is not None:
            return found


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
