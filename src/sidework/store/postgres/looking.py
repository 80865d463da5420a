"""How a database looks to an operator: rights, schema, settings, what holds back its tidying.

Only the catalog is read, so that it works where rights are missing; nothing of the tables but the version.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import psycopg

from ...duration import text_of
from ...errors import StoreError
from ..protocol import Finding
from .connection import Connection, check_version, connect, in_schema, migrations, translate
from .place import Place

RIGHTS = {
    "migrations": ("SELECT",),
    "place": ("SELECT",),
    "jobs": ("SELECT", "INSERT", "UPDATE", "DELETE"),
    "attempts": ("SELECT", "INSERT", "UPDATE", "DELETE"),
    "edges": ("SELECT", "INSERT", "UPDATE", "DELETE"),
    "notes": ("SELECT", "INSERT", "UPDATE", "DELETE"),
    "queues": ("SELECT", "INSERT", "UPDATE"),
    "paused_tasks": ("SELECT", "INSERT", "UPDATE", "DELETE"),
    "workers": ("SELECT", "INSERT", "UPDATE", "DELETE"),
    "chores": ("SELECT", "INSERT", "UPDATE"),
    "periodics": ("SELECT", "INSERT", "UPDATE", "DELETE"),
}
"""Every table of ours, and what workers and clients do with it."""

WORKER_CONNECTIONS = 3
CLIENT_CONNECTIONS = 2
"""The most that a worker and a client process hold: commands, a worker's chores, the pulse. A long
listing opens one more while it runs."""

LONG_SECONDS = 60.0
"""A transaction older than this is told; ten times as old it is a problem."""
_SECONDS = 10.0
_FULL = 0.8

_FACTS = """
SELECT current_user::text AS role, current_database()::text AS database,
       current_setting('server_version') AS version,
       current_setting('server_version_num')::integer AS number,
       pg_backend_pid() AS pid, pg_is_in_recovery() AS standby, getdatabaseencoding()::text AS encoding,
       current_setting('default_transaction_read_only') AS read_only,
       current_setting('fsync') AS fsync, current_setting('full_page_writes') AS pages,
       current_setting('synchronous_commit') AS durable, current_setting('autovacuum') AS autovacuum,
       current_setting('track_counts') AS counts,
       current_setting('max_connections')::integer
       - current_setting('superuser_reserved_connections')::integer
       - coalesce(current_setting('reserved_connections', true), '0')::integer AS allowed,
       (SELECT count(usesysid) FROM pg_stat_activity) AS used,
       (SELECT count(*) FROM pg_stat_activity
        WHERE application_name LIKE 'sidework%' AND datname = current_database()) AS ours,
       to_regnamespace($1)::oid AS namespace
"""
_NAMESPACE = """
SELECT has_schema_privilege($1::oid, 'USAGE'), has_schema_privilege($1::oid, 'CREATE'),
       has_database_privilege(current_database(), 'CREATE')
"""
_TABLES = """
SELECT relname::text, oid, coalesce(reloptions, '{}'),
       ARRAY(SELECT r FROM unnest(ARRAY['SELECT', 'INSERT', 'UPDATE', 'DELETE']) AS r
             WHERE has_table_privilege(oid, r))
FROM pg_class WHERE relnamespace = $1::oid AND relkind = 'r' AND relname = ANY ($2::text[])
"""
_TRANSACTIONS = """
SELECT pid, coalesce(usename::text, '?'), application_name, coalesce(state, backend_type, 'hidden'),
       extract(epoch FROM clock_timestamp() - xact_start)::float8,
       greatest(age(backend_xmin), age(backend_xid))
FROM pg_stat_activity
WHERE (backend_xmin IS NOT NULL OR backend_xid IS NOT NULL) AND pid <> pg_backend_pid()
  AND (datname = current_database() OR datname IS NULL)
  AND (xact_start IS NULL OR xact_start < clock_timestamp() - make_interval(secs => $1::float8))
ORDER BY xact_start LIMIT 5
"""
_PREPARED = """
SELECT gid, owner::text, extract(epoch FROM clock_timestamp() - prepared)::float8, age(transaction)
FROM pg_prepared_xacts WHERE database = current_database()
  AND prepared < clock_timestamp() - make_interval(secs => $1::float8)
ORDER BY prepared LIMIT 5
"""
_SLOTS = """
SELECT slot_name::text, age(xmin) FROM pg_replication_slots WHERE xmin IS NOT NULL AND NOT active
"""


def findings(place: Place, long: float = LONG_SECONDS) -> list[Finding]:
    """All of it. ``long``: seconds after which a transaction is worth a word."""
    connection = connect(place, _SECONDS)
    try:
        with connection:
            return list(_Look(connection, place, long))
    except psycopg.Error as error:
        raise translate(error, place) from error


class _Look:
    def __init__(self, connection: Connection, place: Place, long: float) -> None:
        self._connection = connection
        self._place = place
        self._long = long
        cursor = connection.execute(_FACTS.encode(), [_quoted(place.schema)])
        names = [column.name for column in cursor.description or ()]
        self._facts: dict[str, Any] = dict(zip(names, cursor.fetchone() or (), strict=True))

    def __iter__(self) -> Iterator[Finding]:
        yield from self._server()
        yield from self._schema()
        yield from self._durability()
        yield from self._tidying()

    def _rows(self, sql: str, *given: Any) -> list[tuple[Any, ...]]:
        return self._connection.execute(sql.encode(), given).fetchall()

    def _server(self) -> Iterator[Finding]:
        facts, place = self._facts, self._place
        yield Finding("server", f"PostgreSQL {facts['version']}")
        yield Finding("role", facts["role"])
        yield Finding("lease", text_of(place.lease))
        if facts["standby"] or facts["read_only"] == "on":
            why = "a standby" if facts["standby"] else "read-only by its settings"
            yield Finding("read-only", f"it is {why}", "use the primary", problem=True)
        if facts["encoding"] != "UTF8":
            yield Finding(
                "encoding",
                f"{facts['encoding']}, which cannot hold every text: it is refused",
                "move to a database with UTF8: createdb -E UTF8 -T template0 NAME",
                problem=True,
            )
        if facts["pid"] != self._connection.info.backend_pid:
            yield Finding(
                "pooler",
                "there is one between: no bells, workers and waiting clients look twice a second or more",
                "a URL that leads to the server itself gives them back",
            )
        else:
            yield Finding("pooler", "none")
        free = facts["allowed"] - facts["used"]
        yield Finding(
            "connections",
            f"{facts['used']} of {facts['allowed']} in use, {facts['ours']} by Sidework; a worker takes "
            f"{WORKER_CONNECTIONS}, a client process 1 or {CLIENT_CONNECTIONS}",
            "raise max_connections, or put a pooler between"
            if facts["used"] >= facts["allowed"] * _FULL or free < WORKER_CONNECTIONS
            else "",
            problem=free < WORKER_CONNECTIONS,
        )

    def _schema(self) -> Iterator[Finding]:
        facts, schema = self._facts, self._place.schema
        namespace, role = facts["namespace"], _quoted(facts["role"])
        if namespace is None:
            yield Finding(
                "schema",
                f"there is no schema {schema!r}",
                "run sidework db migrate as a role that may create it",
                problem=True,
            )
            return
        found = {name: given for name, *given in self._rows(_TABLES, namespace, list(RIGHTS))}
        if "migrations" not in found:
            yield Finding(
                "schema",
                f"there are no tables of Sidework in schema {schema!r}",
                "run sidework db migrate",
                problem=True,
            )
            return
        grants = []
        ((usage, _, _),) = self._rows(_NAMESPACE, namespace)
        if not usage:
            grants.append(f"GRANT USAGE ON SCHEMA {_quoted(schema)} TO {role}")
        for table, (_, _, may) in found.items():
            lacks = [right for right in RIGHTS[table] if right not in may]
            if lacks:
                grants.append(f"GRANT {', '.join(lacks)} ON {_quoted(schema)}.{table} TO {role}")
        for grant in grants:
            what = grant.removeprefix("GRANT ").partition(" TO ")[0]
            yield Finding("rights", f"role {facts['role']} lacks {what}", f"{grant};", problem=True)
        if not grants:
            yield Finding("rights", "all that workers and clients need")
        version = len(migrations())
        if usage and "SELECT" in found["migrations"][2]:
            sql = "SELECT coalesce(max(version), 0) FROM sidework.migrations"
            ((version,),) = self._rows(in_schema(sql, schema))
            yield self._version(version)
        yield from self._tables({name: options for name, (_, options, _) in found.items()}, version)

    def _version(self, version: int) -> Finding:
        known = len(migrations())
        advice, problem = "", False
        if version < known:
            advice = "run sidework db migrate"
        elif version > known:
            advice = "a newer Sidework made it: upgrade this one"
        try:
            check_version(version, self._place)
        except StoreError:
            problem = True
        return Finding("schema", f"version {version}, this Sidework has {known}", advice, problem)

    def _tables(self, options: dict[str, list[str]], version: int) -> Iterator[Finding]:
        """What the migrations up to this version set for each table, against what is set: a migration
        that is due brings its own."""
        schema = _quoted(self._place.schema)
        wanted = table_settings(version)
        for table in table_settings():
            has = dict(one.split("=", 1) for one in options.get(table, []))
            if has.get("autovacuum_enabled", "true") in ("false", "off", "0", "no"):
                yield Finding(
                    "autovacuum",
                    f"it is off for {table}: dead rows stay, and claims step over them",
                    f"ALTER TABLE {schema}.{table} RESET (autovacuum_enabled);",
                    problem=True,
                )
            lacks = {name: to for name, to in wanted.get(table, {}).items() if name not in has}
            if lacks and table in options:
                given = ", ".join(f"{name} = {value}" for name, value in lacks.items())
                yield Finding(
                    "autovacuum",
                    f"{table} lacks {len(lacks)} of our settings",
                    f"ALTER TABLE {schema}.{table} SET ({given});",
                )

    def _durability(self) -> Iterator[Finding]:
        facts = self._facts
        on = "on, then restart or reload the server"
        if facts["fsync"] != "on":
            yield Finding(
                "fsync",
                "off: a power cut may damage the whole database",
                f"set fsync = {on}",
                problem=True,
            )
        if facts["pages"] != "on":
            yield Finding(
                "full_page_writes",
                "off: a power cut may leave torn pages",
                f"set full_page_writes = {on}",
                problem=True,
            )
        if facts["durable"] == "off":
            yield Finding(
                "synchronous_commit",
                "off: what was acknowledged within the last second may be lost with the server",
                f"ALTER ROLE {_quoted(facts['role'])} SET synchronous_commit = on;",
                problem=True,
            )

    def _tidying(self) -> Iterator[Finding]:
        facts = self._facts
        for name, what in (("autovacuum", "autovacuum"), ("counts", "track_counts")):
            if facts[name] != "on":
                yield Finding(
                    what,
                    "off on this server: dead rows stay for ever, and claims step over them",
                    f"ALTER SYSTEM SET {what} = on; SELECT pg_reload_conf();",
                    problem=True,
                )
        pins = "dead rows that are younger stay, and claims step over them"
        for pid, user, application, state, age, behind in self._rows(_TRANSACTIONS, self._long):
            old = "of unknown age (GRANT pg_read_all_stats shows it)"
            old = old if age is None else f"{text_of(round(age))} old"
            yield Finding(
                "transaction",
                f"pid {pid}, {user}, {application or 'no name'}, {state}: {old}, {behind:,} transactions "
                f"behind; {pins}",
                f"end it: SELECT pg_terminate_backend({pid});",
                problem=age is not None and age >= self._long * 10,
            )
        for gid, owner, age, behind in self._rows(_PREPARED, self._long):
            name = "'" + gid.replace("'", "''") + "'"
            yield Finding(
                "prepared",
                f"transaction {name} of {owner}: {text_of(round(age))} old, {behind:,} transactions "
                f"behind; {pins}, and it holds its locks",
                f"COMMIT PREPARED {name}; or ROLLBACK PREPARED {name};",
                problem=age >= self._long * 10,
            )
        for slot, behind in self._rows(_SLOTS):
            yield Finding(
                "replication",
                f"slot {slot} is used by nobody and {behind:,} transactions behind; {pins}",
                f"SELECT pg_drop_replication_slot('{slot}');",
                problem=True,
            )


def table_settings(version: int | None = None) -> dict[str, dict[str, str]]:
    """What the migrations, up to a version or all, set for the storage of each table."""
    wanted: dict[str, dict[str, str]] = {}
    for text in migrations()[:version]:
        for table, given in re.findall(r"ALTER TABLE sidework\.(\w+) SET \(([^)]*)\)", text):
            pairs = (one.split("=") for one in given.split(","))
            wanted.setdefault(table, {}).update(
                {name.strip(): value.strip() for name, value in pairs}
            )
    return wanted


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'
