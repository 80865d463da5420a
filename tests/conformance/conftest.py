"""The engines under test. The next engine is one more line in ``ENGINES``."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import apsw
import psycopg
import pytest

from servers.binaries import newest
from servers.shared import shared
from sidework.ids import new_id
from sidework.job import Claimed, JobRow, NewJob, Runner
from sidework.outcome import Failure, Outcome, encode_failure
from sidework.store.opening import open_store
from sidework.store.postgres.looking import RIGHTS
from sidework.store.protocol import Demand, Store

NOW = 1_700_000_000_000


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


class Postgres:
    """The same for PostgreSQL: a schema of its own in a database of the session's server, used by a role
    that has the rights which ``sidework db check`` asks for and no others."""

    own_files = False

    def __init__(self, folder: Path) -> None:
        self._in(shared(newest()).url(), f"{folder.name[:40]}-{os.urandom(4).hex()}")

    def _in(self, database: str, schema: str) -> None:
        self._database, self._schema = database, schema
        self.url = self._made(f"{schema}&lease=4s")

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


_ROLE = """
DO $$ BEGIN CREATE ROLE conformance LOGIN;
EXCEPTION WHEN duplicate_object OR unique_violation THEN NULL; END $$
"""


ENGINES: dict[str, Callable[[Path], Any]] = {"sqlite": Sqlite, "postgres": Postgres}


class Bench:
    """A store with its words made short: jobs in, claims out, outcomes back."""

    def __init__(self, engine: Any) -> None:
        self.engine = engine
        self.stores: list[Store] = []
        self.store = self.open()
        self.worker = self.store.register("host", 1, (), NOW).id
        self.now = NOW

    def open(self) -> Store:
        store: Store = self.engine.open()
        self.stores.append(store)
        return store

    def other(self) -> Store:
        store: Store = self.engine.open_other()
        self.stores.append(store)
        return store

    def close(self) -> None:
        for store in self.stores:
            store.close()

    def put(self, **given: Any) -> bytes:
        job = new(**given)
        (inserted,) = self.store.insert([job], self.now)
        assert inserted.verdict == "stored"
        return job.id

    def claim(
        self, limit: int = 100, runner: Runner = "thread", lanes: tuple[str, ...] = ()
    ) -> list[Claimed]:
        return self.store.turn([], Demand(self.worker, {runner: limit}, lanes), self.now).claimed

    def record(self, *outcomes: Outcome) -> list[bool]:
        return self.store.turn(outcomes, None, self.now).took

    def row(self, job_id: bytes) -> JobRow:
        (row,) = self.store.get([job_id])
        assert row is not None
        return row

    def running(self, **given: Any) -> Claimed:
        """A job that runs; alone in its lane, so that the claim is for it."""
        job_id = self.put(**given)
        (claimed,) = [
            job for kind in ("loop", "thread", "process") for job in self.claim(runner=kind)
        ]
        assert claimed.id == job_id
        return claimed


def new(**given: Any) -> NewJob:
    return NewJob(**{"id": new_id(), "task": "m:f", "args": b"\x01{}", **given})


def outcome(job: Claimed, kind: Any, **given: Any) -> Outcome:
    if kind == "completed":
        given.setdefault("result", b"\x01null")
    if kind in ("retry", "discarded", "crashed"):
        given.setdefault("failure", encode_failure(Failure("ValueError", "no")))
    return Outcome(
        **{"id": job.id, "fence": job.fence, "attempt": job.attempt, "kind": kind, **given}
    )


@pytest.fixture(params=sorted(ENGINES))
def bench(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Bench]:
    made = Bench(ENGINES[request.param](tmp_path))
    yield made
    made.close()
