"""Final jobs past retention: where the line is, and a bounded step over it."""

from __future__ import annotations

from ...clock import Millis
from ...crashpoint import reach
from .arrays import Uuids
from .connection import Connection, numbered, rows, statement

_FINAL = ("completed", "cancelled", "discarded")

Line = dict[str, Millis]
"""For each final state the moment up to which jobs that ended by then are past retention."""


def line(
    connection: Connection, schema: str, retention: dict[str, int], now: Millis | None
) -> Line:
    """Where it is now. Reads as many index entries as completed jobs may be kept, hence not at every step."""
    ((moment,),) = rows(connection, numbered("SELECT :now", schema), [now])
    before = {state: moment - retention[f"{state}_age"] for state in _FINAL}
    sql = statement("prune_count", schema)
    surplus = rows(connection, sql, sql.values({"keep": retention["completed_count"]}))
    if surplus:
        before["completed"] = max(before["completed"], surplus[0][0])
    return before


def step(connection: Connection, schema: str, before: Line, limit: int) -> int:
    """Delete at most ``limit`` jobs past the line, oldest first, with their attempts; how many."""
    gone = 0
    sql, sql_gone = statement("prune_age", schema), statement("prune_gone", schema)
    for state, moment in before.items():
        if gone < limit:
            values = {"state": state, "before": moment, "limit": limit - gone}
            ids = [row[0] for row in rows(connection, sql, sql.values(values))]
            if ids:
                gone += len(rows(connection, sql_gone, sql_gone.values({"id": Uuids(ids)})))
    reach("prune: before commit")
    return gone
