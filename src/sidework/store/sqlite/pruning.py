"""Final jobs past retention: where the line is, and a bounded step over it."""

from __future__ import annotations

from typing import Any

import apsw

from ...clock import Millis
from ...crashpoint import reach
from .connection import statement

_FINAL = ("completed", "cancelled", "discarded")

Line = dict[str, Millis]
"""For each final state the moment up to which jobs that ended by then are past retention."""


def line(connection: apsw.Connection, retention: dict[str, int], now: Millis) -> Line:
    """Where it is now. Reads as many index entries as completed jobs may be kept (a million: 30 ms),
    hence in no write transaction and not at every step."""
    before = {state: now - retention[f"{state}_age"] for state in _FINAL}
    keep = {"keep": retention["completed_count"]}
    surplus: Any = connection.execute(statement("prune_count"), keep).get
    if surplus is not None:
        before["completed"] = max(before["completed"], surplus)
    return before


def step(connection: apsw.Connection, before: Line, limit: int) -> int:
    """Delete at most ``limit`` jobs past the line, oldest first, with their attempts, notes and waits; how
    many."""
    gone = 0
    for state, moment in before.items():
        values = {"state": state, "before": moment, "limit": limit - gone}
        ids = connection.execute(statement("prune_age"), values).fetchall()
        connection.executemany("DELETE FROM attempts WHERE job_id = ?", ids)
        connection.executemany("DELETE FROM edges WHERE child = ?", ids)
        connection.executemany("DELETE FROM notes WHERE job_id = ?", ids)
        gone += len(ids)
    reach("prune: before commit")
    return gone
