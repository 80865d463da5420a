"""Record and claim: what a worker does in one transaction, and the rescue of dead workers' jobs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple
from uuid import UUID

from ...clock import Millis, monotonic
from ...crashpoint import reach
from ...errors import StoreRefused
from ...job import MAX_CRASHES, Claimed, Runner
from ...outcome import Failure, Outcome, encode_failure
from ...state import FINAL
from ..lanes import Lanes
from ..protocol import Demand
from ..storable import readable
from ..width import AGAIN_MS
from . import resolving
from .arrays import BigInts, Bools, Bytes, Ints, Texts, Uuids
from .bounds import Bounds
from .connection import Connection, Rows, ask, rows, statement
from .errand import Errand, guarded
from .resolving import Followed
from .taking import Taking

KEPT = frozenset({"retry", "discarded", "cancelled", "crashed"})
"""Outcomes that leave a row in ``attempts``: those that someone will ask about. All are bounded in
number by ``max_attempts`` and ``MAX_CRASHES``; snoozes are not, hence leave none."""

PROMOTE_LIMIT = 500


def record(
    connection: Connection,
    schema: str,
    outcomes: Sequence[Outcome],
    now: Millis | None,
    wary: bool,
) -> Recorded:
    """Write the outcomes; with ``wary`` none whose row anybody has locked. That costs one more statement,
    hence only after a turn that was not answered."""
    # Of one claim the first counts, as if they were written one after the other.
    first = {_token(one): one for one in reversed(outcomes)}
    asked = {token: one for token, one in first.items() if wary or one.in_transaction}
    free = _free(connection, schema, list(asked.values())) if asked else {}
    # In the order of their keys: two that record about the same jobs lock them in one order.
    line = sorted(
        (one for token, one in first.items() if token not in asked or free.get(token)),
        key=_token,
    )
    done = [one for one in line if one.kind == "completed"]
    rest = [one for one in line if one.kind != "completed"]
    written = [_complete(connection, schema, done, now)] if done else []
    if rest:
        written.append(_settle(connection, schema, rest, now))

    held = {token for token in asked if free.get(token) is False}
    return Recorded(outcomes, held, written)


class Recorded:
    """Outcomes that were written: to ask of it is to wait for the answers."""

    def __init__(
        self, outcomes: Sequence[Outcome], held: set[tuple[bytes, int]], written: list[Rows]
    ) -> None:
        self._outcomes = outcomes
        self._held = held
        self._written = written
        self._landed: list[tuple[bytes, int, bool | None]] | None = None

    def took(self) -> list[bool | None]:
        """A verdict for each: False where the claim was lost, None where a transaction of the job's own (or
        anybody's) has its row."""
        took = {(id_, fence) for id_, fence, _ in self._rows()}
        told: list[bool | None] = []
        for outcome in self._outcomes:
            token = _token(outcome)
            told.append(None if token in self._held else token in took)
            took.discard(token)  # said twice, it landed once
        return told

    def ended(self) -> list[bytes]:
        """Jobs whose ends others may wait for; also those that may have ended in own transactions."""
        own = [one.id for one in self._outcomes if one.in_transaction]
        return [*(id_ for id_, _, waited in self._rows() if waited), *own]

    def _rows(self) -> list[tuple[bytes, int, bool | None]]:
        if self._landed is None:
            self._landed = [
                (id_, fence, waited) for answer in self._written for id_, fence, waited in answer()
            ]
        return self._landed


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


class Found(NamedTuple):
    """What a claim brought: the jobs, for which runners it was less than was asked for, which jobs had
    expired, in how long another look is worth it (a job becomes due, or something was left out), and which
    lanes are limited."""

    taken: list[Claimed]
    short: frozenset[Runner]
    expired: list[bytes]
    due_in: Callable[[], Millis | None]
    limited: frozenset[str]


def claim(
    connection: Connection,
    schema: str,
    demand: Demand,
    lanes: Lanes,
    bounds: Bounds,
    now: Millis | None,
    follow: Callable[[list[bytes]], bool],
) -> Found:
    """Take what the demand has places for, shared evenly among open lanes. ``follow`` goes on from what has
    ended, jobs that expired among it, and says whether others may run by that."""
    began, due_whole, since = monotonic(), bounds.all_due, bounds.since()
    looked: float | None = None
    asks = Taking(connection, schema, demand, bounds, now)
    try:
        before = _look(connection, schema, demand, since, now, lanes, asks, follow)
        looked = monotonic()
        taken, short = lanes.share(demand, before.closed, asks.has, asks.walk, asks.take)
    except Exception:
        if looked is None:
            # It waited for a lock, or for the lanes: next time they are asked one after the other.
            bounds.rounds.together = False
        elif asks.whole:
            bounds.rounds.gave_up(monotonic() - looked)
        raise
    bounds.rounds.together = True
    again = [bounds.rounds.rest()] if asks.left_out and short else []
    if asks.width.missed:
        again.append(AGAIN_MS)
    sql = statement("next_due", schema)
    answer = ask(connection, sql, sql.values({"since": since, "now": now}))
    if before.all_seen:
        bounds.none_left(before.moment)
    else:
        bounds.some_left()

    def due_in() -> Millis | None:
        ((due, moment, of_jobs, of_due),) = answer()
        if asks.whole:
            bounds.rounds.looked(of_jobs - before.of_jobs - len(taken) - asks.alive, asks.seconds)
        if due_whole:
            brought = before.promoted + len(before.expired)
            bounds.looked(of_due - before.of_due - brought, looked - began)
        wait = [] if due is None else [due - moment]
        return min((*wait, *again), default=None)

    return Found(taken, short, before.expired, due_in, before.limited)


def due_in(
    connection: Connection, schema: str, bounds: Bounds, now: Millis | None
) -> Callable[[], Millis | None]:
    """Milliseconds until the next waiting job becomes due."""
    sql = statement("next_due", schema)
    answer = ask(connection, sql, sql.values({"since": bounds.since(), "now": now}))

    def wait() -> Millis | None:
        ((due, moment, _, _),) = answer()
        return None if due is None else due - moment

    return wait


class _Before(NamedTuple):
    """What a claim knows before it takes anything."""

    moment: Millis
    closed: frozenset[str]
    limited: frozenset[str]
    expired: list[bytes]
    promoted: int
    of_jobs: int
    """Entries read of the index of available jobs, and of those of what is due."""
    of_due: int

    @property
    def all_seen(self) -> bool:
        return len(self.expired) < PROMOTE_LIMIT and self.promoted < PROMOTE_LIMIT


def _look(
    connection: Connection,
    schema: str,
    demand: Demand,
    since: Millis,
    now: Millis | None,
    lanes: Lanes,
    asks: Taking,
    follow: Callable[[list[bytes]], bool],
) -> _Before:
    """The first step of a claim: what is due becomes available, what has expired is cancelled, both
    bounded. Its questions and those about the lanes go out together, one round trip for all."""
    sql = statement("look", schema)
    answer = ask(connection, sql, sql.values({"worker": demand.worker, "now": now, "since": since}))
    asks.ahead(lanes.begins(demand))
    ((of_jobs, of_due, known, closed, limited, paused, any_expired, any_due, moment, _),) = answer()
    if not known:
        # Taken for dead, or the database is a new one. What it took would come back as a stranger's, a
        # crash counted each time. The outcomes of this turn are undone with it: they are sent again.
        raise StoreRefused(f"worker {demand.worker} is not known here (any more): register again")
    asks.told(moment, frozenset(limited), paused=paused)
    expired: list[bytes] = []
    promoted = 0
    values = {"now": now, "limit": PROMOTE_LIMIT, "since": since}
    if any_expired:
        sql = statement("expire", schema)
        expired = [row[0] for row in rows(connection, sql, sql.values(values))]
    if any_due:
        sql = statement("promote", schema)
        promoted = len(rows(connection, sql, sql.values(values)))
    if follow(expired) or any_expired or any_due:
        asks.forget()  # there may be jobs, and lanes, that were none when it was asked
    closed, limited = frozenset(closed), frozenset(limited)
    return _Before(moment, closed, limited, expired, promoted, of_jobs, of_due)


def rescue(
    connection: Connection, schema: str, worker: int, limit: int, now: Millis | None
) -> tuple[list[bytes], Followed]:
    """Bring back at most ``limit`` jobs of a worker that is gone; which, and what came of the ends among
    them."""
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
    ended = [row[0] for row in found if row[1] in FINAL]
    followed = resolving.follow(connection, schema, ended, now)
    if found:
        reach("rescue: before commit")
    return [row[0] for row in found], followed
