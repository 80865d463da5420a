"""Jobs that wait for jobs: stored, found again when nobody followed an end, and looked at."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from ...clock import Millis
from ...crashpoint import reach
from ...job import Edge, Inserted, NewJob
from .. import storable
from ..flows import MOST_EDGES, walk_on
from . import related, resolving
from .connection import Connection
from .resolving import Followed
from .session import Session

_START = (bytes(16), bytes(16))


class Flows:
    """Of one store; told when jobs may run, and which were cancelled."""

    def __init__(
        self,
        session: Session,
        ring_work: Callable[[], None],
        ring_done: Callable[[Iterable[bytes]], None],
    ) -> None:
        self._session = session
        self._schema = session.place.schema
        self._ring_work = ring_work
        self._ring_done = ring_done
        self._after = _START

    def insert(self, jobs: Sequence[NewJob], now: Millis | None) -> list[Inserted]:
        """Store jobs that wait for others or have callbacks; an answer for each."""

        def work(connection: Connection) -> tuple[list[Inserted], Followed]:
            told = related.insert(connection, self._schema, jobs, now)
            # Once more: a parent may have ended since it was looked at. One that ends from now on is found
            # by its own end if this is committed by then, else by the chore.
            parents = [one for job in jobs for one in job.parents]
            return told, resolving.follow(connection, self._schema, parents, now)

        told, followed = self._session.write(work, again=True)
        reach("insert: committed")
        self.go_on(followed, now)
        return told

    def go_on(self, followed: Followed, now: Millis | None) -> None:
        """Tell what came of it, and do what is left, step by step. What others have locked even at the second
        look is left to the chore."""
        self.tell(followed)
        left, idle = followed.left, 0
        while left and idle < 2:
            some, left = left[:MOST_EDGES], left[MOST_EDGES:]
            followed = self._session.write(
                lambda c, some=some: resolving.follow(c, self._schema, some, now)  # type: ignore[misc]
            )
            self.tell(followed)
            left = followed.left + left
            idle = 0 if followed.counted else idle + 1

    def tell(self, followed: Followed) -> None:
        """Ring for what came of it."""
        if followed.freed:
            self._ring_work()
        if followed.cancelled:
            self._ring_done(followed.cancelled)

    def rescued(self, ids: Sequence[bytes]) -> None:
        """Ring for jobs that are available again, or final."""
        self._ring_work()
        self._ring_done(ids)

    def reconcile(self, limit: int, now: Millis | None = None) -> int:
        """Look through the waits for ends that nobody has followed, and follow them; how many."""
        storable.check_limit(limit)
        return walk_on(lambda: self._reconcile(limit, now))

    def _reconcile(self, limit: int, now: Millis | None) -> tuple[int, bool]:
        """The next of them; and whether they were the last."""
        ended, last = self._session.read(
            lambda c: resolving.walk(c, self._schema, self._after, limit)
        )
        self._after = last or _START
        if ended:
            first = Followed([], [], list(dict.fromkeys(ended)), counted=True)
            self.go_on(first, now)
        return len(set(ended)), last is None

    def edges(self, ids: Sequence[bytes]) -> list[Edge]:
        """Those of these jobs, by parent and child."""
        storable.check_ids(ids)
        return self._session.read(lambda c: resolving.edges(c, self._schema, ids))
