"""Housekeeping: whose turn it is, and the steps of it. A row per chore, moved on by whoever takes it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ...clock import Millis
from . import pruning, resolving
from .bounds import EVER
from .connection import Connection, numbered, rows, statement
from .flows import Flows
from .inserts import MOST_ROWS
from .resolving import Followed
from .session import Session


class Chores:
    """Of one store."""

    def __init__(self, session: Session, flows: Flows) -> None:
        self._session = session
        self._flows = flows
        self._schema = session.place.schema

    def take_turns(self, every: Mapping[str, Millis], now: Millis | None) -> set[str]:
        """At which the turn is ours; the next is so many milliseconds from now."""
        # Looked at first: an idle worker writes nothing to learn that nothing is due.
        sql = numbered("SELECT name, next_at, :now FROM sidework.chores", self._schema)
        known: dict[str, tuple[Millis, Millis]] = {
            name: (next_at, at)
            for name, next_at, at in self._session.one(sql, sql.values({"now": now}), again=True)
        }
        return {
            name
            for name, pause in every.items()
            if not (name in known and known[name][1] < known[name][0] <= known[name][1] + pause)
            and self._rows("turn", name=name, every=pause, now=now)
        }

    def promote(self, limit: int, now: Millis | None) -> int:
        """Make what is due available; how many."""
        return len(self._rows("promote", now=now, limit=limit, since=EVER))

    def expire(self, limit: int, now: Millis | None) -> list[bytes]:
        """Cancel what was not started in time; which."""

        def work(connection: Connection) -> tuple[list[bytes], Followed]:
            sql = statement("expire", self._schema)
            values = {"now": now, "limit": limit, "since": EVER}
            ids = [row[0] for row in rows(connection, sql, sql.values(values))]
            return ids, resolving.follow(connection, self._schema, ids, now)

        ids, followed = self._session.write(work)
        self._flows.go_on(followed, now)
        return ids

    def prune(self, retention: dict[str, int], limit: int, now: Millis | None) -> int:
        """Delete final jobs past retention, at most ``limit``, in short transactions; how many."""
        line = self._session.read(lambda c: pruning.line(c, self._schema, retention, now))
        gone = 0
        while gone < limit:
            most = min(MOST_ROWS, limit - gone)

            def step(connection: Connection, most: int = most) -> int:
                return pruning.step(connection, self._schema, line, most)

            deleted = self._session.write(step)
            gone += deleted
            if deleted < most:
                break
        return gone

    def _rows(self, verb: str, **values: Any) -> list[tuple[Any, ...]]:
        sql = statement(verb, self._schema)
        return self._session.one(sql, sql.values(values))
