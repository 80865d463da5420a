"""Storing jobs that wait for others or have callbacks: with their edges, in one transaction."""

from __future__ import annotations

from collections.abc import Sequence
from uuid import UUID

from ...clock import Millis
from ...job import Edge, NewJob, Verdict
from ...state import State
from ..relating import Ends, edges_of, parents_of, pending
from . import inserting, resolving
from .arrays import Uuids
from .connection import Connection, rows, statement
from .errand import Errand, guarded


def insert(
    connection: Connection, schema: str, jobs: Sequence[NewJob], now: Millis | None
) -> list[Verdict]:
    """Store the jobs in the transaction that is open; a verdict for each."""
    ends: Ends = {}
    outside = parents_of(jobs)
    if outside:
        sql = statement("parents", schema)
        found = rows(connection, sql, sql.values({"id": Uuids(outside)}))
        ends = {id_: (State(state), final) for id_, state, final in found}
    edges = edges_of(jobs, ends)
    verdicts = inserting.insert_rows(
        lambda sql, values: rows(connection, sql, values),
        schema,
        jobs,
        now,
        list(map(pending, edges)),
    )
    resolving.store(connection, schema, _of_stored(edges, verdicts))
    return verdicts


def errand(schema: str, jobs: Sequence[NewJob], now: Millis | None) -> Errand[inserting.Landed]:
    """The same on a connection that is not ours (``inserting.errand``). An input that has failed is left to
    whoever comes next: what follows from it may be much, and its locks would be the caller's."""
    ends: Ends = {}
    outside = parents_of(jobs)
    if outside:
        asked = {"id": [UUID(bytes=id_) for id_ in outside]}
        found = yield guarded("parents", schema), asked
        ends = {UUID(str(id_)).bytes: (State(state), final) for id_, state, final in found}
    edges = edges_of(jobs, ends)
    verdicts, transaction = yield from inserting.errand(
        schema, jobs, now, list(map(pending, edges))
    )
    stored = _of_stored(edges, verdicts)
    if stored:
        values = {
            "parent": [UUID(bytes=one.parent) for one in stored],
            "child": [UUID(bytes=one.child) for one in stored],
            "policy": [one.policy for one in stored],
            "done": [one.done for one in stored],
        }
        yield guarded("insert_edges", schema), values
    return verdicts, transaction


def _of_stored(edges: Sequence[Sequence[Edge]], verdicts: Sequence[Verdict]) -> list[Edge]:
    return [
        edge
        for its, verdict in zip(edges, verdicts, strict=True)
        if verdict == "stored"
        for edge in its
    ]
