"""Storing jobs: one statement, however many."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any
from uuid import UUID

import psycopg

from ...clock import Millis
from ...errors import StoreError
from ...job import Inserted, NewJob
from . import bulk
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
) -> list[Inserted]:
    """Store the jobs; an answer for each (promises I9, I12)."""
    if len(jobs) >= bulk.LEAST and copy([jobs[at] for at in _by_key(jobs)], now):
        return [Inserted(job.id, "stored") for job in jobs]
    if len(jobs) == 1 and is_plain(jobs[0]):
        sql = statement("insert_one", schema)
        if ask(sql, sql.values({**values_of(jobs[0]), "now": now})):
            return [Inserted(jobs[0].id, "stored")]
    return insert_rows(ask, schema, jobs, now)


def insert_rows(
    ask: Ask, schema: str, jobs: Sequence[NewJob], now: Millis | None
) -> list[Inserted]:
    """The same by the one statement that takes every job."""
    asks = _Asks(jobs)
    while asks.left:
        sql = statement("insert", schema)
        given = {name: NEW_COLUMNS[name](values) for name, values in asks.columns().items()}
        asks.stored([row[0] for row in ask(sql, sql.values({**given, "now": now}))])
        if asks.left:
            sql = statement("same_content", schema)
            same = {name: NEW_COLUMNS[name](values) for name, values in asks.taken().items()}
            asks.found(ask(sql, sql.values(same)))
    return asks.answers()


def may_be_of_one(error: StoreError) -> bool:
    """Whether a batch may have failed for one of its callers' jobs: its id, or its unique key, is
    in a stranger's open transaction, or the server refuses what is in it."""
    locked = isinstance(error.__cause__, psycopg.errors.LockNotAvailable)
    return locked or type(error) is StoreError


def apart(
    schema: str, jobs: Sequence[NewJob], now: Millis | None
) -> Callable[[Connection], list[Inserted]]:
    """What stores one caller's part of a batch that failed, in a transaction. It has waited once for whoever
    is in the way: now it makes the others of its batch wait no longer."""

    def work(connection: Connection) -> list[Inserted]:
        connection.execute(f"SET LOCAL lock_timeout = '{APART_SECONDS:g}s'".encode())
        ask: Ask = lambda sql, values: rows(connection, sql, values)  # noqa: E731
        return insert(ask, lambda *_: False, schema, jobs, now)

    return work


def _by_key(jobs: Sequence[NewJob]) -> list[int]:
    """Their places in the order in which they are sent: by unique key. Whoever stores a key of another's open
    transaction waits for its end; two with keys in common that took them in different orders would each
    wait for the other, until the server breaks one of them off. Those of one key stay as they were, and
    those of none."""
    return sorted(range(len(jobs)), key=lambda at: jobs[at].unique_key or "")


class _Asks:
    """Jobs, with what became of each: the first of an id that was stored is; any other is the same job
    again, or another one (promise I12), or a job holds its unique key (promise I9). What is in the way of
    the rest was gone when it was looked for: they are asked once more."""

    def __init__(self, jobs: Sequence[NewJob]) -> None:
        self._jobs = jobs
        self._told: dict[int, Inserted] = {}
        self._fresh: dict[bytes, set[str]] = {}
        self.left = _by_key(jobs)
        """The places of those that nothing is known of, in the order in which they are sent."""

    def columns(self) -> dict[str, list[Any]]:
        """What ``insert.sql`` is asked."""
        return columns_of([self._jobs[at] for at in self.left])

    def stored(self, ids: Sequence[bytes]) -> None:
        """These were."""
        fresh = Counter(ids)
        for at in self.left:
            job = self._jobs[at]
            if fresh[job.id]:
                fresh[job.id] -= 1
                self._fresh[job.id] = _waits(job)
                self._told[at] = Inserted(job.id, "stored")
        self._go_on()

    def taken(self) -> dict[str, list[Any]]:
        """What ``same_content.sql`` is asked."""
        return {name: [getattr(self._jobs[at], name) for at in self.left] for name in _SAME}

    def found(self, rows: Sequence[tuple[Any, ...]]) -> None:
        """What is in the way of each."""
        for number, same, holder, waits in rows:
            at = self.left[number - 1]
            job = self._jobs[at]
            if same is not None:
                # The edges of one that is of this call, too, may be stored after it.
                same = same and _waits(job) == self._fresh.get(job.id, set((waits or "").split()))
                self._told[at] = Inserted(job.id, "present" if same else "conflict")
            elif holder is not None:
                self._told[at] = Inserted(holder, "unique")
        self._go_on()

    def _go_on(self) -> None:
        self.left = [at for at in self.left if at not in self._told]

    def answers(self) -> list[Inserted]:
        """One for each job."""
        return [self._told[at] for at in range(len(self._jobs))]


def _waits(job: NewJob) -> set[str]:
    """For whom it waits, as ``same_content.sql`` tells it."""
    return {str(UUID(bytes=one)) for one in job.parents}


_SAME = ("id", "task", "lane", "args", "unique_key")


def errand(
    schema: str,
    jobs: Sequence[NewJob],
    now: Millis | None,
    waits: Mapping[str, list[Any]] | None = None,
) -> Errand[tuple[list[Inserted], str | None]]:
    """The same on a connection that is not ours, and in which transaction the rows are (its id; ``None``
    when nothing was stored): plain values, for whatever driver. ``waits`` are the edges of those of them
    that are stored, in the same statement: in autocommit it is a transaction of its own, and a job
    without its waits would be blocked for ever."""
    asks, transaction = _Asks(jobs), None
    sql = guarded("insert", schema, None if waits is None else "insert_waits")
    while asks.left:
        columns = _with_uuids(asks.columns())
        landed = yield sql, {**columns, **(waits or {}), "now": now}
        if landed:
            transaction = landed[0][1]
        asks.stored([_id(row[0]) for row in landed])
        if asks.left:
            found = yield guarded("same_content", schema), _with_uuids(asks.taken())
            asks.found(
                [
                    (n, same, None if holder is None else _id(holder), waits)
                    for n, same, holder, waits in found
                ]
            )
    return asks.answers(), transaction


def _with_uuids(columns: dict[str, list[Any]]) -> dict[str, list[Any]]:
    return {**columns, "id": [UUID(bytes=id_) for id_ in columns["id"]]}


def _id(value: object) -> bytes:
    """An id as drivers give it: a UUID, one of asyncpg's own kind, or text."""
    return UUID(str(value)).bytes
