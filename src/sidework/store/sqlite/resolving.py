"""What follows from the end of a job, in the transaction of that end: those that waited for it go on or are
cancelled too, and its callbacks are enqueued. One level, and bounded; what is left follows (``flows``)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import apsw
from msgspec.structs import replace

from ...clock import Millis
from ...codec import MAX_BYTES
from ...ids import id_text
from ...job import CALL, Edge, Input
from ...state import State
from ..calling import called
from ..flows import MOST_EDGES
from . import inserting
from .connection import statement
from .rows import edge_row, input_of, insert_parameters


class Followed(NamedTuple):
    """What came of it: jobs that may run now, callbacks among them, jobs that were cancelled, and what is
    to be followed next: their ends, and those that more waits for."""

    freed: list[bytes]
    cancelled: list[bytes]
    left: list[bytes]


NOTHING = Followed([], [], [])


def follow(connection: apsw.Connection, ended: Iterable[bytes], now: Millis) -> Followed:
    """Go on from the ends of these jobs; some may not have ended, or have nothing that waits."""
    if not connection.execute(statement("any_edge")).get:
        return NOTHING
    found: list[Any] = []
    left: list[bytes] = []
    for parent in dict.fromkeys(ended):
        room = MOST_EDGES - len(found)
        if room:
            values = {"parent": parent, "limit": room}
            found += connection.execute(statement("edges_ended"), values)
        if len(found) == MOST_EDGES:
            left.append(parent)  # the one that filled it may have more
    return _resolve(connection, found, left, now)


def _resolve(
    connection: apsw.Connection, found: Sequence[Any], left: list[bytes], now: Millis
) -> Followed:
    freed: list[bytes] = []
    waited: dict[bytes, list[str | None]] = {}
    for parent, child, policy, state in found:
        if policy == CALL:
            freed += call(connection, parent, now)[0]
            continue
        failed = policy == "cancel" and state != State.COMPLETED
        connection.execute(
            "UPDATE edges SET done = 1 WHERE parent = ? AND child = ?", (parent, child)
        )
        waited.setdefault(child, []).append(f"{id_text(parent)} was {state}" if failed else None)
    cancelled: list[bytes] = []
    for child, ends in sorted(waited.items()):
        why = min((one for one in ends if one is not None), default=None)
        values = {"child": child, "ended": len(ends), "failed": why, "now": now}
        moved: Any = connection.execute(statement("resolve"), values).fetchone()
        if moved is not None and moved[0] == State.CANCELLED:
            cancelled.append(child)
        elif moved is not None and moved[0] != State.BLOCKED:
            freed.append(child)
    return Followed(freed, cancelled, [*cancelled, *left])


def call(
    connection: apsw.Connection, job_id: bytes, now: Millis
) -> tuple[list[bytes], list[bytes]]:
    """Enqueue what a job that has ended calls; which, and the job itself where that cannot be read."""
    rows: list[Any] = connection.execute(statement("called"), {"id": job_id}).fetchall()
    jobs, unread = called(rows)
    if rows and not unread:
        connection.execute(statement("calls"), {"id": job_id})
        inserting.insert(connection, [insert_parameters(job, now) for job in jobs])
    return [job.id for job in jobs], unread


def walk(
    connection: apsw.Connection, after: tuple[bytes, bytes], limit: int
) -> tuple[list[bytes], tuple[bytes, bytes] | None]:
    """Look through the next that wait: whose ends nobody has followed, and where it stopped (``None``: at
    the end)."""
    values = {"parent": after[0], "child": after[1], "limit": limit}
    rows: list[Any] = connection.execute(statement("edges_open"), values).fetchall()
    missed = [parent for parent, _, over in rows if over]
    return missed, (rows[-1][0], rows[-1][1]) if rows and len(rows) == limit else None


def inputs(connection: apsw.Connection, child: bytes) -> tuple[Input, ...]:
    """How the inputs of a job ended: with all their results, or none when they are too much."""
    found, size = list[Input](), 0
    for row in connection.execute(statement("inputs"), {"child": child}):
        one = input_of(row)
        size += len(one.result or b"")
        found.append(one if size <= MAX_BYTES else replace(one, result=None))
    if size > MAX_BYTES:
        found = [replace(one, result=None) for one in found]
    return tuple(found)


def reopen(connection: apsw.Connection, job_id: bytes) -> None:
    """A job that was final is live again: it waits for those of its inputs that are not final, and those
    that still wait for others wait for it, too."""
    rows = connection.execute(statement("reopen_inputs"), {"id": job_id}).fetchall()
    waits = sum(bool(row[0]) for row in rows)
    if waits:
        connection.execute(statement("block"), {"id": job_id, "pending": waits})
    for (child,) in connection.execute(statement("reopen_outputs"), {"id": job_id}).fetchall():
        connection.execute(statement("block"), {"id": child, "pending": 1})


def edges(connection: apsw.Connection, ids: Sequence[bytes]) -> list[Edge]:
    """The edges of these jobs, whether parent or child, in order."""
    found: set[Edge] = set()
    for job_id in ids:
        rows = connection.execute(statement("edges"), {"id": job_id})
        found |= {edge_row(row) for row in rows}
    return sorted(found, key=lambda one: (one.parent, one.child))


def needed_by(connection: apsw.Connection, job_id: bytes) -> bytes | None:
    """A live job that takes the output of this one."""
    found: bytes | None = connection.execute(statement("needed"), {"id": job_id}).get
    return found
