"""Jobs that wait for jobs: stored, found again when nobody followed an end, and looked at."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

import apsw

from ...clock import Millis, now_ms
from ...crashpoint import reach
from ...job import Edge, Inserted, NewJob
from .. import storable
from ..flows import MOST_EDGES, walk_on
from . import related, resolving
from .resolving import Followed
from .session import Session

_START = (b"", b"")


class Flows:
    """Of one store; told when jobs may run, and which were cancelled."""

    def __init__(
        self,
        session: Session,
        ring_work: Callable[[], None],
        ring_done: Callable[[Iterable[bytes]], None],
    ) -> None:
        self._session = session
        self._ring_work = ring_work
        self._ring_done = ring_done
        self._after = _START

    def insert(self, jobs: Sequence[NewJob], now: Millis) -> list[Inserted]:
        """Store jobs that wait for others or have callbacks; an answer for each."""

        def work(connection: apsw.Connection) -> tuple[list[Inserted], Followed]:
            told = related.insert(connection, jobs, now)
            parents = [one for job in jobs for one in job.parents]
            followed = resolving.follow(connection, parents, now)
            reach("insert: before commit")
            return told, followed

        told, followed = self._session.write(work)
        reach("insert: committed")
        self.go_on(followed, now)
        return told

    def go_on(self, followed: Followed, now: Millis) -> None:
        """Tell what came of it, and do what is left, step by step."""
        self.tell(followed)
        left = followed.left
        while left:
            some, left = left[:MOST_EDGES], left[MOST_EDGES:]
            followed = self._session.write(lambda c, some=some: resolving.follow(c, some, now))  # type: ignore[misc]
            self.tell(followed)
            left = followed.left + left

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
        moment = now_ms() if now is None else now
        return walk_on(lambda: self._reconcile(limit, moment))

    def _reconcile(self, limit: int, moment: Millis) -> tuple[int, bool]:
        """The next of them; and whether they were the last."""
        ended, last = self._session.read(lambda c: resolving.walk(c, self._after, limit))
        self._after = last or _START
        if ended:
            self.go_on(Followed([], [], list(dict.fromkeys(ended))), moment)
        return len(set(ended)), last is None

    def edges(self, ids: Sequence[bytes]) -> list[Edge]:
        """Those of these jobs, by parent and child."""
        storable.check_ids(ids)
        return self._session.read(lambda c: resolving.edges(c, ids))
