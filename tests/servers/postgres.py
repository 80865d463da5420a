"""A PostgreSQL server of the tests' own: made in a temporary folder, ended with its owner.

On a Unix socket; TCP only after ``listen``. By default it does not wait for the disk (``fsync`` off):
its data lives no longer than the test. ``durable=True`` is for tests of what survives.
"""

from __future__ import annotations

import signal
import socket
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Literal

from .account import account
from .binaries import Binaries, newest
from .endpoint import Endpoint
from .guardian import end, processes_of, send
from .home import Home
from .running import Running
from .waiting import PATIENCE, until

Mode = Literal["smart", "fast", "immediate", "kill"]
SIGNALS: dict[Mode, int] = {
    "smart": signal.SIGTERM,
    "fast": signal.SIGINT,
    "immediate": signal.SIGQUIT,
}
PASSWORD = "of-the-tests"
DEFAULTS = {
    "listen_addresses": "",
    "max_connections": "200",
    # Files in the data folder: nothing of it is left in /dev/shm, however the server ends.
    "dynamic_shared_memory_type": "mmap",
    "log_line_prefix": "%m [%p] %a ",
}
HASTY = {"fsync": "off", "full_page_writes": "off"}
"""A commit is in the system's hands when it is acknowledged: that survives any end of the server, only
not the machine's. (``synchronous_commit`` off would not survive ``stop("kill")``.)"""


class Server(Running):
    """For ``with``: made and started at its begin, gone at its end.

    ``folder`` holds its data (default: a temporary one); ``settings`` are PostgreSQL's; ``auth`` is
    ``trust`` or ``scram-sha-256``; ``within`` is a prefix of its command (another network, say).
    """

    def __init__(
        self,
        folder: Path | None = None,
        binaries: Binaries | None = None,
        settings: Mapping[str, str] | None = None,
        *,
        durable: bool = False,
        auth: str = "trust",
        within: Sequence[str] = (),
        home: Home | None = None,
    ) -> None:
        self.binaries = binaries or newest()
        self.home = home or Home(*([folder / "data"] if folder else []))
        self.data = (folder or self.home.path) / "data"
        self.log = self.home.path / "log"
        self.settings = {**DEFAULTS, **({} if durable else HASTY), **(settings or {})}
        self.within = tuple(within)
        self.process: subprocess.Popen[bytes] | None = None
        password = "" if auth == "trust" else PASSWORD
        super().__init__(Endpoint(str(self.home.path), 5432, password=password))
        self._make(auth)

    def _make(self, auth: str) -> None:
        self.data.mkdir(mode=0o700, parents=True)
        account().give(self.data)
        account().give(self.home.path)
        secret = self.home.path / "password"
        secret.write_text(PASSWORD)
        made = subprocess.run(
            [
                *account().prefix, self.binaries["initdb"], "--pgdata", self.data, "--no-sync",
                "--username", "postgres", "--pwfile", secret, "--auth", auth,
                "--encoding", "UTF8", "--no-locale", "--no-instructions",
            ],
            cwd=self.data, capture_output=True, text=True,
        )  # fmt: skip
        if made.returncode:
            raise RuntimeError(f"initdb in {self.data} failed: {made.stderr.strip()}")
        with open(self.data / "pg_hba.conf", "a") as rules:
            rules.write(f"host all all all {auth}\n")

    def __enter__(self) -> Server:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """End it at once and remove its folders."""
        self.home.close()
        if self.process is not None:
            self.process.wait()

    # Coming and going ---------------------------------------------------------------------------

    def start(self) -> None:
        """Start it and wait until it takes connections."""
        options = {"port": str(self.endpoint.port), **self.settings}
        self.process = process = self.home.start(
            [
                *self.within, *account().prefix, self.binaries["postgres"], "-D", str(self.data),
                "-k", str(self.home.path), *(f"--{name}={value}" for name, value in options.items()),
            ],
            self.log,
            cwd=self.data,
        )  # fmt: skip

        def ready() -> bool:
            if process.poll() is not None:
                raise RuntimeError(f"PostgreSQL did not start:\n{self.said[-2000:]}")
            try:
                lines = (self.data / "postmaster.pid").read_text().splitlines()
            except FileNotFoundError:
                return False
            return len(lines) > 7 and lines[0] == str(process.pid) and lines[7].strip() == "ready"

        until(ready, f"PostgreSQL in {self.data}")

    @property
    def said(self) -> str:
        """Its log."""
        return self.log.read_text("utf-8", "replace")

    def stop(self, mode: Mode = "fast") -> None:
        """Wait for the clients (smart), throw them out (fast), stop as in a crash (immediate), or kill
        all its processes with no word to anybody (kill)."""
        assert self.process is not None, "not started"
        if mode == "kill":
            end(self.data, first=signal.SIGKILL)
        else:
            self.process.send_signal(SIGNALS[mode])
            self.resume()
        self.process.wait(PATIENCE)
        self.process = None

    def restart(self, mode: Mode = "fast") -> None:
        self.stop(mode)
        self.start()

    def listen(self, port: int = 0, address: str = "127.0.0.1") -> Endpoint:
        """Take TCP connections as well, from its next start on, which is now if it runs. Where it is
        then reached; by default on a free port."""
        if not port:
            with socket.socket() as probe:
                probe.bind(("127.0.0.1", 0))
                port = probe.getsockname()[1]
        self.settings["listen_addresses"] = address
        self.endpoint = self.endpoint.at(self.endpoint.host, port)
        if self.process is not None:
            self.restart()
        return self.endpoint.at(address, port)

    # A server that hangs ------------------------------------------------------------------------

    def pause(self) -> None:
        """Stop its processes where they are: sockets stay open, nothing answers."""
        stopped: set[int] = set()
        while fresh := [each for each in processes_of(self.data) if each.pid not in stopped]:
            send(signal.SIGSTOP, fresh)
            stopped |= {each.pid for each in fresh}

    def resume(self) -> None:
        send(signal.SIGCONT, processes_of(self.data))
