"""One connection of the file with its lock and its ticket: reads, and write transactions.

Fork rule (a reopened connection in a forked child acknowledges commits into a deleted WAL): before
a fork every session finishes its transaction and closes; parent and child reopen at their next use.
A process that was forked behind Python's back finds itself with another's connection and refuses.
"""

from __future__ import annotations

import os
import threading
import weakref
from collections.abc import Callable
from typing import TypeVar

import apsw

from ...errors import StoreRefused
from .connection import open_connection, translate
from .ticket import Ticket

T = TypeVar("T")


class Session:
    """A connection that opens at its first use. Safe from several threads: one at a time."""

    def __init__(self, path: str, *, create: bool) -> None:
        self.path = path
        self._create = create
        self._lock = threading.RLock()
        self._ticket = Ticket(path + "-ticket")
        self._connection: apsw.Connection | None = None
        self._pid = 0
        self._file: tuple[int, int] | None = None
        _sessions.add(self)

    def write(self, work: Callable[[apsw.Connection], T]) -> T:
        """Run ``work`` in one durable transaction; all of it is stored, or nothing."""
        with self._lock:
            try:
                connection = self._open()
                with self._ticket:
                    connection.execute("BEGIN IMMEDIATE")
                    try:
                        result = work(connection)
                        connection.execute("COMMIT")
                    except BaseException:
                        # A failed COMMIT (full disk) leaves the transaction open or already undone.
                        if connection.in_transaction:
                            connection.execute("ROLLBACK")
                        raise
                    return result
            except apsw.Error as error:
                raise self._failed(error) from error

    def read(self, work: Callable[[apsw.Connection], T]) -> T:
        """Run ``work``, which only reads."""
        with self._lock:
            try:
                return work(self._open())
            except apsw.Error as error:
                raise self._failed(error) from error

    def _failed(self, error: apsw.Error) -> Exception:
        if isinstance(error, apsw.IOError | apsw.CorruptError | apsw.CantOpenError):
            self.close()  # after a failed fsync the page cache may lie: start from the file again
        return translate(error, self.path)

    def _open(self) -> apsw.Connection:
        if self._connection is not None:
            if self._pid != os.getpid():
                raise StoreRefused(
                    f"this process was forked with {self.path} open, by something that skips "
                    "Python's fork hooks: open the app after the fork, or start processes by spawn"
                )
            if _file(self.path) != self._file:
                # What is committed there no name leads to: an acknowledgement would be a lie.
                self.close()
                raise StoreRefused(
                    f"{self.path} was removed, moved or replaced while it was open: stop what uses "
                    "it before that; from here on the file that has its place is used"
                )
            return self._connection
        self._connection = open_connection(self.path, create=self._create)
        self._pid, self._file = os.getpid(), _file(self.path)
        return self._connection

    def close(self) -> None:
        """Close the connection; the next use opens it again."""
        with self._lock:
            connection, self._connection = self._connection, None
            if connection is not None:
                connection.close()
            self._ticket.close()

    def before_fork(self) -> None:
        """Wait for the transaction under way, close, and keep the lock over the fork."""
        self._lock.acquire()
        self.close()

    def after_fork(self, *, child: bool) -> None:
        """Let others in again; in the child with a new lock, since its owner is not there."""
        if child:
            self._lock = threading.RLock()
        else:
            self._lock.release()


def _file(path: str) -> tuple[int, int] | None:
    """Which file has this name now. A look-up, not an open: that would cost SQLite its locks."""
    try:
        found = os.stat(path)
    except OSError:
        return None
    return found.st_dev, found.st_ino


_sessions: weakref.WeakSet[Session] = weakref.WeakSet()
_held: list[Session] = []


def _before() -> None:
    _held[:] = list(_sessions)
    for session in _held:
        session.before_fork()


def _after(child: bool) -> None:
    for session in _held:
        session.after_fork(child=child)
    _held.clear()


os.register_at_fork(
    before=_before,
    after_in_parent=lambda: _after(False),
    after_in_child=lambda: _after(True),
)
