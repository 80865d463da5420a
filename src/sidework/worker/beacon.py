"""A worker's signs of life for whoever started it: systemd's notifications, and a file.

``READY=1`` and the file come when the worker can claim, ``STOPPING=1`` and the file's end with the drain.
As long as the loop turns it says ``WATCHDOG=1`` as often as systemd asks, and renews the file's time. A loop
that hangs does neither.
"""

from __future__ import annotations

import contextlib
import logging
import os
import socket
from collections.abc import MutableMapping

from ..errors import BadValue

log = logging.getLogger("sidework.worker")

BEAT_SECONDS = 5.0
"""How often the file's time is renewed."""
NOTIFY_SECONDS = 0.5
"""How long the loop waits at most for a systemd that does not listen."""


class Beacon:
    """``file``: is there while the worker works; ``BadValue`` when it cannot be written. ``environ``: where
    systemd says what it wants; that is taken away, since it is not meant for the children."""

    def __init__(self, file: str | None, environ: MutableMapping[str, str]) -> None:
        self._file = None if file is None else os.path.abspath(file)
        self._address = environ.pop("NOTIFY_SOCKET", "")
        asked, meant = environ.pop("WATCHDOG_USEC", ""), environ.pop("WATCHDOG_PID", "")
        self._watched = bool(asked.isdecimal() and int(asked) and meant in ("", str(os.getpid())))
        # Half of what is asked: one beat may come late.
        self._every = min(BEAT_SECONDS, int(asked) / 2e6) if self._watched else BEAT_SECONDS
        self._beat_at: float | None = None
        self._left = False
        try:
            self._drop()  # what a worker that was killed has left
            self._write()
            self._drop()
        except OSError as error:
            raise BadValue(f"--ready-file {self._file} cannot be written: {error}") from None

    def waiting(self, why: str) -> None:
        """It cannot begin yet; ``why`` in one line."""
        self._notify(f"STATUS=waiting: {why}")

    def ready(self, now: float) -> None:
        """It can claim. ``now``: monotonic seconds."""
        self._beat_at = now
        self._renew()
        self._notify("READY=1\nSTATUS=working")

    def turn(self, now: float) -> None:
        """Its loop has turned once more."""
        if self._beat_at is None or now - self._beat_at < self._every:
            return
        self._beat_at = now
        self._renew()
        if self._watched:
            self._notify("WATCHDOG=1")

    def stopping(self) -> None:
        """It drains, or leaves at once; said once. The file goes, the watchdog still sees it turn."""
        if self._left:
            return
        self._left = True
        self._notify("STOPPING=1\nSTATUS=finishing what runs")
        try:
            self._drop()
        except OSError as error:
            log.error("the ready file cannot be removed: %s", error)
        self._file = None

    def _drop(self) -> None:
        if self._file is not None:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(self._file)

    def _write(self) -> None:
        if self._file is not None:
            with open(self._file, "w", encoding="ascii") as made:
                made.write(f"{os.getpid()}\n")

    def _renew(self) -> None:
        try:
            self._write()
        except OSError as error:
            log.error("the ready file cannot be renewed: %s", error)

    def _notify(self, text: str) -> None:
        if not self._address:
            return
        # "@" stands for the NUL of an abstract name.
        address = "\0" + self._address[1:] if self._address[0] == "@" else self._address
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as to:
                to.settimeout(NOTIFY_SECONDS)
                to.connect(address)
                to.send(text.encode())
        except OSError as error:
            log.warning("systemd was not told %s: %s", text.partition("\n")[0], error)
