"""What is enqueued by the clock: declared, looked at, fired, paused."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import msgspec
import psycopg

from ...clock import Millis
from ...crashpoint import reach
from ...errors import StoreUnavailable
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
from ..periodics import BEGINNING, MOST_CHANGES, Blocked, Mark
from . import related
from .arrays import BigInts, Id, Texts, Uuids
from .connection import Connection, numbered, rows, statement
from .session import Session

_COLUMNS = (
    "name, spec, version, next_at, look_at, last_at, last_job, paused_at, paused_by, paused_why, "
    "retired_at"
)
_ALL = f"SELECT {_COLUMNS} FROM sidework.periodics"

_PATIENCE = b"SET LOCAL lock_timeout = '100ms'"
"""For a stranger's transaction that holds the unique key of a tick's job: who fires also looks for deaths."""


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
        self._schema = session.place.schema
        self._workers = workers
        self._ring = ring
        self._outside = outside

    def declare(self, worker: int, mine: Declaration, now: Millis | None = None) -> list[Change]:
        """Settle what stands against what this and other living workers declare."""
        storable.check_declaration(worker, mine)
        self._outside()
        declares = msgspec.json.encode(mine.digests()).decode()
        # Those that are known to be dead, not those that live: one that came just now counts.
        dead = {one.id for one in self._workers() if not one.alive}

        def look(connection: Connection) -> tuple[bool | None, list[Change], Millis]:
            told: bool | None = None
            others = []
            ((moment,),) = self._rows(connection, "SELECT :now", now=now)
            for id_, said in self._rows(connection, "SELECT id, declares FROM sidework.workers"):
                if id_ == worker:
                    told = said == declares
                elif said is not None and id_ not in dead:
                    others.append(msgspec.json.decode(said, type=dict[str, str]))
            columns = "name, app, digest, timing, next_at, retired_at, moved_at"
            found = self._rows(connection, f"SELECT {columns} FROM sidework.periodics")
            stands = {row[0]: Standing(*row) for row in found}
            return told, settle(mine, stands, others, moment), moment

        def write(connection: Connection) -> list[Change]:
            # One after the other: two that look at the same time would each not see what the other says.
            self._verb(connection, "turn", name="declare", every=0, now=now)
            sql = "UPDATE sidework.workers SET declares = :declares WHERE id = :worker::bigint"
            self._rows(connection, sql, declares=declares, worker=worker)
            _, found, moment = look(connection)
            changes = [one for one in found if one.what != "waits"]
            for change in changes[:MOST_CHANGES]:
                self._write(connection, change, moment)
            return changes[:MOST_CHANGES]

        done: list[Change] = []
        while True:
            # Looked at first: a worker that has nothing new to say writes nothing.
            told, changes, _ = self._session.read(look)
            waits = [change for change in changes if change.what == "waits"]
            if told is None:
                return done  # not known (any more): it registers again, and says it again
            if told and len(waits) == len(changes):
                return done + waits
            done += self._session.write(write)

    def due(self, limit: int, now: Millis | None = None, after: Mark = BEGINNING) -> Due:
        """Periodics to be looked at now, those behind a mark; when the next ones are."""
        storable.check_limit(limit)

        def work(connection: Connection) -> Due:
            ((moment, first),) = self._verb(connection, "periodic_look", now=now)
            if first is None or first > moment:
                return Due(moment, [], None if first is None else first - moment)
            asked = {"now": moment, "limit": limit, "after_at": after[0], "after": after[1]}
            found = self._verb(connection, "periodic_due", **asked)
            return Due(moment, [_row(row) for row in found], 0)

        return self._session.read(work)

    def fire(self, firings: Sequence[Firing], now: Millis | None = None) -> list[bool]:
        """Move on what still stands as it was looked at, and store its jobs."""
        storable.check_firings(firings)
        self._outside()
        given = {
            "name": Texts(one.name for one in firings),
            "version": BigInts(one.version for one in firings),
            "next_at": BigInts(one.next_at for one in firings),
            "look_at": BigInts(one.look_at for one in firings),
            "last_at": BigInts(one.last_at for one in firings),
            "last_job": Uuids(one.jobs[-1].id if one.jobs else None for one in firings),
        }

        def work(connection: Connection) -> set[str]:
            took = {name for (name,) in self._verb(connection, "periodic_fire", now=now, **given)}
            jobs = [job for one in firings if one.name in took for job in one.jobs]
            if jobs:
                connection.execute(_PATIENCE)
                # A tick whose job is there has it (the clock was put back).
                related.insert(connection, self._schema, jobs, now)
            reach("periodic: before commit")
            return took

        try:
            took = self._session.write(work) if firings else set()
        except StoreUnavailable as error:
            if isinstance(error.__cause__, psycopg.errors.LockNotAvailable):
                raise Blocked(str(error)) from error
            raise
        if any(one.jobs for one in firings):
            reach("periodic: committed")
            self._ring()
        return [one.name in took for one in firings]

    def all(self) -> list[PeriodicRow]:
        """Every periodic, by name."""
        sql = f"{_ALL} ORDER BY name"
        return self._session.read(lambda c: [_row(row) for row in self._rows(c, sql)])

    def get(self, name: str) -> PeriodicRow | None:
        """The one of that name."""
        storable.check_name(name, "periodic")
        sql = f"{_ALL} WHERE name = :name"
        found = self._session.read(lambda c: self._rows(c, sql, name=name))
        return _row(found[0]) if found else None

    def pause(self, name: str, by: str, why: str, now: Millis | None = None) -> bool:
        """Let no tick fire; False when there is none of that name."""
        by, why = storable.readable(by), storable.readable(why)
        return self._one("periodic_pause", name, now=now, by=by, why=why)

    def resume(self, name: str, now: Millis | None = None) -> bool:
        """Let it fire again, from its next tick on; False when it was not paused."""
        return self._one("periodic_resume", name, now=now)

    def forget(self, now: Millis | None = None) -> int:
        """Delete what has been retired for long; how many."""
        sql = statement("periodic_forget", self._schema)
        return len(self._session.one(sql, sql.values({"now": now, "age": FORGOTTEN_MS})))

    def adopt(self, rows: Sequence[PeriodicRow]) -> int:
        """Take over what stood in another store."""
        self._outside()
        sql = (
            f"INSERT INTO sidework.periodics ({_COLUMNS}, app, digest, timing, moved_at) VALUES (:name, "
            ":spec::bytea, :version::bigint, :next_at::bigint, :look_at::bigint, :last_at::bigint, "
            ":last_job::uuid, :paused_at::bigint, :paused_by, :paused_why, :retired_at::bigint, :app, "
            ":digest, :timing, :now) ON CONFLICT (name) DO NOTHING RETURNING name"
        )

        def work(connection: Connection) -> int:
            count = 0
            for row in rows:
                given = {name: getattr(row, name) for name in _COLUMNS.split(", ")}
                given["last_job"] = None if row.last_job is None else Id(row.last_job)
                entry = row.entry
                more = {"app": entry.app, "digest": entry.digest, "timing": entry.timing}
                count += len(self._rows(connection, sql, now=None, **given, **more))
            return count

        return self._session.write(work)

    def _write(self, connection: Connection, change: Change, moment: Millis) -> None:
        entry = change.entry
        if change.what == "retired":
            self._verb(connection, "periodic_retire", name=change.name, now=moment)
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
            self._verb(connection, "periodic_declare", **values)

    def _one(self, verb: str, name: str, **values: Any) -> bool:
        storable.check_name(name, "periodic")
        self._outside()
        sql = statement(verb, self._schema)
        return bool(self._session.one(sql, sql.values({"name": name, **values})))

    def _verb(self, connection: Connection, verb: str, **values: Any) -> list[tuple[Any, ...]]:
        sql = statement(verb, self._schema)
        return rows(connection, sql, sql.values(values))

    def _rows(self, connection: Connection, text: str, **values: Any) -> list[tuple[Any, ...]]:
        sql = numbered(text, self._schema)
        return rows(connection, sql, sql.values(values))


def _row(row: Sequence[Any]) -> PeriodicRow:
    """A row of ``_COLUMNS``, perhaps with whether the last job is live."""
    (name, spec, version, next_at, look_at, last_at, last_job, paused_at, by, why, retired_at,
     *busy) = row  # fmt: skip
    return PeriodicRow(
        name, spec, version, next_at, look_at, last_at, last_job, paused_at, by, why, retired_at,
        any(busy),
    )  # fmt: skip
