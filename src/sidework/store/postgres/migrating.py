"""The schema, step by step: explicit, under a lock, printed before it is run if asked."""

from __future__ import annotations

import psycopg

from ...crashpoint import reach
from ...errors import SchemaMismatch, StoreRefused
from .connection import Connection, in_schema, migrations
from .place import Place
from .session import Session

_LOCK = "SELECT pg_advisory_xact_lock(hashtextextended('sidework:' || $1, 0))"
"""Held to the end of the transaction: also through a pooler, and let go by whoever dies."""


def script(schema: str, since: int = 0) -> str:
    """All that is to be run from version ``since`` on, as one script for psql."""
    steps = [
        f"-- version {number}\n{in_schema(step, schema)}{_mark(schema, number)}"
        for number, step in enumerate(migrations(), 1)
        if number > since
    ]
    head = f'CREATE SCHEMA IF NOT EXISTS "{schema}";\n{_table(schema)};\n' if since == 0 else ""
    return f"BEGIN;\n{head}{''.join(steps)}COMMIT;\n" if steps else ""


def migrate(session: Session, place: Place) -> list[int]:
    """Bring the schema to what this code knows; the versions that were applied.

    One transaction: when it fails, or whoever runs it dies, nothing of it is there. Two at once take
    turns, and the second finds nothing to do.
    """
    session.migrating = True
    try:
        return session.write(lambda connection: _steps(connection, place))
    finally:
        session.migrating = False
        session.close()


def _steps(connection: Connection, place: Place) -> list[int]:
    connection.execute(_LOCK.encode(), [place.schema])
    # A statement that waits for a busy table would have all who come after it wait, too.
    connection.execute(b"SELECT set_config('lock_timeout', '5s', true)")
    there = connection.execute(
        b"SELECT to_regnamespace($1) IS NOT NULL", [f'"{place.schema}"']
    ).fetchone()
    if there == (False,):
        try:
            connection.execute(f'CREATE SCHEMA "{place.schema}"'.encode())
        except psycopg.errors.InsufficientPrivilege:
            raise StoreRefused(
                f"the role may not create schema {place.schema!r} in {place.shown}: have its owner run "
                f'CREATE SCHEMA "{place.schema}" AUTHORIZATION <role>, or print the script with --sql'
            ) from None
    connection.execute(_table(place.schema).encode())
    sql = in_schema("SELECT coalesce(max(version), 0) FROM sidework.migrations", place.schema)
    row = connection.execute(sql.encode()).fetchone()
    version: int = 0 if row is None else row[0]
    known = migrations()
    if version > len(known):
        raise SchemaMismatch(
            f"{place.shown} has schema version {version}, this Sidework knows {len(known)}: upgrade Sidework"
        )
    applied = []
    for number, step in enumerate(known, 1):
        if number > version:
            connection.execute(in_schema(step, place.schema).encode())
            connection.execute(_mark(place.schema, number).encode())
            applied.append(number)
    reach("migration: before commit")
    return applied


def _table(schema: str) -> str:
    return (
        f'CREATE TABLE IF NOT EXISTS "{schema}".migrations (version integer NOT NULL PRIMARY KEY, '
        "applied_at timestamptz NOT NULL DEFAULT now())"
    )


def _mark(schema: str, number: int) -> str:
    return f'INSERT INTO "{schema}".migrations (version) VALUES ({number});\n'
