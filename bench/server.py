"""A PostgreSQL of the benchmark's own: durable, with the settings it comes with but for those shown."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

sys.path.append(
    str(Path(__file__).resolve().parent.parent / "tests")
)  # last: it has a postgres of its own

from servers.guardian import processes_of
from servers.postgres import DEFAULTS, Server


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
