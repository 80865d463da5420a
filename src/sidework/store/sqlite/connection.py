"""Connections to the file: how they are opened, and the one border where apsw's errors are translated."""

from __future__ import annotations

import functools
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import resources

import apsw

from ...clock import monotonic
from ...crashpoint import reach
from ...errors import (
    SchemaMismatch,
    SideworkError,
    StoreDamaged,
    StoreError,
    StoreMissing,
    StoreRefused,
    StoreUnavailable,
)

APPLICATION_ID = 0x51DE0A4B
"""Marks a file as ours, so that another program's database is never taken for a queue."""

OLDEST_SQLITE = (3, 51, 3)
"""From 3.7.0 to 3.51.2 several processes on one log could damage it (the "WAL reset" bug, fixed in
3.51.3); apsw brings its own SQLite, but can also be built on the system's."""

BUSY_SECONDS = 10.0
"""Only for what bypasses the ticket (a caller's own connection, a foreign tool): else nobody waits here."""
_AGAIN_SECONDS = 0.005


@functools.cache
def statement(name: str) -> str:
    """The text of one verb's ``.sql`` file."""
    return (
        resources.files("sidework.store.sqlite").joinpath("sql", f"{name}.sql").read_text("utf-8")
    )


def migrations() -> list[str]:
    """The texts of the numbered migrations, in order."""
    folder = resources.files("sidework.store.sqlite").joinpath("migrations")
    names = sorted(entry.name for entry in folder.iterdir() if entry.name.endswith(".sql"))
    return [folder.joinpath(name).read_text("utf-8") for name in names]


@contextmanager
def translated(path: str) -> Iterator[None]:
    """apsw's exceptions as ours, with the original as cause."""
    try:
        yield
    except SideworkError:
        raise
    except apsw.Error as error:
        raise translate(error, path) from error


def translate(error: apsw.Error, path: str) -> StoreError:
    """What an error of SQLite means for whoever uses the store at ``path``."""
    if isinstance(error, apsw.FullError):
        return StoreUnavailable(
            f"no space left for {path}: nothing was stored; free some and try again"
        )
    if isinstance(error, apsw.NotADBError):
        return StoreRefused(f"{path} is not a SQLite database: choose another path")
    if isinstance(error, apsw.CorruptError):
        return StoreDamaged(f"{path} is damaged ({error}): stop its workers and restore a backup")
    if isinstance(error, apsw.BusyError | apsw.LockedError):
        return StoreUnavailable(f"{path} is locked by another program: {error}")
    if isinstance(error, apsw.ReadOnlyError):
        return StoreRefused(
            f"{path} cannot be written: check the rights of the file and its folder"
        )
    if isinstance(error, apsw.CantOpenError):
        return StoreRefused(f"{path} cannot be opened: check the folder and its rights")
    if isinstance(error, apsw.IOError):
        return StoreUnavailable(
            f"the disk failed under {path}: {error}; what was under way may be stored or not: "
            "look, or ask again"
        )
    return StoreError(f"{path}: {error}")


def open_connection(path: str, *, create: bool, durable: bool = True) -> apsw.Connection:
    """A connection with the promises switched on: WAL, ``synchronous=FULL``, schema checked. One that is
    not ``durable`` leaves out every flush to the disk, and nothing else."""
    flags = apsw.SQLITE_OPEN_READWRITE | apsw.SQLITE_OPEN_NOMUTEX
    if create:
        flags |= apsw.SQLITE_OPEN_CREATE
    _check_sqlite(apsw.sqlite_lib_version())
    if not create and not os.path.exists(path):
        raise StoreMissing(
            f"there is no database at {path}: the app makes it at its first enqueue, or a worker at its "
            "start if the app declares a periodic"
        )
    _check_log(path)
    if create:
        _make(path)
    with translated(path):
        connection = apsw.Connection(path, flags=flags, statementcachesize=200)
        try:
            connection.set_busy_timeout(round(BUSY_SECONDS * 1000))
            _configure(connection, path, durable)
        except BaseException:
            connection.close()
            raise
    return connection


def _make(path: str) -> None:
    """Make the empty file, with the rights that the umask allows: SQLite itself would give none to the
    group, and its further files get those of this one. O_EXCL: a file that is there, perhaps open in
    this process, is never opened (closing it would drop SQLite's locks)."""
    try:
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666))
    except OSError:
        return  # there already; or it cannot be made, and SQLite will say why


def _check_sqlite(version: str) -> None:
    if tuple(int(part) for part in version.split(".")) < OLDEST_SQLITE:
        oldest = ".".join(map(str, OLDEST_SQLITE))
        raise StoreRefused(
            f"apsw runs on SQLite {version}, which can damage a queue that several processes use: "
            f"install apsw from a wheel, or build it on SQLite {oldest} or newer"
        )


def _check_log(path: str) -> None:
    """Refuse a log whose database is gone or empty: SQLite would make a new one and remove the log.

    No race with who makes the database now: it has content before its log has any.
    """
    log = path + "-wal"
    if _size(log) > 0 and _size(path) == 0:
        raise StoreDamaged(
            f"{path} is missing or empty, but its log {log} is there, perhaps with jobs in it: "
            "put the file back beside it, or move the log away to begin anew"
        )


def _size(path: str) -> int:
    try:
        return os.path.getsize(path)
    except OSError:
        return 0


def _configure(connection: apsw.Connection, path: str, durable: bool) -> None:
    # Whoever is the last to close brings the log into the file. Not into another program's or a newer
    # one, which are refused here, nor into a damaged one: they stay as they were found.
    connection.config(apsw.SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1)
    _version(connection, path)
    if connection.pragma("page_count") == 0:
        # auto_vacuum can only be chosen while the file is empty.
        connection.pragma("auto_vacuum", "INCREMENTAL")
    mode = _into_wal(connection)
    if mode != "wal":
        raise StoreRefused(f"{path} cannot use write-ahead logging here (got {mode!r})")
    connection.pragma("synchronous", "FULL" if durable else "OFF")
    connection.pragma("fullfsync", 1)
    connection.pragma("cell_size_check", 1)
    connection.pragma("foreign_keys", 0)
    connection.pragma("wal_autocheckpoint", 4000)
    connection.pragma("journal_size_limit", 64 * 1024 * 1024)
    connection.pragma("cache_size", -16_000)
    connection.pragma("temp_store", "MEMORY")
    connection.config(apsw.SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 0)
    _migrate(connection, path)


def _into_wal(connection: apsw.Connection) -> object:
    """The mode that the file is in then. SQLite changes it out of a read, where it waits for
    nobody who writes: of those who open a new file at once, it would refuse some (7 of 1,800)."""
    ends = monotonic() + BUSY_SECONDS
    while True:
        try:
            mode: object = connection.pragma("journal_mode", "WAL")
        except apsw.BusyError:
            if monotonic() >= ends:
                raise
            threading.Event().wait(_AGAIN_SECONDS)
        else:
            return mode


def _migrate(connection: apsw.Connection, path: str) -> None:
    steps = migrations()
    if _version(connection, path) == len(steps):
        return
    connection.execute("BEGIN IMMEDIATE")  # the lock: whoever waited here looks again
    try:
        version = _version(connection, path)
        for step in steps[version:]:
            connection.execute(step)
        connection.pragma("application_id", APPLICATION_ID)
        connection.pragma("user_version", len(steps))
        reach("migration: before commit")
        connection.execute("COMMIT")
        reach("migration: committed")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise


def _version(connection: apsw.Connection, path: str) -> int:
    # One snapshot: between two reads another process may commit the first migration, and a file of no mark
    # yet would be one of tables already.
    connection.execute("SAVEPOINT version")
    try:
        version, mark = connection.pragma("user_version"), connection.pragma("application_id")
        tables = connection.execute("SELECT count(*) FROM sqlite_schema").get
    finally:
        connection.execute("RELEASE version")
    if mark != APPLICATION_ID:
        if tables or mark or version:
            raise StoreRefused(f"{path} is another program's database: choose another path")
        return 0
    if not isinstance(version, int) or version > len(migrations()):
        raise SchemaMismatch(
            f"{path} has schema {version}, this Sidework knows {len(migrations())}: upgrade Sidework"
        )
    return version
