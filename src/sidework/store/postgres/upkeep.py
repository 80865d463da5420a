"""What an operator does with the database: look, check."""

from __future__ import annotations

from typing import Any

from .connection import Connection, migrations, numbered, rows
from .place import Place

_TABLES = ("jobs", "attempts", "queues", "workers", "chores")


def info(connection: Connection, place: Place) -> dict[str, Any]:
    """Sizes in bytes, jobs by state, schema and settings."""
    schema = place.schema
    sizes = " + ".join(f"pg_total_relation_size('sidework.{name}')" for name in _TABLES)
    ((server, size, version),) = rows(
        connection,
        numbered(
            f"SELECT current_setting('server_version'), {sizes}, "
            "(SELECT max(version) FROM sidework.migrations)",
            schema,
        ),
        [],
    )
    counted = numbered("SELECT state, count(*) FROM sidework.jobs GROUP BY state", schema)
    workers = rows(connection, numbered("SELECT count(*) FROM sidework.workers", schema), [])
    return {
        "engine": "postgresql",
        "url": place.shown,
        "server": server,
        "schema": version,
        "file_bytes": size,
        "jobs": dict(rows(connection, counted, [])),
        "workers": workers[0][0],
    }


def check(connection: Connection, place: Place) -> list[str]:
    """What is wrong; a line each."""
    version = rows(
        connection, numbered("SELECT max(version) FROM sidework.migrations", place.schema), []
    )[0][0]
    if version < len(migrations()):
        return [
            f"schema version {version} is older than this Sidework's {len(migrations())}: "
            "run sidework db migrate"
        ]
    return []


def vacuum(connection: Connection, place: Place) -> None:
    """A plain VACUUM with ANALYZE of each table; it locks out nobody."""
    for name in _TABLES:
        connection.execute(numbered(f"VACUUM (ANALYZE) sidework.{name}", place.schema).text)
