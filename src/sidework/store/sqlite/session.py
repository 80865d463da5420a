"""One connection of the file with its lock and its ticket: reads, and write transactions.

Fork rule (a reopened connection in a forked child acknowledges commits into a deleted WAL): before
a fork every session finishes its transaction and closes; parent and child reopen at their next use.
A process that was forked behind Python's back finds itself with another's connection and refuses.
"""

from __future__ import annotations

import contextlib
import os
import threading
import weakref
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

import apsw
import msgspec

from ...clock import monotonic
from ...errors import SideworkError, StoreError, StoreRefused, StoreUnavailable
from .connection import BUSY_SECONDS, open_connection, translate
from .ticket import TICKET_SECONDS, Ticket

T = TypeVar("T")

_NOT_OURS = (apsw.Error, TypeError, ValueError, LookupError)
"""What may come out of reading a damaged file, among others: see ``Session._told``."""


class Session:
    """A connection that opens at its first use. Safe from several threads: one at a time."""

    def __init__(self, path: str, *, create: bool, durable: bool = True) -> None:
        self.path = path
        self._create = create
        self._durable = durable
        self._lock = threading.RLock()
        # Beside the file itself: whoever comes by a symbolic link stands in the same line.
        self._ticket = Ticket(os.path.realpath(path) + "-ticket")
        self._connection: apsw.Connection | None = None
        self._pid = 0
        self._inode: tuple[int, int] | None = None
        self._in_doubt = False
        self._opened = 0
        self._leaves_at: float | None = None
        with _registry:
            _sessions.add(self)

    def version(self) -> int:
        """A number that changes with every row that anybody changes: by this connection (which SQLite's
        own ``data_version`` leaves out), by another, or unseen while this one was closed."""

        def ask(connection: apsw.Connection) -> int:
            others: int = connection.pragma("data_version")
            return (self._opened << 96) + (connection.total_changes() << 32) + others

        return self.read(ask)

    def read(self, work: Callable[[apsw.Connection], T]) -> T:
        """Run ``work``, which only reads."""
        with self._lock, self._border():
            return work(self._open())

    def write(self, work: Callable[[apsw.Connection], T]) -> T:
        """Run ``work`` in one durable transaction; all of it is stored, or nothing."""
        with self._turn(), self._lock, self._border():
            connection = self._begin()
            connection.execute("BEGIN IMMEDIATE")
            changes = connection.total_changes()
            try:
                result = work(connection)
                self._commit(connection, changes)
            except BaseException:
                _undo(connection)
                raise
            return result

    def write_one(self, sql: str, values: tuple[Any, ...]) -> int:
        """Run one statement, a durable transaction by itself; how many rows it changed. For what is
        written one by one: without BEGIN and COMMIT it costs a fifth less CPU."""
        with self._turn(), self._lock, self._border():
            connection = self._begin()
            in_doubt, self._in_doubt = self._in_doubt, True
            try:
                connection.execute(sql, values)
            except (apsw.BusyError, apsw.ConstraintError):
                self._in_doubt = in_doubt  # it did not come to a commit
                raise
            changed = connection.changes()
            self._in_doubt = in_doubt and changed == 0
            return changed

    @contextlib.contextmanager
    def transaction(self) -> Iterator[apsw.Connection]:
        """A write transaction of someone else's statements, whose own errors stay as they are."""
        with self._turn(), self._lock:
            with self._border():
                connection = self._begin()
                connection.execute("BEGIN IMMEDIATE")
            changes = connection.total_changes()
            try:
                yield connection
                if self._connection is not connection:
                    raise StoreUnavailable(
                        "this process was forked inside a transaction of the store, which was undone: "
                        "fork before it or after it"
                    )
                if connection.in_transaction:  # else it was ended by hand
                    with self._border():
                        self._commit(connection, changes)
            except BaseException:
                if self._connection is connection:
                    _undo(connection)
                raise

    def _turn(self) -> Ticket:
        """The ticket, waited for without the connection's lock: reads go on meanwhile. To be entered
        in one ``with``, before that lock."""
        if self._leaves_at is not None:
            self._ticket.timeout = max(0.0, min(TICKET_SECONDS, self._leaves_at - monotonic()))
        return self._ticket

    def _commit(self, connection: apsw.Connection, changes: int) -> None:
        in_doubt, self._in_doubt = self._in_doubt, True
        connection.execute("COMMIT")
        # Without a change nothing is written, so nothing goes over the doubtful.
        self._in_doubt = in_doubt and connection.total_changes() == changes

    @contextlib.contextmanager
    def _border(self) -> Iterator[None]:
        try:
            yield
        except _NOT_OURS as error:
            told = self._told(error)
            if told is error:
                raise
            raise told from error

    def _begin(self) -> apsw.Connection:
        """The connection, with the time set that a write may wait for its turn."""
        connection = self._open()
        if self._leaves_at is not None:
            left = max(0.0, self._leaves_at - monotonic())
            connection.set_busy_timeout(round(min(left, BUSY_SECONDS) * 1000))
        return connection

    def _told(self, error: Exception) -> Exception:
        """The error in our words, where it is SQLite's or damage shows behind it; else as it is."""
        if isinstance(error, SideworkError):
            return error
        damage = error if isinstance(error, apsw.Error) else self._damage(error)
        return error if damage is None else self._failed(damage)

    def _damage(self, error: Exception) -> apsw.Error | None:
        """The damage behind an error that is not SQLite's; ``None`` when it is a bug.

        A row that nobody wrote breaks the code that reads it before SQLite notices.
        """
        if isinstance(error, UnicodeDecodeError | msgspec.DecodeError):
            return apsw.CorruptError(str(error))  # nothing is decoded but what was read
        if self._connection is None:
            return None
        try:
            found: Any = self._connection.execute("PRAGMA quick_check(1)").get
        except apsw.Error as error:
            return error
        # Its first line may only say which database the second is about.
        return None if found == "ok" else apsw.CorruptError(found.splitlines()[-1])

    def _failed(self, error: apsw.Error) -> StoreError:
        """The error in our words; and the connection closed, if a new one may do better."""
        connection = self._connection
        if connection is not None:
            damaged = isinstance(error, apsw.CorruptError)
            replaced = self._replaced()  # a new disk was mounted there
            if damaged or replaced:
                _leave_log(connection)
            disk = isinstance(error, apsw.IOError | apsw.CantOpenError)
            stuck = connection.in_transaction  # its ROLLBACK failed too
            # A commit whose fsync failed lies in the log as if it were whole, but Linux calls its
            # pages clean and never writes them again. A new connection would read them from the
            # page cache, take the commit for good and put the next ones behind it: acknowledged,
            # and all gone at a power cut, since the log is read up to the first gap. This one knows
            # where the log's good part ends: its next commit goes over the doubtful one, and so to
            # the disk.
            if damaged or replaced or stuck or (disk and not self._in_doubt):
                self._shut()
        return translate(error, self.path)

    def _open(self) -> apsw.Connection:
        if self._connection is not None:
            if self._pid != os.getpid():
                raise StoreRefused(
                    f"this process was forked with {self.path} open, by something that skips "
                    "Python's fork hooks: open the app after the fork, or start processes by spawn"
                )
            if self._replaced():
                # What is committed there no name leads to: an acknowledgement would be a lie.
                _leave_log(self._connection)
                self._shut()
                raise StoreRefused(
                    f"{self.path} was removed, moved or replaced while it was open: stop what uses "
                    "it before that; from here on the file that has its place is used"
                )
            return self._connection
        self._connection = open_connection(self.path, create=self._create, durable=self._durable)
        self._pid, self._inode, self._in_doubt = os.getpid(), _inode(self.path), False
        self._opened += 1
        return self._connection

    def _replaced(self) -> bool:
        return _inode(self.path) not in (self._inode, None)

    def hurry(self, seconds: float) -> None:
        """Until it is closed, wait for others' locks no longer than this, all waits together; that of
        another thread which waits already, too."""
        self._leaves_at = monotonic() + seconds
        self._ticket.timeout = seconds

    def close(self) -> None:
        """Close the connection; the next use opens it again, and is in no hurry."""
        with self._ticket.lock, self._lock:
            self._shut()
            self._ticket.close()
            self._leaves_at, self._ticket.timeout = None, TICKET_SECONDS

    def _shut(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            # What it could not bring into the file is safe in the log.
            with contextlib.suppress(apsw.Error):
                connection.close()

    def take(self, *, wait: bool) -> bool:
        """Before a fork: keep everyone out, after the transaction under way; False when that was not to
        be waited for."""
        if not self._ticket.lock.acquire(blocking=wait):
            return False
        if self._lock.acquire(blocking=wait):
            return True
        self._ticket.lock.release()
        return False

    def before_fork(self) -> None:
        """Close; the lock is kept over the fork."""
        self._shut()
        self._ticket.close()

    def after_fork(self, *, child: bool) -> None:
        """Let others in again; in the child with a new lock, since its owner is not there."""
        if child:
            self._lock = threading.RLock()
            self._ticket.lock = threading.RLock()
        else:
            self._lock.release()
            self._ticket.lock.release()


def _undo(connection: apsw.Connection) -> None:
    """A failed COMMIT (full disk) leaves the transaction open or already undone."""
    if connection.in_transaction:
        connection.execute("ROLLBACK")


_GONE = (0, 0)


def _inode(path: str) -> tuple[int, int] | None:
    """Which file the path leads to; ``None`` when that cannot be told now. A look-up, not an open: that
    would cost SQLite its locks."""
    try:
        status = os.stat(path)
    except FileNotFoundError:
        return _GONE
    except OSError:
        return None
    return status.st_dev, status.st_ino


def _leave_log(connection: apsw.Connection) -> None:
    """Whoever is the last to close brings the log into the file and removes it, by its name: not into
    a damaged one, and not the log of another."""
    connection.config(apsw.SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1)


_sessions: weakref.WeakSet[Session] = weakref.WeakSet()
_forking = threading.RLock()
"""Held from the first session's closing to the last one's release: of two threads that fork at once, one
waits here, with no session's lock in its hand. It guards ``_held``."""
_registry = threading.Lock()
"""Guards ``_sessions``, and is never held while something is waited for, but over the fork itself."""
_held: list[Session] = []


def _before() -> None:
    """Take all locks, waiting for one only with no other in hand: whoever has it may want those (a caller
    in a transaction of its own, who reads or enqueues elsewhere, perhaps in a store opened just now)."""
    _forking.acquire()
    first: Session | None = None
    while True:
        if first is not None:
            first.take(wait=True)
            _held.append(first)
        _registry.acquire()
        left = [session for session in _sessions if session is not first]
        first = next((session for session in left if not _taken(session)), None)
        if first is None:
            break
        _registry.release()
        for session in _held:
            session.after_fork(child=False)
        _held.clear()
    for session in _held:
        session.before_fork()


def _taken(session: Session) -> bool:
    if session.take(wait=False):
        _held.append(session)
        return True
    return False


def _after(child: bool) -> None:
    global _forking, _registry
    for session in _held:
        session.after_fork(child=child)
    _held.clear()
    if child:
        _forking, _registry = threading.RLock(), threading.Lock()
    else:
        _registry.release()
        _forking.release()


os.register_at_fork(
    before=_before,
    after_in_parent=lambda: _after(False),
    after_in_child=lambda: _after(True),
)
