"""Record and claim: what a worker does in one transaction, and the rescue of dead workers' jobs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import apsw

from ...clock import Millis
from ...crashpoint import reach
from ...job import MAX_CRASHES, Claimed, Runner
from ...outcome import Failure, Outcome, encode_failure
from ..protocol import Demand
from .connection import statement
from .rows import claimed

KEPT = frozenset({"retry", "discarded", "cancelled", "crashed"})
"""Outcomes that leave a row in ``attempts``: those that someone will ask about. All are bounded in
number by ``max_attempts`` and ``MAX_CRASHES``; snoozes are not, hence leave none."""


def record(connection: apsw.Connection, outcomes: Sequence[Outcome], now: Millis) -> list[bool]:
    """Write the outcomes; a verdict for each, False where the claim was lost."""
    complete, took = statement("complete"), []
    for outcome in outcomes:
        if outcome.kind == "completed":
            # Told by the count of changes: a RETURNING here is half of what a record costs.
            values = (outcome.attempt, now, outcome.result, outcome.id, outcome.fence)
            connection.execute(complete, values)
        else:
            _settle(connection, outcome, now)
        took.append(connection.changes() == 1)
    return took


def _settle(connection: apsw.Connection, outcome: Outcome, now: Millis) -> None:
    values: dict[str, Any] = {
        "id": outcome.id,
        "fence": outcome.fence,
        "attempt": outcome.attempt,
        "kind": outcome.kind,
        "delay": outcome.delay,
        "note": outcome.note,
        "failure": outcome.failure,
        "alone": int(outcome.alone),
        "max_crashes": MAX_CRASHES,
        "now": now,
    }
    if outcome.kind in KEPT:
        connection.execute(statement("keep_attempt"), values)
    connection.execute(statement("settle"), values)


def lanes_with_work(connection: apsw.Connection) -> list[tuple[str, str]]:
    """The (lane, runner) pairs that have available jobs: one index seek each."""
    found: list[tuple[str, str]] = []
    lane, runner = "", ""
    while True:
        row = connection.execute(
            statement("next_lane"), {"lane": lane, "runner": runner}
        ).fetchone()
        if row is None:
            return found
        lane, runner = row
        found.append((lane, runner))


def claim(
    connection: apsw.Connection, demand: Demand, turn: int, now: Millis
) -> tuple[list[Claimed], frozenset[Runner]]:
    """Take what the demand has places for, shared evenly among open lanes; and for which runners it was less.

    ``turn`` rotates which lane is asked first, so that no lane is always the one cut short.
    """
    paused = {
        row[0] for row in connection.execute("SELECT name FROM queues WHERE paused_at IS NOT NULL")
    }
    pairs = [
        pair
        for pair in lanes_with_work(connection)
        if pair[0] not in paused and (not demand.lanes or pair[0] in demand.lanes)
    ]
    taken: list[Claimed] = []
    short: set[Runner] = set()
    for runner, places in demand.places.items():
        if places <= 0:
            continue
        lanes = [lane for lane, kind in pairs if kind == runner]
        if lanes:
            start = turn % len(lanes)
            lanes = lanes[start:] + lanes[:start]
        left = places
        while left > 0 and lanes:
            fuller: list[str] = []
            for position, lane in enumerate(lanes):
                share = -(-left // (len(lanes) - position))
                if share <= 0:
                    continue
                rows = [
                    claimed(row)
                    for row in connection.execute(
                        statement("claim"),
                        {
                            "lane": lane,
                            "runner": runner,
                            "limit": share,
                            "worker": demand.worker,
                            "now": now,
                        },
                    )
                ]
                rows.sort(key=lambda job: (-job.priority, job.due_at, job.id))
                taken += rows
                left -= len(rows)
                if len(rows) == share:
                    fuller.append(lane)
            lanes = fuller
        if left > 0:
            short.add(runner)
    return taken, frozenset(short)


def rescue(connection: apsw.Connection, worker: int, limit: int, now: Millis) -> list[bytes]:
    """Bring back at most ``limit`` jobs of a dead worker; the ids of those that became final."""
    failure = encode_failure(Failure("WorkerDied", "the worker died while this attempt ran"))
    rows: list[Any] = connection.execute(
        statement("rescue"),
        {"worker": worker, "limit": limit, "now": now},
    ).fetchall()
    connection.executemany(
        "INSERT OR IGNORE INTO attempts (job_id, fence, attempt, outcome, worker, finished_at, failure) "
        "VALUES (?, ?, ?, 'crashed', ?, ?, ?)",
        [(row[0], row[2], row[3] + 1, worker, now, failure) for row in rows],
    )
    if rows:
        reach("rescue: before commit")
    return [row[0] for row in rows]
