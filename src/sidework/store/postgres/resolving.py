"""What follows from the ends of jobs, in the transaction of those ends: those that waited for them go on or
are cancelled too, and their callbacks are enqueued. One level, bounded; ``flows`` sees to what is left."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from ...clock import Millis
from ...codec import MAX_BYTES
from ...job import CALL, Edge, Input
from ...state import State
from ..calling import called as called_by
from ..flows import MOST_EDGES
from . import inserting
from .arrays import Bools, Id, Texts, Uuids
from .connection import Connection, rows, statement
from .rows import edge_row, input_of


class Followed(NamedTuple):
    """What came of it: jobs that may run now, callbacks among them, jobs that were cancelled, and what is
    to be followed next: their ends, and those that more waits for. ``counted``: whether anything was done."""

    freed: list[bytes]
    cancelled: list[bytes]
    left: list[bytes]
    counted: bool


class Calls(NamedTuple):
    """The callbacks that were enqueued; the jobs whose callbacks cannot be read, and those that others have
    in hand."""

    made: list[bytes]
    unread: list[bytes]
    held: list[bytes]


NOTHING = Followed([], [], [], counted=False)


def follow(
    connection: Connection, schema: str, ended: Iterable[bytes], now: Millis | None
) -> Followed:
    """Go on from the ends of these jobs; some may not have ended, or have nothing that waits."""
    parents = sorted(set(ended))
    if not parents:
        return NOTHING
    sql = statement("edges_ended", schema)
    found = rows(connection, sql, sql.values({"parent": Uuids(parents), "limit": MOST_EDGES}))
    waits = [(parent, child) for parent, child, policy in found if policy != CALL]
    called = [parent for parent, _, policy in found if policy == CALL]
    calls = call(connection, schema, called, now)
    # Where it was cut off nobody knows which have more. What cannot be read is found again by the chore only:
    # else it would fill each step anew.
    more = set(parents).difference(calls.unread) if len(found) == MOST_EDGES else ()
    left = dict.fromkeys(sorted([*more, *calls.held]))
    states: dict[bytes, str | None] = {}
    if waits:
        sql = statement("resolve", schema)
        columns = {
            "parent": Uuids(parent for parent, _ in waits),
            "child": Uuids(child for _, child in waits),
        }
        told = rows(connection, sql, sql.values({**columns, "now": now}))
        states = {child: state for _, child, state in told}
        counted = {(parent, child) for parent, child, _ in told}
        left |= dict.fromkeys(parent for parent, child in waits if (parent, child) not in counted)
    cancelled = sorted(child for child, state in states.items() if state == State.CANCELLED)
    freed = calls.made + [
        child for child, state in states.items() if state in (State.AVAILABLE, State.SCHEDULED)
    ]
    progress = bool(states) or len(calls.held) < len(called)
    return Followed(freed, cancelled, [*cancelled, *left], progress)


def call(
    connection: Connection, schema: str, job_ids: Sequence[bytes], now: Millis | None
) -> Calls:
    """Enqueue what jobs that have ended call."""
    if not job_ids:
        return Calls([], [], [])
    sql = statement("calls", schema)
    found = rows(connection, sql, sql.values({"id": Uuids(job_ids)}))
    jobs, unread = called_by(row for row in found if row[6] is not None)
    if unread:
        sql = statement("calls_left", schema)
        rows(connection, sql, sql.values({"id": Uuids(unread)}))
    if jobs:
        inserting.insert_rows(lambda sql, values: rows(connection, sql, values), schema, jobs, now)
    seen = {row[0] for row in found}
    return Calls([job.id for job in jobs], unread, [one for one in job_ids if one not in seen])


def walk(
    connection: Connection, schema: str, after: tuple[bytes, bytes], limit: int
) -> tuple[list[bytes], tuple[bytes, bytes] | None]:
    """Look through the next that wait: whose ends nobody has followed, and where it stopped (``None``: at
    the end)."""
    sql = statement("edges_open", schema)
    values = {"parent": Id(after[0]), "child": Id(after[1]), "limit": limit}
    found = rows(connection, sql, sql.values(values))
    missed = [parent for parent, _, over in found if over]
    return missed, (found[-1][0], found[-1][1]) if found and len(found) == limit else None


def inputs(
    connection: Connection, schema: str, children: Sequence[bytes]
) -> dict[bytes, tuple[Input, ...]]:
    """How the inputs of jobs ended."""
    sql = statement("inputs", schema)
    found: dict[bytes, list[Input]] = {}
    values = {"child": Uuids(children), "most": MAX_BYTES}
    for child, *row in rows(connection, sql, sql.values(values)):
        found.setdefault(child, []).append(input_of(row))
    return {child: tuple(some) for child, some in found.items()}


def reopen(connection: Connection, schema: str, job_id: bytes) -> list[bytes]:
    """A job that was final is live again: it waits for those of its inputs that are not final, and those
    that still wait for others wait for it, too. For whom it waits."""
    values = {"id": Id(job_id)}
    block = statement("block", schema)
    sql = statement("reopen_inputs", schema)
    waits = [parent for parent, open_ in rows(connection, sql, sql.values(values)) if open_]
    if waits:
        rows(connection, block, block.values({"id": Uuids([job_id]), "pending": len(waits)}))
    sql = statement("reopen_outputs", schema)
    children = [row[0] for row in rows(connection, sql, sql.values(values))]
    if children:
        rows(connection, block, block.values({"id": Uuids(children), "pending": 1}))
    return waits


def edges(connection: Connection, schema: str, ids: Sequence[bytes]) -> list[Edge]:
    """The edges of these jobs, whether parent or child, in order."""
    sql = statement("edges", schema)
    found = {edge_row(row) for row in rows(connection, sql, sql.values({"id": Uuids(set(ids))}))}
    return sorted(found, key=lambda one: (one.parent, one.child))


def needed_by(connection: Connection, schema: str, job_id: bytes) -> bytes | None:
    """A live job that takes the output of this one."""
    sql = statement("needed", schema)
    found = rows(connection, sql, sql.values({"id": Id(job_id)}))
    return found[0][0] if found else None


def store(connection: Connection, schema: str, edges: Sequence[Edge]) -> None:
    """Have these jobs wait."""
    sql = statement("insert_edges", schema)
    columns = {
        "parent": Uuids(one.parent for one in edges),
        "child": Uuids(one.child for one in edges),
        "policy": Texts(one.policy for one in edges),
        "done": Bools(one.done for one in edges),
    }
    if edges:
        rows(connection, sql, sql.values(columns))
