"""Housekeeping: whose turn it is, and the steps of it. A row per chore, moved on by whoever takes it."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from typing import Any

import apsw

from ...clock import Millis
from . import pruning, resolving
from .connection import statement
from .flows import Flows
from .inserts import MOST_ROWS
from .resolving import NOTHING, Followed
from .session import Session


class Chores:
    """Of one store; ``long`` is for what may take a while only to look."""

    def __init__(self, session: Session, long: Session, flows: Flows) -> None:
        self._session = session
        self._flows = flows
        self._long = long

    def take_turns(self, every: Mapping[str, Millis], now: Millis) -> set[str]:
        """At which the turn is ours; the next is so many milliseconds from now."""
        # Looked at first: an idle worker takes no write lock to learn that nothing is due.
        known = dict(
            self._session.read(lambda c: list(c.execute("SELECT name, next_at FROM chores")))
        )
        return {
            name
            for name, pause in every.items()
            if not now < known.get(name, now) <= now + pause
            and self._rows("turn", name=name, every=pause, now=now)
        }

    def promote(self, limit: int, now: Millis) -> int:
        """Make what is due available; how many."""
        return len(self._rows("promote", now=now, limit=limit))

    def expire(self, limit: int, now: Millis) -> list[bytes]:
        """Cancel what was not started in time; which."""

        def work(connection: apsw.Connection) -> tuple[list[bytes], Followed]:
            values = {"now": now, "limit": limit}
            ids = [row[0] for row in connection.execute(statement("expire"), values)]
            return ids, resolving.follow(connection, ids, now) if ids else NOTHING

        ids, followed = self._session.write(work)
        self._flows.go_on(followed, now)
        return ids

    def prune(self, retention: dict[str, int], limit: int, now: Millis) -> int:
        """Delete final jobs past retention, at most ``limit``, in short transactions; how many."""
        line = self._long.read(lambda c: pruning.line(c, retention, now))
        past = self._long.read(lambda c: pruning.past(c, line, limit))
        gone = 0
        for start in range(0, len(past), MOST_ROWS):
            some = past[start : start + MOST_ROWS]
            gone += self._session.write(functools.partial(pruning.step, some=some))
        return gone

    def _rows(self, verb: str, **values: Any) -> list[tuple[Any, ...]]:
        return self._session.write(
            lambda connection: connection.execute(statement(verb), values).fetchall()
        )
