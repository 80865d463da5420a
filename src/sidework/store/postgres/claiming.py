"""Record and claim: what a worker does in one transaction, and the rescue of dead workers' jobs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from uuid import UUID

from ...clock import Millis
from ...crashpoint import reach
from ...errors import StoreRefused
from ...job import MAX_CRASHES, Claimed, Runner
from ...outcome import Failure, Outcome, encode_failure
from ..lanes import Lanes
from ..protocol import Demand
from ..storable import readable
from .arrays import BigInts, Bools, Bytes, Ints, Texts, Uuids
from .connection import Connection, Rows, ask, rows, statement
from .errand import Errand, guarded
from .rows import claimed

KEPT = frozenset({"retry", "discarded", "cancelled", "crashed"})
"""Outcomes that leave a row in ``attempts``: those that someone will ask about. All are bounded in
number by ``max_attempts`` and ``MAX_CRASHES``; snoozes are not, hence leave none."""

PROMOTE_LIMIT = 500


def record(
    connection: Connection, schema: str, outcomes: Sequence[Outcome], now: Millis | None
) -> Callable[[], list[bool | None]]:
    """Write the outcomes. Called, what is returned waits for a verdict for each: False where the claim was
    lost, None where a transaction of the job's own has its row."""
    # Of one claim the first counts, as if they were written one after the other.
    first = {_token(one): one for one in reversed(outcomes)}
    own = [one for one in first.values() if one.in_transaction]
    free = _free(connection, schema, own) if own else {}
    # In the order of their keys: two that record about the same jobs lock them in one order.
    line = sorted(
        (one for one in first.values() if not one.in_transaction or free.get(_token(one))),
        key=_token,
    )
    done = [one for one in line if one.kind == "completed"]
    rest = [one for one in line if one.kind != "completed"]
    written = [_complete(connection, schema, done, now)] if done else []
    if rest:
        written.append(_settle(connection, schema, rest, now))

    def verdicts() -> list[bool | None]:
        took = {(id_, fence) for landed in written for id_, fence in landed()}
        told: list[bool | None] = []
        for outcome in outcomes:
            token = _token(outcome)
            held = outcome.in_transaction and free.get(token) is False
            told.append(None if held else token in took)
            took.discard(token)  # said twice, it landed once
        return told

    return verdicts


def _free(
    connection: Connection, schema: str, outcomes: Sequence[Outcome]
) -> dict[tuple[bytes, int], bool]:
    sql = statement("free", schema)
    values = {
        "id": Uuids(one.id for one in outcomes),
        "fence": BigInts(one.fence for one in outcomes),
    }
    return {(id_, fence): free for id_, fence, free in rows(connection, sql, sql.values(values))}


def _token(outcome: Outcome) -> tuple[bytes, int]:
    return outcome.id, outcome.fence


def _complete(
    connection: Connection, schema: str, outcomes: Sequence[Outcome], now: Millis | None
) -> Rows:
    sql = statement("complete", schema)
    values = sql.values(
        {
            "id": Uuids(one.id for one in outcomes),
            "fence": BigInts(one.fence for one in outcomes),
            "attempt": Ints(one.attempt for one in outcomes),
            "result": Bytes(one.result for one in outcomes),
            "now": now,
        }
    )
    return ask(connection, sql, values)


def errand(schema: str, outcome: Outcome, now: Millis | None) -> Errand[bool]:
    """Complete one job on a connection that is not ours; False when its claim was lost."""
    values = {
        "id": [UUID(bytes=outcome.id)],
        "fence": [outcome.fence],
        "attempt": [outcome.attempt],
        "result": [outcome.result],
        "now": now,
    }
    return bool((yield guarded("complete", schema), values))


def _settle(
    connection: Connection, schema: str, outcomes: Sequence[Outcome], now: Millis | None
) -> Rows:
    kept = [one for one in outcomes if one.kind in KEPT]
    if kept:
        sql = statement("keep_attempt", schema)
        values = {
            "id": Uuids(one.id for one in kept),
            "fence": BigInts(one.fence for one in kept),
            "attempt": Ints(one.attempt for one in kept),
            "kind": Texts(one.kind for one in kept),
            "failure": Bytes(one.failure for one in kept),
            "now": now,
        }
        ask(connection, sql, sql.values(values))
    sql = statement("settle", schema)
    ends = {
        "id": Uuids(one.id for one in outcomes),
        "fence": BigInts(one.fence for one in outcomes),
        "attempt": Ints(one.attempt for one in outcomes),
        "kind": Texts(one.kind for one in outcomes),
        "delay": BigInts(one.delay for one in outcomes),
        "note": Texts(None if one.note is None else readable(one.note) for one in outcomes),
        "alone": Bools(one.alone for one in outcomes),
        "max_crashes": MAX_CRASHES,
        "now": now,
    }
    return ask(connection, sql, sql.values(ends))


def claim(
    connection: Connection, schema: str, demand: Demand, lanes: Lanes, now: Millis | None
) -> tuple[list[Claimed], frozenset[Runner], list[bytes]]:
    """Take what the demand has places for, shared evenly among open lanes; for which runners it was less;
    and which jobs had expired."""
    sql = statement("look", schema)
    ((known, closed, any_expired, any_due),) = rows(
        connection, sql, sql.values({"worker": demand.worker, "now": now})
    )
    if not known:
        # Taken for dead, or the database is a new one. What it took would come back as a stranger's, a
        # crash counted each time. The outcomes of this turn are undone with it: they are sent again.
        raise StoreRefused(f"worker {demand.worker} is not known here (any more): register again")
    expired: list[bytes] = []
    bounds = {"now": now, "limit": PROMOTE_LIMIT}
    if any_expired:
        sql = statement("expire", schema)
        expired = [row[0] for row in rows(connection, sql, sql.values(bounds))]
    if any_due:
        sql = statement("promote", schema)
        rows(connection, sql, sql.values(bounds))

    def take(runner: Runner, lane: str, most: int) -> list[Claimed]:
        sql = statement("claim", schema)
        values = {
            "lane": lane, "runner": runner, "limit": most, "worker": demand.worker, "now": now
        }  # fmt: skip
        taken = [claimed(row) for row in rows(connection, sql, sql.values(values))]
        taken.sort(key=lambda job: (-job.priority, job.due_at, job.id))
        return taken

    def has(runner: Runner, lane: str) -> bool:
        sql = statement("lane", schema)
        return bool(rows(connection, sql, sql.values({"lane": lane, "runner": runner}))[0][0])

    def walk(runner: Runner, after: str, most: int) -> list[tuple[str, bool]]:
        sql = statement("lanes", schema)
        values = sql.values({"runner": runner, "after": after, "most": most})
        return [(lane, found) for lane, found in rows(connection, sql, values)]

    taken, short = lanes.share(demand, frozenset(closed), has, walk, take)
    return taken, short, expired


def rescue(
    connection: Connection, schema: str, worker: int, limit: int, now: Millis | None
) -> list[bytes]:
    """Bring back at most ``limit`` jobs of a worker that is gone; which."""
    failure = encode_failure(Failure("WorkerDied", "the worker died while this attempt ran"))
    sql = statement("rescue", schema)
    found = rows(connection, sql, sql.values({"worker": worker, "limit": limit, "now": now}))
    if found:
        told = statement("keep_rescued", schema)
        values = {
            "id": Uuids(row[0] for row in found),
            "fence": BigInts(row[2] for row in found),
            "attempt": Ints(row[3] + 1 for row in found),
            "worker": worker,
            "failure": failure,
            "now": now,
        }
        rows(connection, told, told.values(values))
        reach("rescue: before commit")
    return [row[0] for row in found]
