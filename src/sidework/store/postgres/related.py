"""Storing jobs that wait for others or have callbacks: with their edges, in one transaction."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from ...clock import Millis
from ...errors import JobConflict
from ...job import Edge, Inserted, NewJob
from ...state import State
from ..relating import Ends, edges_of, parents_of, refuse_parts, with_pending
from . import inserting, resolving
from .arrays import Uuids
from .connection import Connection, rows, statement
from .errand import Errand, guarded


def insert(
    connection: Connection, schema: str, jobs: Sequence[NewJob], now: Millis | None
) -> list[Inserted]:
    """Store the jobs in the transaction that is open; an answer for each."""
    ends: Ends = {}
    outside = parents_of(jobs)
    if outside:
        sql = statement("parents", schema)
        found = rows(connection, sql, sql.values({"id": Uuids(outside)}))
        ends = {id_: (State(state), final) for id_, state, final in found}
    edges = edges_of(jobs, ends)
    ask: inserting.Ask = lambda sql, values: rows(connection, sql, values)  # noqa: E731
    told = inserting.insert_rows(ask, schema, with_pending(jobs, edges), now)
    refuse_parts(jobs, told)
    resolving.store(connection, schema, _of_stored(edges, told))
    return told


def errand(
    schema: str, jobs: Sequence[NewJob], now: Millis | None
) -> Errand[tuple[list[Inserted], str | None]]:
    """The same on a connection that is not ours (``inserting.errand``). An input that has failed is left to
    whoever comes next: what follows from it may be much, and its locks would be the caller's."""
    ends: Ends = {}
    outside = parents_of(jobs)
    if outside:
        asked = {"id": [UUID(bytes=id_) for id_ in outside]}
        found = yield guarded("parents", schema), asked
        ends = {UUID(str(id_)).bytes: (State(state), final) for id_, state, final in found}
    edges = edges_of(jobs, ends)
    # Once each: the same job may be handed over twice.
    all_edges = {(edge.parent, edge.child): edge for its in edges for edge in its}.values()
    waits: dict[str, list[Any]] = {
        "parent": [UUID(bytes=one.parent) for one in all_edges],
        "child": [UUID(bytes=one.child) for one in all_edges],
        "policy": [one.policy for one in all_edges],
        "done": [one.done for one in all_edges],
    }
    ready = with_pending(jobs, edges)
    told, transaction = yield from inserting.errand(schema, ready, now, waits)
    try:
        refuse_parts(jobs, told)
    except JobConflict:
        # The caller may catch it, and commit the rest.
        stored = [UUID(bytes=one.id) for one in told if one.verdict == "stored"]
        yield guarded("withdraw", schema, "withdraw_waits"), {"id": stored}
        raise
    return told, transaction


def _of_stored(edges: Sequence[Sequence[Edge]], told: Sequence[Inserted]) -> list[Edge]:
    return [
        edge
        for its, one in zip(edges, told, strict=True)
        if one.verdict == "stored"
        for edge in its
    ]
