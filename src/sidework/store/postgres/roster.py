"""Who claims, and whether they live: workers come, go, and are found dead; what they held comes back.

A worker lives as long as its beat moves. Whoever rescues has watched it stand still for a whole lease, on
a clock of its own, with a store that answered throughout. So neither a server that was away, nor a clock
that jumped, nor a rescuer that was asleep makes a dead one of a living; and a worker that was cut off
knows before (``Pulse.trust``) that it may be taken for dead.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

import msgspec

from ...clock import Millis, monotonic
from ...crashpoint import reach
from ...errors import StoreError
from ...job import Held, WorkerRow
from . import claiming
from .connection import Sql, numbered, statement
from .flows import Flows
from .place import Place
from .pulse import Pulse
from .session import Session

_MOST_ROWS = 500

_GAP = 0.5
"""A rescuer that did not look for this share of a lease begins to watch anew: it cannot tell what it
missed, and whether the others could beat."""


class Roster:
    """The workers of one store."""

    def __init__(
        self,
        session: Session,
        flows: Flows,
        pulse: Pulse,
        place: Place,
    ) -> None:
        self._session = session
        self._flows = flows
        self._pulse = pulse
        self._place = place
        self._own: set[int] = set()
        self._seen: dict[int, tuple[int, float]] = {}
        self._looked_at = 0.0

    def register(self, host: str, pid: int, queues: Sequence[str], now: Millis | None) -> WorkerRow:
        """A new row, and a heart that beats for it."""
        sql = statement("register", self._place.schema)
        values = {
            "id": _draw(),
            "host": host,
            "pid": pid,
            "lease": round(self._place.lease * 1000),
            "queues": msgspec.json.encode(list(queues)).decode(),
            "now": now,
        }
        sent = monotonic()
        (row,) = self._session.one(sql, sql.values(values), again=True)
        made = _row(row)
        self._own.add(made.id)
        self._pulse.beat_for(made.id, sent)
        return made

    def close(self) -> None:
        """No heart beats any more for the workers of this store."""
        for worker in self._own:
            self._pulse.stop_beating(worker)
        self._own.clear()

    def trust(self, worker: int) -> float:
        """Seconds for which nobody brings back this worker's jobs."""
        return self._pulse.trust(worker)

    def held(self, worker: int) -> list[Held] | None:
        """What the worker is believed to run; ``None`` when it is not known (any more)."""
        sql = statement("held", self._place.schema)
        found = self._session.one(sql, sql.values({"worker": worker}), again=True)
        if not found:
            return None
        return [Held(*row) for row in found if row[0] is not None]

    def retire(self, worker: int, now: Millis | None) -> None:
        """The worker leaves in good order; whatever it still held is rescued, now or by another."""
        self._pulse.stop_beating(worker)
        self._own.discard(worker)
        sql = self._sql("DELETE FROM sidework.workers WHERE id = :worker::bigint")
        self._session.one(sql, [worker], again=True)
        self._rescue_from(worker, now)

    def workers(self) -> list[WorkerRow]:
        """The workers that have registered and did not leave in good order; which of them live."""
        sql = statement("workers", self._place.schema)
        found = self._session.one(sql, sql.values({"now": None}), again=True)
        return [_row(row) for row in found]

    def rescue(self, now: Millis | None) -> int:
        """Bring back the jobs of workers that are dead, and of those that nobody knows."""
        for worker, beat in self._still():
            # Only if it is still so: a beat that comes now is in time, and one that comes after finds no row.
            sql = self._sql(
                "DELETE FROM sidework.workers WHERE id = :worker::bigint AND beat = :beat::bigint"
            )
            self._session.one(sql, [worker, beat])
            reach("rescue: worker forgotten")
        strangers = self._session.one(statement("strangers", self._place.schema), [])
        return sum(self._rescue_from(worker, now) for (worker,) in strangers)

    def _still(self) -> list[tuple[int, int]]:
        """Whose beat has stood still for its lease, seen from here."""
        sql = self._sql("SELECT id, beat, lease FROM sidework.workers")
        try:
            found = self._session.one(sql, [])
        except StoreError:
            self._seen.clear()  # an outage is not a massacre
            raise
        at, seen, dead = monotonic(), self._seen, []
        gap, self._looked_at, self._seen = at - self._looked_at, at, {}
        for worker, beat, lease in found:
            was, since = seen.get(worker, (None, at))
            if was != beat or gap * 1000 >= lease * _GAP:
                since = at
            self._seen[worker] = beat, since
            if (at - since) * 1000 >= lease:
                dead.append((worker, beat))
        return dead

    def _rescue_from(self, worker: int, now: Millis | None) -> int:
        """In bounded steps."""
        rescued = 0
        while True:
            ids, followed = self._session.write(
                lambda connection: claiming.rescue(
                    connection, self._place.schema, worker, _MOST_ROWS, now
                )
            )
            if ids:
                reach("rescue: committed")
                self._flows.rescued(ids)
            self._flows.go_on(followed, now)
            rescued += len(ids)
            if len(ids) < _MOST_ROWS:
                return rescued

    def _sql(self, text: str) -> Sql:
        return numbered(text, self._place.schema)


def _row(row: tuple[Any, ...]) -> WorkerRow:
    id_, host, pid, started, queues, alive = row
    served = msgspec.json.decode(queues, type=tuple[str, ...])
    return WorkerRow(id_, host, pid, None, started, served, alive)


def _draw() -> int:
    """A worker's number, of 40 bits: short enough to read, too many to meet one again."""
    return int.from_bytes(os.urandom(5), "big") + 1
