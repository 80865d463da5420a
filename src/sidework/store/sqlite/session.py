"""One connection of the file with its lock and its ticket: reads, and write transactions.

Fork rule (a reopened connection in a forked child acknowledges commits into a deleted WAL): before
a fork every session finishes its transaction and closes; parent and child reopen at their next use.
A process that was forked behind Python's back finds itself with another's connection and refuses.
"""

from __future__ import annotations

import os
import threading
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

import apsw

from ...clock import monotonic
from ...errors import StoreRefused
from .connection import BUSY_SECONDS, open_connection, translate, translated
from .ticket import TICKET_SECONDS, Ticket

T = TypeVar("T")


class Session:
    """A connection that opens at its first use. Safe from several threads: one at a time."""

    def __init__(self, path: str, *, create: bool) -> None:
        self.path = path
        self._create = create
        self._lock = threading.RLock()
        # Beside the file itself: whoever comes by a symbolic link stands in the same line.
        self._ticket = Ticket(os.path.realpath(path) + "-ticket")
        self._connection: apsw.Connection | None = None
        self._pid = 0
        self._file: tuple[int, int] | None = None
        self._opened = 0
        self._leaves_at: float | None = None
        with _forking:
            _sessions.add(self)

    def write(self, work: Callable[[apsw.Connection], T]) -> T:
        """Run ``work`` in one durable transaction; all of it is stored, or nothing."""
        with self._lock:
            try:
                connection = self._begin()
                with self._ticket:
                    connection.execute("BEGIN IMMEDIATE")
                    try:
                        result = work(connection)
                        connection.execute("COMMIT")
                    except BaseException:
                        _undo(connection)
                        raise
                    return result
            except apsw.Error as error:
                raise self._failed(error) from error

    @contextmanager
    def transaction(self) -> Iterator[apsw.Connection]:
        """A write transaction of someone else's statements, whose own errors stay as they are."""
        with self._lock:
            with translated(self.path):
                connection = self._begin()
            with self._ticket:
                with translated(self.path):
                    connection.execute("BEGIN IMMEDIATE")
                try:
                    yield connection
                    if connection.in_transaction:  # else it was ended by hand
                        with translated(self.path):
                            connection.execute("COMMIT")
                except BaseException:
                    _undo(connection)
                    raise

    def read(self, work: Callable[[apsw.Connection], T]) -> T:
        """Run ``work``, which only reads."""
        with self._lock:
            try:
                return work(self._open())
            except apsw.Error as error:
                raise self._failed(error) from error

    def version(self) -> int:
        """A number that changes with every row that anybody changes: by this connection (which SQLite's
        own ``data_version`` leaves out), by another, or unseen while this one was closed."""

        def ask(connection: apsw.Connection) -> int:
            others: int = connection.pragma("data_version")
            return (self._opened << 96) + (connection.total_changes() << 32) + others

        return self.read(ask)

    def hurry(self, seconds: float) -> None:
        """Until it is closed, wait for others' locks no longer than this, all waits together."""
        self._leaves_at = monotonic() + seconds

    def _begin(self) -> apsw.Connection:
        """The connection, with the time set that a write may wait for its turn."""
        connection = self._open()
        if self._leaves_at is not None:
            left = max(0.0, self._leaves_at - monotonic())
            self._ticket.timeout = min(left, TICKET_SECONDS)
            connection.set_busy_timeout(round(min(left, BUSY_SECONDS) * 1000))
        return connection

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
        self._opened += 1
        return self._connection

    def close(self) -> None:
        """Close the connection; the next use opens it again, and is in no hurry."""
        with self._lock:
            self._shut()
            self._leaves_at, self._ticket.timeout = None, TICKET_SECONDS

    def _shut(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()
        self._ticket.close()

    def take(self, *, wait: bool) -> bool:
        """Before a fork: keep everyone out, after the transaction under way; False when that was not to
        be waited for."""
        return self._lock.acquire(blocking=wait)

    def before_fork(self) -> None:
        """Close; the lock is kept over the fork."""
        self._shut()

    def after_fork(self, *, child: bool) -> None:
        """Let others in again; in the child with a new lock, since its owner is not there."""
        if child:
            self._lock = threading.RLock()
        else:
            self._lock.release()


def _undo(connection: apsw.Connection) -> None:
    """A failed COMMIT (full disk) leaves the transaction open or already undone."""
    if connection.in_transaction:
        connection.execute("ROLLBACK")


def _file(path: str) -> tuple[int, int] | None:
    """Which file has this name now. A look-up, not an open: that would cost SQLite its locks."""
    try:
        found = os.stat(path)
    except OSError:
        return None
    return found.st_dev, found.st_ino


_sessions: weakref.WeakSet[Session] = weakref.WeakSet()
_forking = threading.RLock()
"""Held from the first session's closing to the last one's release: of two threads that fork at once, one
waits here, with no session's lock in its hand. It guards ``_sessions`` and ``_held``."""
_held: list[Session] = []


def _before() -> None:
    """Take all locks, waiting for one only with no other in hand: whoever has it may want those (a caller
    in a transaction of its own, who reads or enqueues elsewhere)."""
    _forking.acquire()
    left = list(_sessions)
    while left:
        session = left.pop()
        if session.take(wait=not _held):
            _held.append(session)
        else:
            for other in _held:
                other.after_fork(child=False)
            left = [*left, *_held, session]  # the busy one is waited for first
            _held.clear()
    for session in _held:
        session.before_fork()


def _after(child: bool) -> None:
    global _forking
    for session in _held:
        session.after_fork(child=child)
    _held.clear()
    if child:
        _forking = threading.RLock()
    else:
        _forking.release()


os.register_at_fork(
    before=_before,
    after_in_parent=lambda: _after(False),
    after_in_child=lambda: _after(True),
)
