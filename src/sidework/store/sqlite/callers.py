"""The caller's own connection: statements that run on it, in its transaction.

What it writes is there when the caller commits, and gone when they roll back; nothing else of theirs is
touched.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import apsw

from ...clock import Millis
from ...crashpoint import reach
from ...errors import StoreRefused
from ...job import Inserted, NewJob
from ...outcome import Outcome
from ..relating import related as are_related
from . import claiming, inserting, related
from .connection import translated
from .rows import insert_parameters


def insert(connection: Any, path: str, jobs: Sequence[NewJob], now: Millis) -> list[Inserted]:
    """Store the jobs in the file at ``path``, one by one."""
    _check(connection, path)
    with translated(path):
        if are_related(jobs):
            with _together(connection):
                return related.insert(connection, jobs, now)
        return inserting.insert(connection, [insert_parameters(job, now) for job in jobs])


@contextmanager
def _together(connection: apsw.Connection) -> Iterator[None]:
    """All that is stored within, or nothing, also for a caller who catches the error and commits the rest: a
    job without its waits would be blocked for ever."""
    if connection.in_transaction:
        with connection:  # a savepoint
            yield
        return
    # Not deferred: what was read before another's commit could not be written upon.
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
        connection.execute("COMMIT")
    finally:
        if connection.in_transaction:
            connection.execute("ROLLBACK")


def finish(connection: Any, path: str, outcome: Outcome, now: Millis) -> bool:
    """Complete a running job; False when its claim was lost."""
    _check(connection, path)
    if not connection.in_transaction:
        raise StoreRefused(
            "the connection is in no transaction, so nothing would be stored together: begin one "
            "(BEGIN IMMEDIATE) before finish_in, or just return the result"
        )
    with translated(path):
        took = claiming.complete(connection, outcome, now)
    reach("finish: before commit")
    return took


def _check(connection: object, path: str) -> None:
    """``StoreRefused`` unless this is a connection that jobs of the file at ``path`` can go through."""
    if type(connection).__module__.partition(".")[0] == "sqlite3":
        raise StoreRefused(
            "a sqlite3 connection cannot be used: Python's own SQLite beside Sidework's in one "
            "process loses the file's locks; open the file with apsw.Connection(path) instead"
        )
    if not isinstance(connection, apsw.Connection):
        raise StoreRefused(
            f"connection={type(connection).__qualname__} cannot be used here: this store takes "
            "an apsw.Connection to its own file"
        )
    name = connection.filename
    if not name or not os.path.exists(name) or not os.path.samefile(name, path):
        raise StoreRefused(
            f"the connection is to {name or 'memory'}, the jobs are in {path}: "
            "a transaction cannot span both"
        )
