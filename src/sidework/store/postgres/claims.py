"""What a worker says and asks in one transaction: what running jobs tell, how attempts ended, and what
it may run next."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from msgspec.structs import replace

from ...clock import Millis, monotonic
from ...crashpoint import reach
from ...errors import StoreUnavailable
from ...note import Notes
from ...outcome import Outcome
from ..flows import MOST_EDGES
from ..lanes import Lanes
from ..protocol import Demand, Turn
from . import claiming, journal, resolving
from .bounds import Bounds
from .connection import Connection, statement
from .errand import Errand
from .flows import Flows
from .resolving import NOTHING
from .session import Session

_QUIET_SECONDS = 60.0
"""After so long without one, a turn that claims nothing does not wait to learn whether it ended a job that
others wait for: it goes on from that in a second transaction, or at the latest the chore does."""

_LOCKED_MS = 100
"""Until another look at what waits for ends, when all of it is in the hands of others."""


def _soon(due_in: Millis | None, *, progress: bool) -> Millis:
    """When the next turn is to go on with what this one has left."""
    return 0 if progress else min(_LOCKED_MS, _LOCKED_MS if due_in is None else due_in)


class Claims:
    """Of one store, with its hints: whose turn it is among lanes, and where dead entries end."""

    def __init__(self, session: Session, flows: Flows) -> None:
        self._session = session
        self._flows = flows
        self._schema = session.place.schema
        self.lanes, self._bounds = Lanes(), Bounds()
        self._wary = False
        self._left: list[bytes] = []  # whose ends are still to be followed
        self._quiet_at = monotonic() + _QUIET_SECONDS

    def turn(
        self,
        outcomes: Sequence[Outcome],
        demand: Demand | None,
        now: Millis | None,
        notes: Sequence[Notes],
    ) -> tuple[Turn, list[bytes]]:
        """Record notes and ends, then claim; what it brought, and the ids of jobs that moved on by it."""
        expired: list[bytes] = []
        followed = NOTHING
        recorded = claiming.Recorded([], set(), [])
        left = self._left[:MOST_EDGES]
        blind = demand is None and not left and monotonic() >= self._quiet_at

        def work(connection: Connection) -> Callable[[], Turn]:
            nonlocal recorded
            if notes:
                journal.write(connection, self._schema, notes)
            if outcomes:
                recorded = claiming.record(connection, self._schema, outcomes, now, self._wary)
                reach("turn: recorded, not committed")
            expired[:] = []

            def follow(expired: list[bytes]) -> bool:
                nonlocal followed
                ended = [*recorded.ended(), *expired, *left]
                followed = resolving.follow(connection, self._schema, ended, now)
                return bool(followed.freed)

            if demand is None:
                due = claiming.due_in(connection, self._schema, self._bounds, now)
                if not blind:
                    follow([])
                return lambda: Turn(recorded.took(), [], frozenset(), due())
            found = claiming.claim(
                connection, self._schema, demand, self.lanes, self._bounds, now, follow
            )
            expired[:] = found.expired
            if found.taken:
                reach("turn: claimed, not committed")
            return lambda: Turn(
                recorded.took(), found.taken, found.short, found.due_in(), found.limited
            )

        try:
            turn = self._session.piped(work)
        except StoreUnavailable:
            # Perhaps somebody has one of the rows locked, and all else waits with it.
            self._wary = True
            raise
        self._wary = None in turn.took
        reach("turn: committed")
        if blind and (ended := recorded.ended()):
            followed = self._session.write(
                lambda connection: resolving.follow(connection, self._schema, ended, now)
            )
        self._flows.tell(followed)
        self._left = [*followed.left, *self._left[len(left) :]]
        if followed.counted or self._left:
            self._quiet_at = monotonic() + _QUIET_SECONDS
        if self._left:
            turn = replace(turn, due_in=_soon(turn.due_in, progress=followed.counted))
        moved = [one.id for one, took in zip(outcomes, turn.took, strict=True) if took is not None]
        return turn, [*moved, *(one.id for one in notes), *expired]

    def errand(self, outcome: Outcome, now: Millis | None) -> Errand[bool]:
        """Complete one job on the caller's own connection; False when its claim was lost."""
        took = yield from claiming.errand(self._schema, outcome, now)
        reach("finish: before commit")
        return took

    def cancelling(self, worker: int) -> list[bytes]:
        """Which running jobs of this worker someone asked to cancel."""
        sql = statement("cancelling", self._schema)
        return [row[0] for row in self._session.one(sql, [worker], again=True)]
