"""A PostgreSQL server that runs, as its clients see it: databases, statements, backends."""

from __future__ import annotations

import itertools
import os
from typing import Any

import psycopg
from psycopg import sql

from .endpoint import Endpoint

_numbers = itertools.count(1)


class Running:
    """Everything that does not start or stop it."""

    def __init__(self, endpoint: Endpoint) -> None:
        self.endpoint = endpoint

    def url(self, database: str = "postgres", **parameters: str) -> str:
        return self.endpoint.url(database, **parameters)

    def psql(
        self, statement: sql.SQL | sql.Composed | str, *given: Any, database: str = "postgres"
    ) -> list[tuple[Any, ...]]:
        """Run one statement as the superuser, by itself; its rows."""
        if isinstance(statement, str):
            statement = sql.SQL(statement)
        with psycopg.connect(self.url(database), autocommit=True) as connection:
            cursor = connection.execute(statement, given or None)
            return cursor.fetchall() if cursor.description else []

    def new_database(self, template: str = "template0") -> str:
        """The URL of an empty database, or of a copy of ``template``, to which nobody may be connected."""
        name = f"t{os.getpid()}_{next(_numbers)}"
        self.psql(
            sql.SQL("CREATE DATABASE {} TEMPLATE {}").format(
                sql.Identifier(name), sql.Identifier(template)
            )
        )
        return self.url(name)

    def drop_database(self, url: str) -> None:
        """Whoever is still connected is thrown out."""
        name = psycopg.conninfo.conninfo_to_dict(url)["dbname"]
        self.psql(
            sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(str(name)))
        )

    def kill_backends(self, where: str = "true", *given: Any) -> int:
        """End the connections that ``where`` picks from ``pg_stat_activity``; how many there were."""
        rows = self.psql(
            "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity"
            f" WHERE backend_type = 'client backend' AND pid <> pg_backend_pid() AND ({where})",
            *given,
        )
        return sum(ended for (ended,) in rows)
