"""Final jobs past retention: where the line is, and a bounded step over it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import apsw

from ...clock import Millis
from ...crashpoint import reach
from .connection import statement

_FINAL = ("completed", "cancelled", "discarded")

Line = dict[str, Millis]
"""For each final state the moment up to which jobs that ended by then are past retention."""

Past = dict[str, Any]
"""What ``prune.sql`` is asked of one job."""


def line(connection: apsw.Connection, retention: dict[str, int], now: Millis) -> Line:
    """Where it is now. Reads as many index entries as completed jobs may be kept (a million: 30 ms),
    hence in no write transaction and not at every step."""
    before = {state: now - retention[f"{state}_age"] for state in _FINAL}
    keep = {"keep": retention["completed_count"]}
    surplus: Any = connection.execute(statement("prune_count"), keep).get
    if surplus is not None:
        before["completed"] = max(before["completed"], surplus)
    return before


def past(connection: apsw.Connection, before: Line, limit: int) -> list[Past]:
    """At most ``limit`` jobs past the line, oldest first. Reads all that live jobs still need (a hundred
    thousand: 0.1 s), hence in no write transaction either."""
    found: list[Past] = []
    for state, moment in before.items():
        values = {"state": state, "before": moment, "limit": limit - len(found)}
        rows = connection.execute(statement("prune_age"), values)
        found += [{"id": row[0], "state": state, "before": moment} for row in rows]
    return found


def step(connection: apsw.Connection, some: Sequence[Past]) -> int:
    """Delete those of the jobs that are still past the line, with their attempts, notes and waits; how
    many."""
    ids = connection.executemany(statement("prune"), some).fetchall()
    connection.executemany("DELETE FROM attempts WHERE job_id = ?", ids)
    connection.executemany("DELETE FROM edges WHERE child = ?", ids)
    connection.executemany("DELETE FROM notes WHERE job_id = ?", ids)
    reach("prune: before commit")
    return len(ids)
