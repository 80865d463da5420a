"""What a worker says and asks in one transaction: what running jobs tell, how attempts ended, and what
it may run next."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from ...clock import Millis
from ...crashpoint import reach
from ...errors import StoreUnavailable
from ...note import Notes
from ...outcome import Outcome
from ..lanes import Lanes
from ..protocol import Demand, Turn
from . import claiming, journal
from .bounds import Bounds
from .connection import Connection, statement
from .errand import Errand
from .session import Session


class Claims:
    """Of one store, with its hints: whose turn it is among lanes, and where dead entries end."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._schema = session.place.schema
        self.lanes, self._bounds = Lanes(), Bounds()
        self._wary = False

    def turn(
        self,
        outcomes: Sequence[Outcome],
        demand: Demand | None,
        now: Millis | None,
        notes: Sequence[Notes],
    ) -> tuple[Turn, list[bytes]]:
        """Record notes and ends, then claim; what it brought, and the ids of jobs that moved on by it."""
        expired: list[bytes] = []

        def work(connection: Connection) -> Callable[[], Turn]:
            if notes:
                journal.write(connection, self._schema, notes)
            took: Callable[[], list[bool | None]] = list
            if outcomes:
                took = claiming.record(connection, self._schema, outcomes, now, self._wary)
                reach("turn: recorded, not committed")
            expired[:] = []
            if demand is None:
                due = claiming.due_in(connection, self._schema, self._bounds, now)
                return lambda: Turn(took(), [], frozenset(), due())
            found = claiming.claim(connection, self._schema, demand, self.lanes, self._bounds, now)
            expired[:] = found.expired
            if found.taken:
                reach("turn: claimed, not committed")
            return lambda: Turn(took(), found.taken, found.short, found.due_in(), found.limited)

        try:
            turn = self._session.piped(work)
        except StoreUnavailable:
            # Perhaps somebody has one of the rows locked, and all else waits with it.
            self._wary = True
            raise
        self._wary = None in turn.took
        reach("turn: committed")
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
