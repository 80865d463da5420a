"""A database for the tests of the PostgreSQL engine's parts."""

from __future__ import annotations

from collections.abc import Iterator

import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict

from servers.running import Running
from sidework.store.postgres.engine import PostgresStore


class Database:
    """An empty database, in the words of each driver."""

    def __init__(self, url: str) -> None:
        self.conninfo = url
        parts = conninfo_to_dict(url)
        self.host = str(parts["host"])
        self.port = int(parts["port"] or 5432)
        self.user = str(parts["user"])
        self.database = str(parts["dbname"])

    def url(self, scheme: str) -> str:
        return self.conninfo.replace("postgresql", scheme, 1)

    def sql(self, text: str) -> list[tuple[object, ...]]:
        """Run statements in a transaction of their own; the rows of the last."""
        with psycopg.connect(self.conninfo, autocommit=True) as connection:
            cursor = connection.execute(text)  # type: ignore[call-overload]
            return cursor.fetchall() if cursor.description else []


@pytest.fixture(scope="session")
def server(postgres: Running) -> Iterator[Database]:
    url = postgres.new_database()
    yield Database(url)
    postgres.drop_database(url)


@pytest.fixture
def store(database: str) -> Iterator[PostgresStore]:
    """A store with its tables, on a database of the test's own."""
    made = PostgresStore(database)
    made.migrate()
    yield made
    made.close()
