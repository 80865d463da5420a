"""What a worker says and asks in one transaction: what running jobs tell, how attempts ended, and what
it may run next."""

from __future__ import annotations

from collections.abc import Sequence

import apsw

from ...clock import Millis
from ...crashpoint import reach
from ...job import Claimed, Runner
from ...note import Notes
from ...outcome import Outcome
from ..flows import MOST_EDGES
from ..lanes import Lanes
from ..protocol import Demand, Turn
from ..width import AGAIN_MS
from . import claiming, journal, resolving
from .connection import statement
from .flows import Flows
from .resolving import NOTHING
from .session import Session

PROMOTE_LIMIT = 1000


class Claims:
    """Of one store, with its hint: whose turn it is among lanes."""

    def __init__(self, session: Session, flows: Flows) -> None:
        self._session = session
        self._flows = flows
        self.lanes = Lanes()
        self._left: list[bytes] = []  # whose ends are still to be followed

    def turn(
        self,
        outcomes: Sequence[Outcome],
        demand: Demand | None,
        now: Millis,
        notes: Sequence[Notes],
    ) -> tuple[Turn, list[bytes]]:
        """Record notes and ends, then claim; what it brought, and the ids of jobs that moved on by it."""
        expired: list[bytes] = []
        followed = NOTHING
        left = self._left[:MOST_EDGES]

        def work(connection: apsw.Connection) -> Turn:
            nonlocal followed
            journal.write(connection, notes)
            took = claiming.record(connection, outcomes, now)
            if outcomes:
                reach("turn: recorded, not committed")
            claimed: list[Claimed] = []
            short: frozenset[Runner] = frozenset()
            limited: frozenset[str] = frozenset()
            again: Millis | None = None
            if demand is not None:
                bounds = {"now": now, "limit": PROMOTE_LIMIT}
                expired[:] = [row[0] for row in connection.execute(statement("expire"), bounds)]
                connection.execute(statement("promote"), bounds).fetchall()
            ended = [*(one.id for one in outcomes), *expired, *left]
            followed = resolving.follow(connection, ended, now) if ended else NOTHING
            if demand is not None:
                claimed, short, width = claiming.claim(connection, demand, self.lanes, now)
                limited = frozenset(width.limited)
                again = AGAIN_MS if width.missed else None
            if claimed:
                reach("turn: claimed, not committed")
            due = connection.execute(statement("next_due")).get
            wait = None if due is None else due - now
            soonest = min((one for one in (wait, again) if one is not None), default=None)
            return Turn(took, claimed, short, 0 if followed.left else soonest, limited)

        turn = self._session.write(work)
        reach("turn: committed")
        self._left = [*followed.left, *self._left[len(left) :]]
        self._flows.tell(followed)
        return turn, [*(one.id for one in outcomes), *(one.id for one in notes), *expired]

    def cancelling(self, worker: int) -> list[bytes]:
        """Which running jobs of this worker someone asked to cancel."""
        return self._session.read(
            lambda connection: [
                row[0] for row in connection.execute(statement("cancelling"), {"worker": worker})
            ]
        )
