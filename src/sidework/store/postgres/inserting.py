"""Storing jobs: one statement, however many."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any
from uuid import UUID

import psycopg

from ...clock import Millis
from ...errors import StoreError
from ...job import NewJob, Verdict
from . import bulk
from .arrays import Bytes, Texts, Uuids
from .connection import Connection, rows, statement
from .errand import Errand, guarded
from .rows import NEW_COLUMNS, columns_of, is_plain, values_of

APART_SECONDS = 0.5

Ask = Callable[[Any, list[Any]], list[tuple[Any, ...]]]
"""Runs a statement with its values; the rows."""


Copy = Callable[[Sequence[NewJob], Millis | None], bool]
"""Stores all of many jobs, none of which may be there (``bulk.copy_in``)."""


def insert(
    ask: Ask, copy: Copy, schema: str, jobs: Sequence[NewJob], now: Millis | None
) -> list[Verdict]:
    """Store the jobs; a verdict for each (promise I12)."""
    if len(jobs) >= bulk.LEAST and copy(jobs, now):
        return ["stored"] * len(jobs)
    if len(jobs) == 1 and is_plain(jobs[0]):
        sql = statement("insert_one", schema)
        one = ask(sql, sql.values({**values_of(jobs[0]), "now": now}))
        return ["stored"] if one else verdicts(ask, schema, jobs, [])
    return insert_rows(ask, schema, jobs, now)


def insert_rows(
    ask: Ask,
    schema: str,
    jobs: Sequence[NewJob],
    now: Millis | None,
    pending: list[int] | None = None,
) -> list[Verdict]:
    """The same by the one statement that takes every job. ``pending``: how many inputs of each are to come."""
    columns = columns_of(jobs, pending)
    sql = statement("insert", schema)
    given = {name: NEW_COLUMNS[name](values) for name, values in columns.items()}
    stored = ask(sql, sql.values({**given, "now": now}))
    if len(stored) == len(jobs):
        return ["stored"] * len(jobs)
    return verdicts(ask, schema, jobs, [row[0] for row in stored])


def may_be_of_one(error: StoreError) -> bool:
    """Whether a batch may have failed for one of its callers' jobs: its id is in a stranger's open
    transaction, or the server refuses what is in it."""
    locked = isinstance(error.__cause__, psycopg.errors.LockNotAvailable)
    return locked or type(error) is StoreError


def apart(
    schema: str, jobs: Sequence[NewJob], now: Millis | None
) -> Callable[[Connection], list[Verdict]]:
    """What stores one caller's part of a batch that failed, in a transaction. It has waited once for whoever
    is in the way: now it makes the others of its batch wait no longer."""

    def work(connection: Connection) -> list[Verdict]:
        connection.execute(f"SET LOCAL lock_timeout = '{APART_SECONDS:g}s'".encode())
        ask: Ask = lambda sql, values: rows(connection, sql, values)  # noqa: E731
        return insert(ask, lambda *_: False, schema, jobs, now)

    return work


def verdicts(
    ask: Ask, schema: str, jobs: Sequence[NewJob], stored: Sequence[bytes]
) -> list[Verdict]:
    """What became of each when some ids were there, or came twice."""
    asked = _Taken(jobs, stored)
    sql = statement("same_content", schema)
    same = ask(sql, [kind(values) for kind, values in zip(_SAME, asked.columns(), strict=True)])
    return asked.verdicts(same)


_SAME = (Uuids, Texts, Texts, Bytes)


class _Taken:
    """Jobs of which not all were stored: the first of an id that was stored is, any other is the same job
    again, or another one (promise I12)."""

    def __init__(self, jobs: Sequence[NewJob], stored: Sequence[bytes]) -> None:
        self._jobs = jobs
        self._told: dict[int, Verdict] = {}
        fresh = Counter(stored)
        for position, job in enumerate(jobs):
            if fresh[job.id]:
                fresh[job.id] -= 1
                self._told[position] = "stored"
        self._left = [at for at in range(len(jobs)) if at not in self._told]

    def columns(self) -> list[list[Any]]:
        """What ``same_content.sql`` is asked."""
        left = [self._jobs[at] for at in self._left]
        return [
            [job.id for job in left],
            [job.task for job in left],
            [job.lane for job in left],
            [job.args for job in left],
        ]

    def verdicts(self, same: Sequence[tuple[Any, ...]]) -> list[Verdict]:
        """One for each job, from the rows that came back."""
        found = {row[1] for row in same}
        for number, at in enumerate(self._left, 1):
            self._told[at] = "present" if number in found else "conflict"
        return [self._told[at] for at in range(len(self._jobs))]


def errand(
    schema: str, jobs: Sequence[NewJob], now: Millis | None, pending: list[int] | None = None
) -> Errand[Landed]:
    """The same on a connection that is not ours, and in which transaction the rows are (its id; ``None``
    when nothing was stored): plain values, for whatever driver."""
    columns = columns_of(jobs, pending)
    columns["id"] = [UUID(bytes=id_) for id_ in columns["id"]]
    stored = yield guarded("insert", schema), {**columns, "now": now}
    if len(stored) == len(jobs):
        return ["stored"] * len(jobs), stored[0][1]
    asked = _Taken(jobs, [_id(row[0]) for row in stored])
    ids, tasks, lanes, args = asked.columns()
    values = {"id": [UUID(bytes=id_) for id_ in ids], "task": tasks, "lane": lanes, "args": args}
    same = yield guarded("same_content", schema), values
    return asked.verdicts(same), stored[0][1] if stored else None


Landed = tuple[list[Verdict], str | None]


def _id(value: object) -> bytes:
    """An id as drivers give it: a UUID, one of asyncpg's own kind, or text."""
    return UUID(str(value)).bytes
