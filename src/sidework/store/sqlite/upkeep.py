"""What an operator does with the file: look, check, copy, tidy."""

from __future__ import annotations

import os
from typing import Any

import apsw

from ...errors import StoreRefused, StoreUnavailable
from .connection import BUSY_SECONDS

TRUNCATE_PAGES = 16_000
"""A write-ahead log longer than this (64 MB) is cut when no reader holds it."""

_VACUUM_PAGES = 500
"""Pages of one step: 2 MB, a few milliseconds."""


def checkpoint(connection: apsw.Connection) -> None:
    """PASSIVE: never waits for a reader; then the log is reused, and cut if it had grown long."""
    pages, done = connection.wal_checkpoint(None, apsw.SQLITE_CHECKPOINT_PASSIVE)
    if pages > TRUNCATE_PAGES and pages == done:
        # Without patience: it would wait for readers with the write lock in its hand.
        connection.set_busy_timeout(0)
        try:
            connection.wal_checkpoint(None, apsw.SQLITE_CHECKPOINT_TRUNCATE)
        except apsw.BusyError:
            pass  # a reader came in between: the next turn tries again
        finally:
            connection.set_busy_timeout(round(BUSY_SECONDS * 1000))


def info(connection: apsw.Connection, path: str) -> dict[str, Any]:
    """Sizes in bytes, jobs by state, schema and settings."""
    counts: list[Any] = connection.execute(
        "SELECT state, count(*) FROM jobs GROUP BY state"
    ).fetchall()
    page: Any = connection.pragma("page_size")
    free: Any = connection.pragma("freelist_count")
    return {
        "engine": "sqlite",
        "path": path,
        "sqlite": apsw.sqlite_lib_version(),
        "schema": connection.pragma("user_version"),
        "file_bytes": os.path.getsize(path),
        "wal_bytes": os.path.getsize(path + "-wal") if os.path.exists(path + "-wal") else 0,
        "free_bytes": free * page,
        "jobs": dict(counts),
        "workers": connection.execute("SELECT count(*) FROM workers").get,
    }


def check(connection: apsw.Connection) -> list[str]:
    """SQLite's own full check; what it found, a line each."""
    try:
        rows: list[Any] = connection.execute("PRAGMA integrity_check").fetchall()
        found = [line for row in rows for line in row[0].splitlines()]
    except apsw.CorruptError as error:
        return [str(error)]
    return [] if found == ["ok"] else found


def backup(connection: apsw.Connection, target: str) -> None:
    """A whole copy through SQLite; written beside the target and renamed, so never half there.

    When it returns the copy survives a power cut, its name too. Raises ``StoreRefused`` when the
    target exists, ``StoreUnavailable`` when it cannot be written.
    """
    target = os.path.abspath(target)
    folder = os.path.dirname(target)
    if os.path.exists(target):
        raise StoreRefused(f"{target} exists: choose a new name for the backup")
    if not os.path.isdir(folder):
        raise StoreRefused(f"there is no folder {folder} for the backup; make it or choose another")
    part = f"{target}.part-{os.getpid()}"
    try:
        connection.execute("VACUUM INTO ?", (part,))
        with open(part, "rb+") as copy:
            os.fsync(copy.fileno())
        os.replace(part, target)
        _sync_folder(folder)
    except apsw.FullError as full:
        raise StoreUnavailable(
            f"no space left in {folder} for the backup; nothing is kept"
        ) from full
    # The source is open and was read before: what cannot be opened or written now is the target.
    except (apsw.CantOpenError, apsw.ReadOnlyError, apsw.PermissionsError, OSError) as refused:
        raise StoreRefused(
            f"the backup {target} cannot be written ({refused}): check the rights of {folder}"
        ) from refused
    finally:
        if os.path.exists(part):
            os.unlink(part)


def _sync_folder(folder: str) -> None:
    fd = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def vacuum_step(connection: apsw.Connection) -> bool:
    """Give some free pages back to the disk; whether it may have left some."""
    before: Any = connection.pragma("freelist_count")
    connection.execute(f"PRAGMA incremental_vacuum({_VACUUM_PAGES})").fetchall()
    after: Any = connection.pragma("freelist_count")
    return bool(0 < after < before)
