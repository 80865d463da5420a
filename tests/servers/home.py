"""A short temporary folder in which servers run, watched by a guardian that ends them with their owner."""

from __future__ import annotations

import fcntl
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from . import guardian

LONGEST = 80
"""Of a folder for Unix sockets: 108 bytes hold the folder, the socket's name and a zero."""


def short_place() -> Path:
    """The folder for temporary files, unless sockets would not fit into it."""
    place = tempfile.gettempdir()
    return Path(place if len(place.encode()) < LONGEST - 30 else "/tmp")


class Home:
    """Owned by the process that made it, or, with a name, by all processes that did.

    ``folders`` are others that belong to it: ended and removed together with it.
    """

    def __init__(self, *folders: Path, name: str | None = None) -> None:
        if name is None:
            self.path = Path(tempfile.mkdtemp(prefix="sw-", dir=short_place()))
        else:
            self.path = short_place() / name
        self.folders = folders
        self.owned: int | None = None if name is None else self._own()
        self.guardian: subprocess.Popen[bytes] | None = None
        if self.owned is None:
            self.owned = self._own()
            self.guard()

    def _own(self) -> int:
        """Share the lock; where a guardian holds it, after it has ended and with a new folder."""
        while True:
            self.path.mkdir(mode=0o700, exist_ok=True)
            try:
                owners = os.open(self.path / guardian.OWNERS, os.O_RDWR | os.O_CREAT, 0o600)
            except FileNotFoundError:
                continue  # removed between the two
            fcntl.lockf(owners, fcntl.LOCK_SH)
            if os.fstat(owners).st_nlink:
                return owners
            os.close(owners)

    def guard(self) -> None:
        """Start the guardian. Several on one folder do no harm."""
        self.guardian = subprocess.Popen(
            [sys.executable, guardian.__file__, self.path, *self.folders],
            cwd="/", stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, start_new_session=True,
        )  # fmt: skip

    def start(
        self, command: Sequence[str], log: Path, cwd: Path | None = None,
        env: Mapping[str, str] | None = None,
    ) -> subprocess.Popen[bytes]:  # fmt: skip
        """Start a process that ends with this folder; not reached by the terminal's Ctrl-C."""
        with open(log, "ab") as said:
            return subprocess.Popen(
                command, cwd=cwd or self.path, stdin=subprocess.DEVNULL, stdout=said, stderr=said,
                env={**os.environ, **(env or {})}, start_new_session=True,
            )  # fmt: skip

    def close(self) -> None:
        """Give it up, and wait for the end of all that runs there if nobody else has it."""
        if self.owned is None:
            return
        os.close(self.owned)
        self.owned = None
        if self.guardian is not None:
            self.guardian.wait()
