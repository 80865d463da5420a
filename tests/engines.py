"""The engines under test, each a place of its own. The next engine is one more line in ``ENGINES``."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import apsw
import psycopg

from servers.binaries import newest
from servers.shared import shared
from sidework.store.opening import open_store
from sidework.store.postgres.looking import RIGHTS
from sidework.store.protocol import Store


class Sqlite:
    """What the suite needs of an engine, beyond the protocol."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.url = f"sqlite:///{folder}/jobs.db"
        self.other_url = f"sqlite:///{folder}/other.db"

    own_files = True

    def open(self) -> Store:
        return open_store(self.url)

    def open_other(self) -> Store:
        """A second store, empty at first, for what goes from store to store."""
        return open_store(self.other_url)

    @contextmanager
    def elsewhere(self) -> Iterator[Sqlite]:
        """Another database, with a store of the same name in it."""
        folder = self._folder / "elsewhere"
        folder.mkdir()
        yield Sqlite(folder)

    @contextmanager
    def transaction(self) -> Iterator[Any]:
        """A caller's own connection, inside a transaction; committed at the end unless it raises."""
        with self.autocommit() as connection, connection:
            yield connection

    @contextmanager
    def autocommit(self) -> Iterator[Any]:
        """A caller's own connection in which every statement is a transaction of its own."""
        connection = apsw.Connection(self.url.removeprefix("sqlite:///"))
        connection.set_busy_timeout(10_000)
        try:
            yield connection
        finally:
            connection.close()

    def remove(self) -> None:
        """Nothing: its files go with the folder."""


class Postgres:
    """The same for PostgreSQL: a schema of its own in a database of the session's server, used by a role
    that has the rights which ``sidework db check`` asks for and no others."""

    own_files = False

    def __init__(self, folder: Path) -> None:
        self._in(shared(newest()).url(), f"{folder.name[:40]}-{os.urandom(4).hex()}")

    def _in(self, database: str, schema: str) -> None:
        self._database, self._schema = database, schema
        self.url = self._made(f"{schema}&lease=4s")
        self.owner_url = f"{database}&schema={schema}&lease=4s"

    def _made(self, schema: str) -> str:
        """Make the schema as its owner; the URL of the role that uses it."""
        store = open_store(f"{self._database}&schema={schema}")
        store.migrate()
        store.close()
        name = schema.partition("&")[0]
        with psycopg.connect(self._database) as connection:
            connection.execute(_ROLE)
            connection.execute(f'GRANT USAGE ON SCHEMA "{name}" TO conformance')  # type: ignore[arg-type]
            for table, rights in RIGHTS.items():
                connection.execute(
                    f'GRANT {", ".join(rights)} ON "{name}".{table} TO conformance'  # type: ignore[arg-type]
                )
        return f"{self._database.replace('//postgres@', '//conformance@')}&schema={schema}"

    def open(self) -> Store:
        return open_store(self.url)

    def open_other(self) -> Store:
        return open_store(self._made(f"{self._schema}-other"))

    @contextmanager
    def elsewhere(self) -> Iterator[Postgres]:
        server = shared(newest())
        database = server.new_database()
        other = Postgres.__new__(Postgres)
        other._in(database, self._schema)
        yield other
        server.drop_database(database)

    @contextmanager
    def transaction(self) -> Iterator[Any]:
        with psycopg.connect(self._database) as connection:
            yield connection

    @contextmanager
    def autocommit(self) -> Iterator[Any]:
        with psycopg.connect(self._database, autocommit=True) as connection:
            yield connection

    def remove(self) -> None:
        """Drop the schema: for tests that make many."""
        with self.autocommit() as connection:
            connection.execute(f'DROP SCHEMA "{self._schema}" CASCADE')


_ROLE = """
DO $$ BEGIN CREATE ROLE conformance LOGIN;
EXCEPTION WHEN duplicate_object OR unique_violation THEN NULL; END $$
"""


ENGINES: dict[str, Callable[[Path], Any]] = {"sqlite": Sqlite, "postgres": Postgres}
