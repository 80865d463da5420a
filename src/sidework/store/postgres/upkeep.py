"""What an operator does with the database: look, check, tidy."""

from __future__ import annotations

from typing import Any

import psycopg

from ...errors import StoreRefused
from ...state import FINAL
from .connection import Connection, Sql, numbered, rows, settings, statement
from .looking import RIGHTS
from .place import Place

EXACT = 100_000
"""So many jobs are counted; where there are more, and nothing but the table itself could be counted,
the planner's statistics are believed."""
_PER_QUEUE = 10_000
_QUEUES = 100

_TABLES = """
SELECT c.relname::text AS table, pg_total_relation_size(c.oid) AS bytes, s.n_live_tup AS rows,
       s.n_dead_tup AS dead,
       (extract(epoch FROM greatest(s.last_vacuum, s.last_autovacuum)) * 1000)::bigint AS vacuumed_at,
       (extract(epoch FROM greatest(s.last_analyze, s.last_autoanalyze)) * 1000)::bigint AS analyzed_at
FROM pg_class AS c LEFT JOIN pg_stat_user_tables AS s ON s.relid = c.oid
WHERE c.relnamespace = to_regnamespace(:schema) AND c.relkind = 'r' AND c.relname = ANY (:tables::text[])
ORDER BY bytes DESC, c.relname
"""
_INDEXES = """
SELECT i.relname::text AS index, pg_relation_size(i.oid) AS bytes, i.reltuples::bigint AS entries
FROM pg_class AS c JOIN pg_index AS x ON x.indrelid = c.oid JOIN pg_class AS i ON i.oid = x.indexrelid
WHERE c.relnamespace = to_regnamespace(:schema) AND c.relname = ANY (:tables::text[])
ORDER BY bytes DESC, i.relname
"""
_AROUND = """
SELECT current_setting('server_version') AS server,
       (SELECT max(version) FROM sidework.migrations) AS schema,
       (SELECT count(*) FROM sidework.workers) AS workers,
       (SELECT count(*) FROM pg_stat_activity
        WHERE application_name LIKE 'sidework%' AND datname = current_database()) AS connections,
       coalesce((SELECT extract(epoch FROM max(clock_timestamp() - xact_start))
                 FROM pg_stat_activity
                 WHERE datname = current_database() AND pid <> pg_backend_pid()), 0)::float8
           AS oldest_transaction_s,
       coalesce((SELECT max(greatest(age(backend_xmin), age(backend_xid))) FROM pg_stat_activity
                 WHERE (datname = current_database() OR datname IS NULL)
                   AND pid <> pg_backend_pid()), 0) AS xmin_age
"""
_FEW = f"SELECT count(*) FROM (SELECT FROM sidework.jobs LIMIT {EXACT + 1}) AS part"
_COUNTED = "SELECT lane, state, count(*), min(due_at) FROM sidework.jobs GROUP BY lane, state"
# Each part is served by a partial index, and bounded. Of a queue with more than the bound, the oldest
# is told of those that are claimed first.
_LIVE = f"""
WITH RECURSIVE lanes (lane) AS (
    (SELECT lane FROM sidework.jobs WHERE state = 'available' ORDER BY lane LIMIT 1)
    UNION ALL
    SELECT (SELECT job.lane FROM sidework.jobs AS job
            WHERE job.state = 'available' AND job.lane > lanes.lane ORDER BY job.lane LIMIT 1)
    FROM lanes WHERE lane IS NOT NULL)
(SELECT lane, 'available', part.count, part.oldest FROM lanes CROSS JOIN LATERAL
     (SELECT count(*) AS count, min(due_at) AS oldest FROM
          (SELECT due_at FROM sidework.jobs AS job WHERE job.state = 'available' AND job.lane = lanes.lane
           LIMIT {_PER_QUEUE}) AS first) AS part
 WHERE lane IS NOT NULL LIMIT {_QUEUES})
UNION ALL
SELECT lane, state, count(*), min(due_at) FROM
    (SELECT lane, state, due_at FROM sidework.jobs WHERE state IN ('scheduled', 'retryable')
     LIMIT {EXACT}) AS waiting
GROUP BY lane, state
UNION ALL
SELECT lane, 'running', count(*), min(due_at) FROM
    (SELECT lane, due_at FROM sidework.jobs WHERE state = 'running' LIMIT {EXACT}) AS running
GROUP BY lane
"""
_ESTIMATED = """
SELECT value, (frequency * (SELECT greatest(reltuples, 0) FROM pg_class
                            WHERE oid = to_regclass(:jobs)))::bigint
FROM pg_stats, unnest(most_common_vals::text::text[], most_common_freqs) AS common (value, frequency)
WHERE schemaname = :schema AND tablename = 'jobs' AND attname = 'state'
"""


def info(connection: Connection, place: Place) -> dict[str, Any]:
    """Sizes in bytes, jobs by state, what hinders, and how a claim is planned. Takes as long with a
    million jobs as with some thousands: ``estimated`` says that not all are counted."""
    around = _named(connection, place, _AROUND)[0]
    tables = _named(connection, place, _TABLES)
    counted, states, estimated = _jobs(connection, place)
    waiting = [one for one in sorted(counted) if one[1] not in (*FINAL, "running")]
    available = [oldest for _, state, _, oldest in waiting if state == "available"]
    plan = _claim_plan(connection, place, waiting[0][0] if waiting else "default")
    return {
        "engine": "postgresql",
        "url": place.shown,
        "server": around["server"],
        "schema": around["schema"],
        "file_bytes": sum(one["bytes"] for one in tables),
        "jobs": states,
        "estimated": estimated,
        "oldest_available_at": min(available, default=None),
        "workers": around["workers"],
        "connections": around["connections"],
        "oldest_transaction_s": round(around["oldest_transaction_s"], 1),
        "xmin_age": around["xmin_age"],
        "claim": _claim_line(plan),
        "claim_plan": plan and plan[0]["Plan"],
        "backlog": [
            {"queue": lane, "state": state, "jobs": count, "oldest_due_at": oldest}
            for lane, state, count, oldest in waiting
        ],
        "tables": tables,
        "indexes": _named(connection, place, _INDEXES),
    }


def _named(connection: Connection, place: Place, text: str) -> list[dict[str, Any]]:
    sql = numbered(text, place.schema)
    given = {"schema": f'"{place.schema}"', "tables": list(RIGHTS)}
    cursor = connection.execute(sql.text, sql.values(given), binary=True)
    names = [column.name for column in cursor.description or ()]
    return [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]


def _jobs(
    connection: Connection, place: Place
) -> tuple[list[tuple[str, str, int, int]], dict[str, int], bool]:
    """By queue and state; by state; and whether some of it is an estimate."""
    ((few,),) = rows(connection, numbered(_FEW, place.schema), [])
    small = few <= EXACT
    if small:
        found = rows(connection, numbered(_COUNTED, place.schema), [])
    else:
        with connection.transaction():
            connection.execute(*settings(local=True))  # or it may read the whole table
            found = rows(connection, numbered(_LIVE, place.schema), [])
    counted = [(lane, state, count, oldest) for lane, state, count, oldest in found]
    states: dict[str, int] = {}
    for _, state, count, _ in counted:
        states[state] = states.get(state, 0) + count
    if not small:
        sql = numbered(_ESTIMATED, place.schema)
        values = sql.values({"jobs": f'"{place.schema}".jobs', "schema": place.schema})
        for state, count in rows(connection, sql, values):
            # A count that met its bound is less than there is; one that did not is all.
            if state in FINAL or states.get(state, 0) >= _PER_QUEUE:
                states[state] = max(count, states.get(state, 0))
    return counted, states, not small


def _claim_plan(connection: Connection, place: Place, lane: str) -> Any:
    """How the server would run a claim now, under the settings of a worker; ``None`` without the right."""
    sql = statement("claim", place.schema)
    given = {"lane": lane, "runner": "thread", "limit": 100, "worker": 0, "now": None}
    values = sql.values({**given, "limited": False})
    try:
        with connection.transaction():
            connection.execute(*settings(local=True))
            explained = Sql(b"EXPLAIN (FORMAT JSON) " + sql.text, sql.names)
            return rows(connection, explained, values)[0][0]
    except psycopg.errors.InsufficientPrivilege:
        return None


def _claim_line(plan: Any) -> str:
    if plan is None:
        return "the role may not claim"
    used: list[str] = []

    def walk(node: dict[str, Any]) -> None:
        for child in node.get("Plans", ()):
            walk(child)
        if node["Node Type"] == "Sort":
            used.append("a sort")
        # What it reads of small tables is not told.
        if node["Node Type"] == "Seq Scan" and node["Relation Name"] == "jobs":
            used.append("THE WHOLE TABLE")
        elif node.get("Index Name", "").startswith("jobs_"):
            used.append(node["Index Name"])

    walk(plan[0]["Plan"])
    return "by " + ", then ".join(dict.fromkeys(used))


def check(connection: Connection, place: Place) -> list[str]:
    """Read every row whole, and look for what contradicts itself; with the extension amcheck, and the right
    to use it, the indexes too. A line for each thing that is damaged."""
    damage: list[str] = []
    for table in RIGHTS:
        sql = numbered(f"SELECT sum(length(t::text)) FROM sidework.{table} AS t", place.schema)
        try:
            rows(connection, sql, [])
        except (psycopg.errors.DataCorrupted, psycopg.errors.IndexCorrupted) as error:
            damage.append(f"table {table}: {error.diag.message_primary}")
        except psycopg.errors.InternalError_ as error:
            damage.append(f"table {table}: {error.diag.message_primary}")
    for what, where in _CONTRADICTIONS.items():
        sql = numbered(f"SELECT count(*) FROM sidework.jobs WHERE {where}", place.schema)
        ((count,),) = rows(connection, sql, [])
        if count:
            damage.append(f"{count:,} jobs {what}")
    return damage + _damaged_indexes(connection, place)


_FINAL = ", ".join(f"'{state}'" for state in sorted(FINAL))
_CONTRADICTIONS = {
    "are final and have no end, or an end and are not final": (
        f"(state IN ({_FINAL})) <> (finished_at IS NOT NULL)"
    ),
    "run and have no worker": "state = 'running' AND worker IS NULL",
}


def _damaged_indexes(connection: Connection, place: Place) -> list[str]:
    ((usable,),) = connection.execute(
        b"SELECT coalesce(has_function_privilege(to_regprocedure('bt_index_check(regclass)')::oid, "
        b"'EXECUTE'), false)"
    ).fetchall()
    damage = []
    for one in _named(connection, place, _INDEXES) if usable else ():
        name = f'"{place.schema}"."{one["index"]}"'
        try:
            connection.execute(b"SELECT bt_index_check($1::regclass)", [name])
        except psycopg.errors.IndexCorrupted as error:
            damage.append(f"index {one['index']}: {error.diag.message_primary}")
    return damage


def vacuum(connection: Connection, place: Place) -> None:
    """A plain VACUUM with ANALYZE of each table; it locks out nobody. ``StoreRefused`` for a role to whom
    the tables do not belong: the server would pass over them with a warning."""
    sql = numbered(
        "SELECT bool_and(pg_has_role(relowner, 'USAGE')) FROM pg_class "
        "WHERE relnamespace = to_regnamespace(:schema) AND relname = ANY (:tables::text[])",
        place.schema,
    )
    values = sql.values({"schema": f'"{place.schema}"', "tables": list(RIGHTS)})
    if rows(connection, sql, values) != [(True,)]:
        raise StoreRefused(
            f"the tables in {place.shown} belong to another role, which alone may vacuum them; "
            "autovacuum does it all the same"
        )
    for name in RIGHTS:
        connection.execute(numbered(f"VACUUM (ANALYZE) sidework.{name}", place.schema).text)
