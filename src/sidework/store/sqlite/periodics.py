"""What is enqueued by the clock: declared, looked at, fired, paused."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import apsw
import msgspec

from ...clock import Millis, now_ms
from ...crashpoint import reach
from ...job import WorkerRow
from ...periodic import (
    FORGOTTEN_MS,
    Change,
    Declaration,
    Due,
    Firing,
    PeriodicRow,
    Standing,
    settle,
)
from .. import storable
from ..periodics import BEGINNING, MOST_CHANGES, Mark
from . import related
from .connection import statement
from .session import Session

_COLUMNS = (
    "name, spec, version, next_at, look_at, last_at, last_job, paused_at, paused_by, paused_why, "
    "retired_at"
)
_ALL = f"SELECT {_COLUMNS} FROM periodics"


class Periodics:
    """Of one store; see ``store.periodics.Periodics``. ``outside`` refuses a thread that is in a transaction
    of the store."""

    def __init__(
        self,
        session: Session,
        workers: Callable[[], list[WorkerRow]],
        ring: Callable[[], None],
        outside: Callable[[], None],
    ) -> None:
        self._session = session
        self._workers = workers
        self._ring = ring
        self._outside = outside

    def declare(self, worker: int, mine: Declaration, now: Millis | None = None) -> list[Change]:
        """Settle what stands against what this and other living workers declare."""
        storable.check_declaration(worker, mine)
        self._outside()
        moment = now_ms() if now is None else now
        declares = msgspec.json.encode(mine.digests()).decode()
        # Those that are known to be dead, not those that live: one that came just now counts.
        dead = {one.id for one in self._workers() if not one.alive}

        def look(connection: apsw.Connection) -> tuple[bool | None, list[Change]]:
            told: bool | None = None
            others = []
            for id_, said in connection.execute("SELECT id, declares FROM workers"):
                if id_ == worker:
                    told = said == declares
                elif said is not None and id_ not in dead:
                    others.append(msgspec.json.decode(said, type=dict[str, str]))
            columns = "name, app, digest, timing, next_at, retired_at, moved_at"
            found = connection.execute(f"SELECT {columns} FROM periodics")
            stands = {row[0]: Standing(*row) for row in found}
            return told, settle(mine, stands, others, moment)

        def write(connection: apsw.Connection) -> list[Change]:
            sql = "UPDATE workers SET declares = ? WHERE id = ?"
            connection.execute(sql, (declares, worker))
            changes = [one for one in look(connection)[1] if one.what != "waits"]
            for change in changes[:MOST_CHANGES]:
                _write(connection, change, moment)
            return changes[:MOST_CHANGES]

        done: list[Change] = []
        while True:
            # Looked at first: a worker that has nothing new to say takes no write lock.
            told, changes = self._session.read(look)
            waits = [change for change in changes if change.what == "waits"]
            if told is None:
                return done  # not known (any more): it registers again, and says it again
            if told and len(waits) == len(changes):
                return done + waits
            done += self._session.write(write)

    def due(self, limit: int, now: Millis | None = None, after: Mark = BEGINNING) -> Due:
        """Periodics to be looked at now, those behind a mark; when the next ones are."""
        storable.check_limit(limit)
        moment = now_ms() if now is None else now

        def work(connection: apsw.Connection) -> Due:
            first: Any = connection.execute(statement("periodic_look")).get
            if first is None or first > moment:
                return Due(moment, [], None if first is None else first - moment)
            values = {"now": moment, "limit": limit, "after_at": after[0], "after": after[1]}
            found = connection.execute(statement("periodic_due"), values)
            return Due(moment, [_row(row) for row in found], 0)

        return self._session.read(work)

    def fire(self, firings: Sequence[Firing], now: Millis | None = None) -> list[bool]:
        """Move on what still stands as it was looked at, and store its jobs."""
        storable.check_firings(firings)
        self._outside()
        moment = now_ms() if now is None else now

        def work(connection: apsw.Connection) -> list[bool]:
            took = []
            for one in firings:
                values = {
                    "name": one.name,
                    "version": one.version,
                    "next_at": one.next_at,
                    "look_at": one.look_at,
                    "last_at": one.last_at,
                    "last_job": one.jobs[-1].id if one.jobs else None,
                    "now": moment,
                }
                found = connection.execute(statement("periodic_fire"), values).fetchone()
                took.append(found is not None)
            jobs = [
                job for one, ours in zip(firings, took, strict=True) if ours for job in one.jobs
            ]
            # A tick whose job is there has it (the clock was put back).
            related.insert(connection, jobs, moment)
            reach("periodic: before commit")
            return took

        took = self._session.write(work) if firings else []
        if any(one.jobs for one in firings):
            reach("periodic: committed")
            self._ring()
        return took

    def all(self) -> list[PeriodicRow]:
        """Every periodic, by name."""
        sql = f"{_ALL} ORDER BY name"
        return self._session.read(lambda c: [_row(row) for row in c.execute(sql)])

    def get(self, name: str) -> PeriodicRow | None:
        """The one of that name."""
        storable.check_name(name, "periodic")
        sql = f"{_ALL} WHERE name = ?"
        found: Any = self._session.read(lambda c: c.execute(sql, (name,)).fetchone())
        return None if found is None else _row(found)

    def pause(self, name: str, by: str, why: str, now: Millis | None = None) -> bool:
        """Let no tick fire; False when there is none of that name."""
        by, why = storable.readable(by), storable.readable(why)
        return self._one("periodic_pause", name, now, by=by, why=why)

    def resume(self, name: str, now: Millis | None = None) -> bool:
        """Let it fire again, from its next tick on; False when it was not paused."""
        return self._one("periodic_resume", name, now)

    def forget(self, now: Millis | None = None) -> int:
        """Delete what has been retired for long; how many."""
        given = {"before": (now_ms() if now is None else now) - FORGOTTEN_MS}

        def work(connection: apsw.Connection) -> int:
            return len(connection.execute(statement("periodic_forget"), given).fetchall())

        return self._session.write(work)

    def adopt(self, rows: Sequence[PeriodicRow]) -> int:
        """Take over what stood in another store."""
        self._outside()

        def work(connection: apsw.Connection) -> int:
            before = connection.total_changes()
            for row in rows:
                entry = row.entry
                marks = ", ".join("?" * 15)
                sql = f"INSERT INTO periodics ({_COLUMNS}, app, digest, timing, moved_at) VALUES ({marks}) "
                values = (
                    row.name, row.spec, row.version, row.next_at, row.look_at, row.last_at, row.last_job,
                    row.paused_at, row.paused_by, row.paused_why, row.retired_at, entry.app, entry.digest,
                    entry.timing, now_ms(),
                )  # fmt: skip
                connection.execute(f"{sql} ON CONFLICT (name) DO NOTHING", values)
            return connection.total_changes() - before

        return self._session.write(work)

    def _one(self, verb: str, name: str, now: Millis | None, **values: Any) -> bool:
        storable.check_name(name, "periodic")
        self._outside()
        given = {"name": name, "now": now_ms() if now is None else now, **values}
        found = self._session.write(lambda c: c.execute(statement(verb), given).fetchone())
        return found is not None


def _row(row: Sequence[Any]) -> PeriodicRow:
    """A row of ``_COLUMNS``, perhaps with whether the last job is live."""
    (name, spec, version, next_at, look_at, last_at, last_job, paused_at, by, why, retired_at,
     *busy) = row  # fmt: skip
    return PeriodicRow(
        name, spec, version, next_at, look_at, last_at, last_job, paused_at, by, why, retired_at,
        any(busy),
    )  # fmt: skip


def _write(connection: apsw.Connection, change: Change, moment: Millis) -> None:
    entry = change.entry
    if change.what == "retired":
        connection.execute(statement("periodic_retire"), {"name": change.name, "now": moment})
    elif entry is not None:
        values = {
            "name": entry.name,
            "app": entry.app,
            "spec": entry.spec,
            "digest": entry.digest,
            "timing": entry.timing,
            "keeps": change.keeps,
            "now": moment,
        }
        connection.execute(statement("periodic_declare"), values)
