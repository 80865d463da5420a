"""A disk between SQLite and the real one: it keeps a record of all that is asked of it, and can fail.

What a program was told and what the disk holds are two things: a write is in the page cache until
the file is synced, and a power cut takes any part of what is not. ``Disk`` records writes, syncs and
names in their order; ``platter.py`` makes of the record what a disk could hold after a cut.

All of SQLite goes through it, on the paths below its folder, since it is the default VFS for a
while: the store under test is the real one and knows nothing of it. Shared memory (``-shm``) does not
come here; it is rebuilt by whoever opens the database first, so what a cut leaves of it is noise.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import NamedTuple, Self

import apsw

NAME = "sidework-disk"
_JOURNALS = apsw.SQLITE_OPEN_MAIN_JOURNAL | apsw.SQLITE_OPEN_SUPER_JOURNAL | apsw.SQLITE_OPEN_WAL


class Made(NamedTuple):
    """The name now leads to this file (a number: a name may lead to another file later)."""

    name: str
    file: int


class Gone(NamedTuple):
    """The name leads nowhere; ``certain`` when the folder was synced with it."""

    name: str
    certain: bool


class Wrote(NamedTuple):
    file: int
    offset: int
    data: bytes


class Cut(NamedTuple):
    """The file was made ``size`` bytes long."""

    file: int
    size: int


class Synced(NamedTuple):
    """All earlier writes to the file are certain; with ``folder`` all names too."""

    file: int
    folder: bool


class Unsynced(NamedTuple):
    """A sync that failed. Linux then calls the pages clean: no later sync writes them again."""

    file: int


class Mark(NamedTuple):
    """A word of whoever drives the store: from here on the state of this number is acknowledged."""

    number: int


Event = Made | Gone | Wrote | Cut | Synced | Unsynced | Mark


class Fault:
    """Fail the operation ``what`` on files that end in ``suffix`` ("" is any): the one of number
    ``after`` and the next ones, ``times`` in all, with SQLite's ``code``. ``landed`` counts them."""

    def __init__(self, what: str, suffix: str, after: int, times: int, code: int) -> None:
        self.what, self.suffix, self.after, self.times = what, suffix, after, times
        self.code = code
        self.seen = self.landed = 0

    def __repr__(self) -> str:
        code = (
            apsw.mapping_result_codes.get(self.code)
            or apsw.mapping_extended_result_codes[self.code]
        )
        where = f"{self.what or 'operation'} {self.after} of {self.suffix or 'any file'}"
        return f"{code} at {where}, {self.times} times"

    def __call__(self, what: str, name: str) -> None:
        if self.what not in (what, "") or not name.endswith(self.suffix):
            return
        self.seen += 1
        if self.after <= self.seen < self.after + self.times:
            self.landed += 1
            error = apsw.exception_for(self.code)
            error.args = (f"injected: {what} {os.path.basename(name)}",)
            raise error


def no_fault(what: str, name: str) -> None:
    return


class Disk(apsw.VFS):
    """The default VFS while the context lasts. ``events`` is the record; ``fault`` is asked before each
    operation and may raise."""

    def __init__(self, folder: str) -> None:
        self.folder = os.path.join(folder, "")
        self.events: list[Event] = []
        self.fault: Callable[[str, str], None] = no_fault
        self._files: dict[str, int] = {}
        self._count = 0
        super().__init__(NAME, "unix", makedefault=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.unregister()

    def xOpen(self, name: str | apsw.URIFilename | None, flags: list[int]) -> apsw.VFSFile:
        path = name.filename() if isinstance(name, apsw.URIFilename) else name
        if path is None or not path.startswith(self.folder):
            return apsw.VFSFile("unix", name, flags)
        self.fault("open", path)
        there = os.path.exists(path)
        file = _File(self, path, name, flags)
        if not there or path not in self._files:
            self._count += 1
            self._files[path] = self._count
            # One that was there before the record began is certain: the platter starts with it.
            self.events.append(Made(path, self._count))
        file.number = self._files[path]
        return file

    def xDelete(self, filename: str, syncdir: bool) -> None:
        ours = filename.startswith(self.folder)
        if ours:
            self.fault("delete", filename)
        super().xDelete(filename, syncdir)
        if ours:
            self.events.append(Gone(filename, syncdir))
            self._files.pop(filename, None)


class _File(apsw.VFSFile):
    def __init__(
        self, disk: Disk, path: str, name: str | apsw.URIFilename | None, flags: list[int]
    ) -> None:
        self._disk, self._path = disk, path
        self.number = 0
        # os_unix.c: the first sync of a journal or log that was opened to be made syncs its folder
        # too (seen in a trace of system calls: fdatasync of the file, then of the folder).
        self._sync_folder = bool(flags[0] & _JOURNALS and flags[0] & apsw.SQLITE_OPEN_CREATE)
        super().__init__("unix", name, flags)

    def xRead(self, amount: int, offset: int) -> bytes:
        self._disk.fault("read", self._path)
        return super().xRead(amount, offset)

    def xWrite(self, data: bytes, offset: int) -> None:
        try:
            self._disk.fault("write", self._path)
        except apsw.Error:
            self._write(bytes(data[: len(data) // 2]), offset)  # a full disk takes what it can
            raise
        self._write(bytes(data), offset)

    def _write(self, data: bytes, offset: int) -> None:
        super().xWrite(data, offset)
        self._disk.events.append(Wrote(self.number, offset, data))

    def xTruncate(self, newsize: int) -> None:
        self._disk.fault("truncate", self._path)
        super().xTruncate(newsize)
        self._disk.events.append(Cut(self.number, newsize))

    def xSync(self, flags: int) -> None:
        try:
            self._disk.fault("sync", self._path)
        except apsw.Error:
            self._disk.events.append(Unsynced(self.number))
            raise
        super().xSync(flags)
        self._disk.events.append(Synced(self.number, self._sync_folder))
        self._sync_folder = False
