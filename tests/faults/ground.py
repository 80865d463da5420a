"""Where the stores of a row are: files of its folders, or databases of a server that is the row's own."""

from __future__ import annotations

from pathlib import Path
from types import TracebackType
from typing import Literal, Protocol
from urllib.parse import urlsplit

from servers.endpoint import Endpoint
from servers.postgres import Server
from sidework.store.postgres.engine import PostgresStore

Engine = Literal["sqlite", "postgres"]
LEASE = 5.0
"""Seconds, of every worker on PostgreSQL."""
SCHEMA = "faults"


class Reached(Protocol):
    """The server itself, or what stands before it."""

    @property
    def endpoint(self) -> Endpoint: ...


class Ground:
    """For ``with``. ``server`` is there on PostgreSQL only; it waits for the disk, as in earnest."""

    server: Server

    def __init__(self, engine: Engine) -> None:
        self.engine = engine

    def __enter__(self) -> Ground:
        if self.engine == "postgres":
            self.server = Server(durable=True).__enter__()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self.engine == "postgres":
            self.server.close()

    def store(self, folder: Path, *, migrated: bool = True) -> str:
        """The URL of a new store, for an app in this folder."""
        if self.engine == "sqlite":
            return str(folder / "jobs.db")
        # A database for each: the tables of the programs' own lie beside the schema.
        url = url_of(self.server, database_of(self.server.new_database()))
        if migrated:
            store = PostgresStore(url)
            store.migrate()
            store.close()
        return url


def url_of(there: Reached, database: str) -> str:
    """The same store, as it is reached there."""
    return there.endpoint.url(database, schema=SCHEMA, lease=f"{LEASE:g}s")


def database_of(url: str) -> str:
    """Its name."""
    return urlsplit(url).path[1:]
