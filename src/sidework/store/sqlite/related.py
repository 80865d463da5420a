"""Storing jobs that wait for others or have callbacks: with their edges, in one transaction."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import apsw

from ...clock import Millis
from ...job import Inserted, NewJob
from ...state import State
from ..relating import edges_of, parents_of, refuse_parts, with_pending
from . import inserting
from .connection import statement
from .rows import insert_parameters


def insert(connection: apsw.Connection, jobs: Sequence[NewJob], now: Millis) -> list[Inserted]:
    """Store the jobs in the transaction that is open; an answer for each."""
    ends = {}
    for parent in parents_of(jobs):
        found: Any = connection.execute(statement("parents"), (parent,)).fetchone()
        if found is not None:
            ends[parent] = State(found[0]), bool(found[1])
    edges = edges_of(jobs, ends)
    told = inserting.insert(
        connection,
        [insert_parameters(job, now) for job in with_pending(jobs, edges)],
        [job.parents for job in jobs],
    )
    refuse_parts(jobs, told)
    for one, its in zip(told, edges, strict=True):
        if one.verdict == "stored":
            values = [(edge.parent, edge.child, edge.policy, int(edge.done)) for edge in its]
            connection.executemany(statement("insert_edges"), values)
    return told
