"""Record and claim: what a worker does in one transaction, and the rescue of dead workers' jobs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import apsw
from msgspec.structs import replace

from ...clock import Millis
from ...crashpoint import reach
from ...errors import StoreRefused
from ...inputs import takes_inputs
from ...job import MAX_CRASHES, Claimed, Runner
from ...outcome import Failure, Outcome, encode_failure
from ...state import FINAL
from .. import pausing
from ..lanes import Lanes
from ..protocol import Demand
from ..storable import readable
from ..width import Width
from . import resolving
from .connection import statement
from .resolving import NOTHING, Followed
from .rows import claimed

KEPT = frozenset({"retry", "discarded", "cancelled", "crashed"})
"""Outcomes that leave a row in ``attempts``: those that someone will ask about. All are bounded in
number by ``max_attempts`` and ``MAX_CRASHES``; snoozes are not, hence leave none."""


def record(connection: apsw.Connection, outcomes: Sequence[Outcome], now: Millis) -> list[bool]:
    """Write the outcomes; a verdict for each, False where the claim was lost. None has to be asked again:
    this transaction has the one write lock, so no job's own is open."""
    return [
        complete(connection, outcome, now)
        if outcome.kind == "completed"
        else _settle(connection, outcome, now)
        for outcome in outcomes
    ]


def complete(connection: apsw.Connection, outcome: Outcome, now: Millis) -> bool:
    """Write one that completed; whether it took."""
    # Told by the count of changes: a RETURNING here is half of what a record costs.
    values = (outcome.attempt, now, outcome.result, outcome.id, outcome.fence)
    connection.execute(statement("complete"), values)
    return connection.changes() == 1


def _settle(connection: apsw.Connection, outcome: Outcome, now: Millis) -> bool:
    values: dict[str, Any] = {
        "id": outcome.id,
        "fence": outcome.fence,
        "attempt": outcome.attempt,
        "kind": outcome.kind,
        "delay": outcome.delay,
        "note": None if outcome.note is None else readable(outcome.note),
        "failure": outcome.failure,
        "alone": int(outcome.alone),
        "max_crashes": MAX_CRASHES,
        "now": now,
    }
    if outcome.kind in KEPT:
        connection.execute(statement("keep_attempt"), values)
    connection.execute(statement("settle"), values)
    return connection.changes() == 1


def claim(
    connection: apsw.Connection, demand: Demand, lanes: Lanes, now: Millis
) -> tuple[list[Claimed], frozenset[Runner], Width]:
    """Take what the demand has places for, shared evenly among open lanes; for which runners it was less, and
    what limits had a say."""
    known: Any = connection.execute("SELECT 1 FROM workers WHERE id = ?", (demand.worker,)).get
    if known is None:
        # Taken for dead, or the file is a new one. What it took would come back as a stranger's, a
        # crash counted each time. The outcomes of this turn are undone with it: they are sent again.
        raise StoreRefused(f"worker {demand.worker} is not known here (any more): register again")
    switches: list[Any] = connection.execute("SELECT name, paused_at, most FROM queues").fetchall()
    paused = {name for name, paused_at, _ in switches if paused_at is not None}
    most_of = {name: most for name, _, most in switches if most is not None}
    open_ = connection.execute("SELECT 1 FROM paused_tasks").get is None

    def room(lane: str) -> int:
        running: Any = connection.execute(statement("running"), {"lane": lane}).get
        return int(most_of[lane] - running)

    width = Width(most_of.keys(), room)

    def clear(runner: Runner, lane: str, most: int) -> bool:
        values = {"lane": lane, "runner": runner}

        def set_aside(limit: int) -> int:
            found = connection.execute(statement("set_aside"), {**values, "limit": limit})
            return len(found.fetchall())

        return pausing.clear(set_aside, most)

    def take(runner: Runner, lane: str, most: int) -> list[Claimed]:
        most = width.room(lane, most)
        if most <= 0:
            return []
        if not open_ and not clear(runner, lane, most):
            width.missed = True
            return []
        values = {
            "lane": lane,
            "runner": runner,
            "limit": most,
            "worker": demand.worker,
            "now": now,
            "open": open_,
        }
        taken = [claimed(row) for row in connection.execute(statement("claim"), values)]
        taken = [
            replace(job, inputs=resolving.inputs(connection, job.id))
            if takes_inputs(job.args)
            else job
            for job in taken
        ]
        taken.sort(key=lambda job: (-job.priority, job.due_at, job.id))
        width.took(lane, len(taken))
        return taken

    def has(runner: Runner, lane: str) -> bool:
        return bool(connection.execute(statement("lane"), {"lane": lane, "runner": runner}).get)

    def walk(runner: Runner, after: str, most: int) -> list[tuple[str, bool]]:
        values = {"runner": runner, "after": after, "most": most}
        return [(lane, bool(any_)) for lane, any_ in connection.execute(statement("lanes"), values)]

    return *lanes.share(demand, paused, has, walk, take), width


def rescue(
    connection: apsw.Connection, worker: int, limit: int, now: Millis
) -> tuple[list[bytes], Followed]:
    """Bring back at most ``limit`` jobs of a dead worker; which, and what came of the ends among them."""
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
    ended = [row[0] for row in rows if row[1] in FINAL]
    followed = resolving.follow(connection, ended, now) if ended else NOTHING
    if rows:
        reach("rescue: before commit")
    return [row[0] for row in rows], followed
