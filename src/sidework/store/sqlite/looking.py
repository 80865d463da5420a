"""How a file looks to an operator: the library, the disk under it, the log and the free pages."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from statistics import median

import apsw

from ...clock import monotonic
from ...duration import text_of
from ..protocol import Finding
from .connection import OLDEST_SQLITE
from .upkeep import TRUNCATE_PAGES, info

_LONG_LOG = 4 * TRUNCATE_PAGES * 4096
_MUCH_FREE = 256 * 1024 * 1024
_SLOW_COMMIT = 0.05


def findings(connection: apsw.Connection, path: str) -> list[Finding]:
    """What an operator can do something about."""
    return [*_library(), *_disk(os.path.dirname(path)), *_file(connection, path)]


def _library() -> Iterator[Finding]:
    version = apsw.sqlite_lib_version()
    old = tuple(int(part) for part in version.split(".")) < OLDEST_SQLITE
    yield _judged(
        "sqlite",
        f"{version} (in apsw {apsw.apsw_version()})",
        "it can corrupt a file that several processes use: pip install -U apsw" if old else "",
    )


def _disk(folder: str) -> Iterator[Finding]:
    slow = _commit_seconds(folder)
    yield _judged(
        "commit",
        f"{text_of(slow)} (median of 20)",
        f"over {text_of(_SLOW_COMMIT)}: put the store on a faster local disk"
        if slow > _SLOW_COMMIT
        else "",
    )


def _judged(what: str, value: str, advice: str) -> Finding:
    """A problem if there is something to do about it."""
    return Finding(what, value, advice, problem=bool(advice))


def _file(connection: apsw.Connection, path: str) -> Iterator[Finding]:
    told = info(connection, path)
    log, free, size = told["wal_bytes"], told["free_bytes"], told["file_bytes"]
    yield Finding("schema", f"version {told['schema']}, as this Sidework has it")
    yield Finding(
        "log",
        f"{log:,} bytes",
        "a program that reads without end keeps it from being cut: sidework workers, or lsof"
        if log > _LONG_LOG
        else "",
    )
    yield Finding(
        "free pages",
        f"{free:,} of {size:,} bytes",
        "sidework db vacuum gives them back to the disk"
        if free > _MUCH_FREE and free > size / 2
        else "",
    )


def _commit_seconds(folder: str) -> float:
    """How long a durable commit takes there, on a file of its own: the median of 20."""
    took = []
    with tempfile.TemporaryDirectory(prefix=".sidework-doctor-", dir=folder) as place:
        connection = apsw.Connection(os.path.join(place, "probe.db"))
        connection.pragma("journal_mode", "WAL")
        connection.pragma("synchronous", "FULL")
        connection.execute("CREATE TABLE probe (at REAL)")
        for _ in range(20):
            began = monotonic()
            connection.execute("INSERT INTO probe VALUES (?)", (began,))
            took.append(monotonic() - began)
        connection.close()
    return median(took)
