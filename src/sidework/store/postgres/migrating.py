"""The schema, step by step: explicit, one at a time, printed instead of run if asked.

What is missing is applied in one transaction: when it fails, or whoever runs it dies, nothing of it is
there. A file whose first line is ``OUTSIDE`` runs by itself, outside of any.
"""

from __future__ import annotations

import random
import threading
from collections.abc import Sequence
from itertools import takewhile

import psycopg
from msgspec import Struct

from ...clock import monotonic
from ...crashpoint import reach
from ...errors import StoreRefused, StoreUnavailable
from .connection import Connection, check_version, in_schema, migrations, open_connection, translate
from .place import Place

OUTSIDE = "-- outside a transaction\n"
"""Marks a migration that cannot run in one (CREATE INDEX CONCURRENTLY); its statements are separated by
empty lines. Killed within, it is run again from its first: DROP INDEX CONCURRENTLY IF EXISTS."""

LOCK_SECONDS = 1.0
"""How long a change waits for a busy table. Whoever comes meanwhile waits behind it, a worker's statement
too, which is given up after a quarter of its lease: so it lets go before, and comes back."""
WAIT_SECONDS = 60.0
"""How long it comes back, and how long another migration is waited for."""
STEP_SECONDS = 3600.0
PAUSE_SECONDS = 1.0

_BUSY = frozenset({"55P03", "40P01"})
_LIMITS = (
    f"SET LOCAL lock_timeout = '{LOCK_SECONDS:g}s';\n"
    # When whoever migrates is gone, so are its locks.
    "SET LOCAL client_connection_check_interval = '2s';\n"
)


class _Step(Struct, frozen=True):
    number: int
    text: str
    outside: bool

    @property
    def statements(self) -> list[str]:
        """Of one that runs outside a transaction."""
        return [part.strip() for part in self.text.split("\n\n") if part.strip()]


def _next(schema: str, version: int, texts: Sequence[str]) -> list[_Step]:
    """What is to be done next: as many steps as go into one transaction, or one that does not."""
    steps = [
        _Step(number, in_schema(text.removeprefix(OUTSIDE), schema), text.startswith(OUTSIDE))
        for number, text in enumerate(texts[version:], version + 1)
    ]
    return steps[:1] if steps and steps[0].outside else list(
        takewhile(lambda step: not step.outside, steps)
    )  # fmt: skip


def migrate(
    place: Place, texts: Sequence[str] | None = None, wait: float = WAIT_SECONDS
) -> list[int]:
    """Bring the schema to what this code knows; the versions that were applied.

    Two at once take turns, and the second finds nothing to do. ``StoreUnavailable`` when the turn, or a
    table, was not to be had in ``wait`` seconds; ``StoreRefused`` when the role may not do it.
    """
    texts = migrations() if texts is None else texts
    opened = open_connection(place, STEP_SECONDS, plan_proof=False)
    with opened.connection as connection:
        if opened.version is not None and opened.version >= len(texts):
            check_version(opened.version, place)
            return []
        migration = _Migration(connection, place, texts, opened.pooled, monotonic() + wait)
        applied: list[int] = []
        try:
            while done := migration.step():
                applied += done
        except psycopg.errors.InsufficientPrivilege as error:
            said = error.diag.message_primary or str(error)
            raise StoreRefused(
                f"the role may not change schema {place.schema!r} in {place.shown} ({said}): run "
                "sidework db migrate as its owner, or give the owner what --sql prints"
            ) from error
        except psycopg.Error as error:
            raise translate(error, place, connection) from error
    return applied


class _Migration:
    def __init__(
        self,
        connection: Connection,
        place: Place,
        texts: Sequence[str],
        pooled: bool,
        ends: float,
    ) -> None:
        self._connection = connection
        self._place = place
        self._texts = texts
        self._pooled = pooled
        self._ends = ends

    def step(self) -> list[int]:
        """Take the next step, as soon as the turn is ours and no table is in use; none when there is none."""
        while True:
            try:
                if (done := self._step()) is not None:
                    return done
                busy = "another one is migrating it"
            except psycopg.Error as error:
                if error.sqlstate not in _BUSY:
                    raise
                busy = f"{error.diag.message_primary}: sidework db check names long transactions"
            if monotonic() >= self._ends:
                raise StoreUnavailable(f"{self._place.shown} was not migrated ({busy}): try again")
            threading.Event().wait(PAUSE_SECONDS * random.uniform(0.2, 1.0))

    def _step(self) -> list[int] | None:
        with self._connection.transaction():
            if not self._asks("pg_try_advisory_xact_lock"):
                return None
            self._connection.execute(_LIMITS.encode())
            steps = _next(self._place.schema, self._version(), self._texts)
            if steps and not steps[0].outside:
                for step in steps:
                    self._connection.execute(step.text.encode())
                    self._mark(step)
                reach("migration: before commit")
        if steps and steps[0].outside:
            return self._alone(steps[0])
        if steps:
            reach("migration: committed")
        return [step.number for step in steps]

    def _alone(self, step: _Step) -> list[int] | None:
        """One step outside a transaction, under a lock of the session."""
        if self._pooled:
            raise StoreRefused(
                f"version {step.number} of {self._place.shown} needs a session of its own: migrate by a "
                "URL that leads to the server itself, not to a pooler"
            )
        if not self._asks("pg_try_advisory_lock"):
            return None
        try:
            if self._version() >= step.number:
                return None  # another was faster: look again
            # It stands in nobody's way, and may wait long for old transactions to end.
            self._connection.execute(b"SET lock_timeout = 0")
            for statement in step.statements:
                self._connection.execute(statement.encode())
            self._mark(step)
            return [step.number]
        finally:
            if not self._connection.closed:
                self._asks("pg_advisory_unlock")

    def _asks(self, lock: str) -> bool:
        # Asked for again and again, never waited for: CREATE INDEX CONCURRENTLY waits for all who have a
        # snapshot, and one who waits for a lock has.
        key = "hashtextextended('sidework:' || $1, 0)"
        row = self._connection.execute(f"SELECT {lock}({key})".encode(), [self._place.schema])
        return row.fetchone() == (True,)

    def _version(self) -> int:
        """The version that is there by now; the place for it is made if it is not."""
        schema = self._place.schema
        there = self._connection.execute(
            b"SELECT to_regnamespace($1) IS NOT NULL, to_regclass($2) IS NOT NULL",
            [f'"{schema}"', f'"{schema}".migrations'],
        ).fetchone()
        # Looked for first: IF NOT EXISTS asks for the right to create even where it does not.
        if there == (False, False):
            self._connection.execute(_schema(schema).encode())
        if there != (True, True):
            self._connection.execute(_table(schema).encode())
        sql = in_schema("SELECT coalesce(max(version), 0) FROM sidework.migrations", schema)
        row = self._connection.execute(sql.encode()).fetchone()
        return 0 if row is None else int(row[0])

    def _mark(self, step: _Step) -> None:
        self._connection.execute(_mark(self._place.schema, step.number).encode())


def script(place: Place, texts: Sequence[str] | None = None) -> str:
    """What ``migrate`` would run now, for psql and whoever owns the schema; a comment when that is nothing.

    Run when it is out of date it changes nothing: each step begins with its mark, which cannot be there
    twice.
    """
    texts = migrations() if texts is None else texts
    opened = open_connection(place, STEP_SECONDS, plan_proof=False)
    with opened.connection as connection:
        row = connection.execute(
            b"SELECT to_regnamespace($1) IS NOT NULL", [f'"{place.schema}"']
        ).fetchone()
    version, schema = opened.version or 0, place.schema
    if version >= len(texts):
        check_version(opened.version, place)
        return f"-- {place.shown} is at version {version}: there is nothing to do\n"
    parts = [
        f"-- {place.shown}: from version {version} to {len(texts)}, for psql\n",
        "\\set ON_ERROR_STOP on\n",
    ]
    first = "" if row == (True,) else _schema(schema)
    first += "" if opened.version is not None else _table(schema)
    while steps := _next(schema, version, texts):
        version = steps[-1].number
        body = "".join(
            f"\n-- version {step.number}\n{_mark(schema, step.number)}{step.text.strip()}\n"
            for step in steps
        )
        if steps[0].outside:
            # Its mark comes last: the statements may be run again.
            body = f"\n{steps[0].text.strip()}\n{_mark(schema, version)}"
            parts.append(first + body)
        else:
            parts.append(f"BEGIN;\n{_LIMITS}{first}{body}COMMIT;\n")
        first = ""
    return "".join(parts)


def _schema(name: str) -> str:
    return f'CREATE SCHEMA "{name}";\n'


def _table(schema: str) -> str:
    return (
        f'CREATE TABLE "{schema}".migrations (version integer NOT NULL PRIMARY KEY, '
        "applied_at timestamptz NOT NULL DEFAULT now());\n"
    )


def _mark(schema: str, number: int) -> str:
    return f'INSERT INTO "{schema}".migrations (version) VALUES ({number});\n'
