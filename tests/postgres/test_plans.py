"""How PostgreSQL runs each statement, on fresh, full and bloated tables: by its index, and bounded.

The planner goes by statistics, which are of yesterday: none, those of an empty table, those of a full one.
Whatever they say, and whether it plans for the values given or once for all, a statement reads what it
asks for and no more. Blocks are counted, not milliseconds.

``SIDEWORK_PLAN_ROWS=1000000`` makes the tables larger than the tests do.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import UUID

import psycopg
import pytest
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict

from servers.running import Running
from sidework.store.postgres.bounds import EVER
from sidework.store.postgres.connection import settings, statement
from sidework.store.postgres.engine import PostgresStore

FOLDER = Path(settings.__code__.co_filename).parent / "sql"
ROWS = int(os.environ.get("SIDEWORK_PLAN_ROWS", "100000"))
AVAILABLE, OTHERS = ROWS // 10, 200
"""Jobs that wait, and jobs of each other state that matters; the rest are completed."""
MANY = 50
"""Rows that one statement is asked for."""
NOW = 2_000_000

TABLES = ["fresh", "full", "full, analyzed", "bloated", "bloated, analyzed"]
MODES = {
    "its own plan": ("session", "force_custom_plan"),
    "one plan for all": ("session", "force_generic_plan"),
    "behind a pooler": ("transaction", "auto"),
}


@dataclass
class Asked:
    """What a statement is asked, the indexes that may serve it, and the blocks that it may touch: for
    each row that comes of it, and besides. ``sorts``: what it has read up to a bound, by lane or by job;
    ``joins``: with one another the rows that two of its parts have brought."""

    values: dict[str, Any] = field(default_factory=dict)
    indexes: set[str] = field(default_factory=set)
    per_row: int = 0
    besides: int = 60
    sorts: bool = False
    joins: bool = False


BY_KEY = {"jobs_pkey"}
EDGES = {"edges_pkey", "edges_open", "edges_child"}
WAITED = {*BY_KEY, *EDGES}
# An update writes a new version of the row and an entry into each index that the row is in (seven of
# them, at most four levels deep).
WRITES = 45


def asked(picks: dict[str, list[tuple[UUID, int]]]) -> dict[str, list[Asked]]:
    """By statement; ``picks`` are jobs (id, fence) by state."""

    def ids(state: str) -> list[UUID]:
        return [id_ for id_, _ in picks[state][:MANY]] or [UUID(int=5)]

    def fences(state: str) -> list[int]:
        return [fence for _, fence in picks[state][:MANY]] or [1]

    one, final = ids("running")[0], ids("completed")[0]
    claims: dict[str, Any] = {"id": ids("running"), "fence": fences("running")}
    count = len(claims["id"])
    claims["attempt"] = [1] * count
    ends = {
        **claims, "kind": ["retry"] * count, "delay": [5] * count, "note": ["n"] * count,
        "alone": [False] * count, "failure": [b"f"] * count, "now": NOW, "max_crashes": 3,
    }  # fmt: skip
    told = {"id": claims["id"], "fence": claims["fence"], "number": [1] * count}
    claim = {
        "lane": "default", "runner": "thread", "limit": MANY, "worker": 7, "now": NOW, "limited": False,
    }  # fmt: skip
    of_claim = {"jobs_available", "queues_pkey", "paused_tasks_pkey", *BY_KEY}
    whole = {"above": [2**31 - 1], "priority": [-(2**31)], "due_at": [EVER], "after": [UUID(int=0)]}
    middle = {
        "above": [2**31 - 1, 0], "priority": [0, -(2**31)], "due_at": [1_000_100, EVER],
        "after": [UUID(int=0)] * 2,
    }  # fmt: skip
    turns = {"now": NOW, "limit": MANY, "since": EVER}
    return {
        "block": [Asked({"id": ids("available"), "pending": 1}, BY_KEY, WRITES)],
        "calls": [Asked({"id": ids("completed")}, {*WAITED, "attempts_pkey"}, 20)],
        "calls_left": [Asked({"id": ids("completed")}, EDGES, WRITES)],
        "edges": [Asked({"id": ids("completed")}, WAITED, 10)],
        "edges_ended": [Asked({"parent": ids("completed"), "limit": MANY}, WAITED, 10)],
        "edges_open": [
            Asked(
                {"parent": UUID(int=0), "child": UUID(int=0), "limit": MANY},
                {*WAITED, "queues_pkey"}, 10,
            )
        ],
        "hold": [Asked({"id": final}, BY_KEY)],
        "hold_whole": [Asked({"id": final}, BY_KEY)],
        "inputs": [
            Asked({"child": ids("completed"), "most": 10**6}, {*WAITED, "attempts_pkey"}, 15)
        ],
        "insert_edges": [
            Asked(
                {"parent": ids("running"), "child": ids("running"), "policy": ["call"] * count,
                 "done": [False] * count},
                {"edges_pkey"}, 20,
            )
        ],
        "needed": [Asked({"id": final}, WAITED)],
        "parents": [Asked({"id": ids("completed")}, BY_KEY, 20, joins=True)],
        "reopen_inputs": [Asked({"id": final}, WAITED)],
        "reopen_outputs": [Asked({"id": final}, WAITED)],
        "resolve": [
            Asked(
                {"parent": ids("completed"), "child": ids("running"), "now": NOW},
                WAITED, WRITES, sorts=True, joins=True,
            )
        ],
        "aside": [Asked({}, {"jobs_aside", "paused_tasks_pkey"})],
        "beat": [Asked({"worker": 7, "now": None}, {"workers_pkey"})],
        "bring_back": [
            Asked({"task": "m:g", "limit": MANY}, {"jobs_aside", "paused_tasks_pkey", *BY_KEY}, WRITES)
        ],
        "cancel": [Asked({"id": one, "note": "n", "now": NOW}, BY_KEY, WRITES)],
        "cancelling": [Asked({"worker": 7}, {"jobs_cancelling", "jobs_running"}, 2, 150)],
        "claim": [Asked(claim, of_claim, WRITES)],
        "claim_after": [
            Asked({**claim, **whole}, of_claim, WRITES),
            Asked({**claim, **middle}, of_claim, WRITES),
        ],
        "complete": [Asked({**claims, "result": [b"r"] * count, "now": NOW}, WAITED, WRITES)],
        "delete": [Asked({"id": final}, {*WAITED, "attempts_pkey", "notes_pkey"}, 10)],
        "disown": [
            Asked(
                {"id": ids("available"), "fence": fences("available"), "note": "n", "now": NOW},
                WAITED, WRITES,
            )
        ],
        "ended": [Asked({"since": 5, "most": MANY}, {"jobs_final"}, 3, 600, sorts=True)],
        "expire": [Asked(turns, {"jobs_expiring", *BY_KEY}, WRITES)],
        "free": [Asked(claims, BY_KEY, 20)],
        # Of its own worker's dead entries, marked or not, it reads the pages, until a vacuum takes them:
        # some 1,500 on each. Here every job that there is has been run by that worker since the last.
        "held": [
            Asked({"worker": 7}, {"jobs_running", "workers_pkey"}, 3, 60 + ROWS // 1000),
        ],
        "keep_attempt": [Asked(ends, {*BY_KEY}, 20)],
        "lane": [Asked({"lanes": ["default"], "runners": ["thread"]}, {"jobs_available"})],
        "lanes": [Asked({"after": "", "runners": ["loop", "thread"], "most": 50}, {"jobs_available"}, 20)],
        "lanes_between": [
            Asked({"known": ["default"], "after": "", "most": 50}, {"jobs_available"}, 20)
        ],
        "look": [
            Asked(
                {"worker": 7, "now": NOW, "since": EVER},
                {"jobs_expiring", "jobs_due", "workers_pkey", "queues_pkey", "paused_tasks_pkey"},
            )
        ],
        "next_due": [
            Asked({"since": EVER, "now": NOW}, {"jobs_due"}),
            Asked({"since": 5, "now": NOW}, {"jobs_due"}),
        ],
        "periodic_due": [
            Asked(
                {"now": NOW, "limit": MANY, "after_at": 5, "after": "p"},
                {"periodics_look", *BY_KEY},
            )
        ],
        "periodic_look": [Asked({"now": None}, {"periodics_look"})],
        "note": [
            Asked(
                {**told, "kind": ["log"] * count, "at": [5] * count, "body": [b"1"] * count},
                {*BY_KEY, "notes_pkey"}, 20,
            )
        ],
        "note_drop": [Asked(told, {*BY_KEY, "notes_pkey"}, 10)],
        "note_forget": [Asked({**told, "at": 5}, {*BY_KEY, "notes_pkey"}, 20)],
        "promote": [Asked(turns, {"jobs_due", *BY_KEY}, WRITES)],
        "prune_age": [
            Asked(
                {"state": "completed", "before": NOW, "limit": MANY}, {"jobs_final", *WAITED}, 30
            )
        ],
        "prune_gone": [
            Asked({"id": ids("completed")}, {*WAITED, "attempts_pkey", "notes_pkey"}, 40)
        ],
        # It reads as many entries as are kept, once for each prune; and their rows, as long as no vacuum
        # has seen them.
        "prune_count": [Asked({"keep": ROWS // 2}, {"jobs_final"}, 0, ROWS)],
        "rescue": [Asked({"worker": 7, "limit": MANY, "now": NOW}, {"jobs_running", *BY_KEY}, WRITES)],
        "room": [Asked({"lane": "default"}, {"queues_pkey"})],
        "running": [Asked({"lane": "default"}, {"jobs_running", "workers_pkey"}, 0, 60 + ROWS // 500)],
        "set_aside": [
            Asked(
                {"lane": "default", "runner": "thread", "limit": MANY},
                {"jobs_available", "paused_tasks_pkey", *BY_KEY}, 0, 60 + MANY * 6,
            )
        ],
        "retry": [Asked({"id": final, "now": NOW}, BY_KEY, WRITES)],
        "same_content": [
            Asked(
                {"id": ids("available"), "task": ["m:f"] * len(ids("available")),
                 "lane": ["default"] * len(ids("available")),
                 "args": [b"\x01"] * len(ids("available")), "unique_key": ["k"] * len(ids("available"))},
                {*BY_KEY, "jobs_unique", "edges_child"}, 10,
            )
        ],
        "settle": [Asked(ends, WAITED, WRITES)],
        "standing": [
            Asked({"queues": 50, "most": MANY, "others": "(others)"}, {"jobs_available"}, 3, 150,
                   sorts=True)
        ],
        "standing_else": [
            Asked({"most": MANY}, {"jobs_due", "jobs_running", "jobs_final", "jobs_blocked"}, 3, 600,
                   sorts=True)
        ],
        "withdraw": [Asked({"id": ids("available")}, BY_KEY, WRITES)],
        "strangers": [Asked({}, {"jobs_running", "workers_pkey"}, 10)],
    }  # fmt: skip


NO_TABLE = {
    "declare",
    "gate",
    "insert",
    "insert_one",
    "insert_waits",
    "keep_rescued",
    "limit",
    "next_chores",
    "pause",
    "pause_task",
    "periodic_declare",
    "periodic_fire",
    "periodic_forget",
    "periodic_pause",
    "periodic_resume",
    "periodic_retire",
    "paused",
    "register",
    "resume",
    "resume_task",
    "turn",
    "withdraw_waits",
    "workers",
}
"""They read none of the large ones, or only by the key that they insert; or are part of another."""

_FILL = """
INSERT INTO sidework.jobs (id, task, lane, state, runner, priority, due_at, max_attempts, inserted_at,
                           on_crash, args, attempt, fence, worker, started_at, finished_at, expires_at)
SELECT md5({seed} || i::text)::uuid, 'm:f', 'default', {state}, 'thread', 0, 1000000 + i, 3, 1000000 + i,
       'retry', '\\x01', {attempt}, {attempt}, {worker}, NULL, {finished}, {expires}
FROM generate_series(1, {count}) AS i
"""


_TIE = """
INSERT INTO sidework.edges (parent, child, policy, done)
SELECT before, id, 'cancel', number > 100
FROM (SELECT id, lag(id) OVER (ORDER BY id) AS before, row_number() OVER (ORDER BY id) AS number
      FROM sidework.jobs) AS job
WHERE number % 5 = 0
"""
"""Every fifth job waits for the one before it, and most have been released."""


def fill(
    connection: psycopg.Connection[Any],
    state: str,
    count: int,
    attempt: int = 0,
    worker: str = "NULL",
    finished: str = "NULL",
    expires: str = "NULL",
) -> None:
    values = {"worker": worker, "finished": finished, "expires": expires}
    connection.execute(
        sql.SQL(_FILL).format(
            seed=sql.Literal(f"{state} {worker} {expires}"),
            state=sql.Literal(state),
            count=sql.Literal(count),
            attempt=sql.Literal(attempt),
            **{name: sql.SQL(text) for name, text in values.items()},  # type: ignore[arg-type]
        )
    )


def fill_tables(url: str, condition: str) -> None:
    store = PostgresStore(url)
    store.migrate()
    store.close()
    with psycopg.connect(url, autocommit=True) as made:
        # Nothing tidies up, or counts, behind the test's back.
        for table in ("jobs", "attempts", "edges", "workers"):
            made.execute(f"ALTER TABLE sidework.{table} SET (autovacuum_enabled = off)")
        made.execute(
            "INSERT INTO sidework.workers (id, host, pid, lease, beat_at, started_at, queues)"
            " VALUES (7, 'h', 1, 10000, 1, 1, '[]')"
        )
        if condition != "fresh":
            fill(made, "completed", ROWS, 1, finished="1000000 + i")
            if "bloated" in condition:
                # Every row has four dead versions, in all indexes; the state that it ends in was among
                # the first as well.
                for state in ("scheduled", "available", "running", "completed"):
                    made.execute("UPDATE sidework.jobs SET state = %s, worker = 7", (state,))
            made.execute(_TIE)
            fill(made, "available", AVAILABLE)
            fill(made, "scheduled", OTHERS)
            fill(made, "running", OTHERS, 1, worker="7")
            fill(made, "running", 3, 1, worker="6 + 2 * (i % 2)")
            fill(made, "available", OTHERS, expires="1000000 + i")
            fill(made, "cancelled", OTHERS, 1, finished="1000000 + i")


@pytest.fixture(scope="module")
def filled(postgres: Running) -> Iterator[Callable[[str], str]]:
    """The name of a database whose tables are fresh, full or bloated: to be copied, since some take long."""
    urls: dict[str, str] = {}

    def made(condition: str) -> str:
        if condition not in urls:
            urls[condition] = postgres.new_database()
            fill_tables(urls[condition], condition)
        return str(conninfo_to_dict(urls[condition])["dbname"])

    yield made
    for url in urls.values():
        postgres.drop_database(url)


@pytest.fixture(scope="module", params=TABLES)
def tables(
    request: pytest.FixtureRequest, postgres: Running, filled: Callable[[str], str]
) -> Iterator[str]:
    """The URL of a database whose tables are in this condition."""
    condition, _, analyzed = request.param.partition(", ")
    url = postgres.new_database(filled(condition))
    if analyzed:
        with psycopg.connect(url, autocommit=True) as made:
            made.execute("ANALYZE")
    yield url
    postgres.drop_database(url)


@pytest.fixture(scope="module", params=MODES)
def session(
    request: pytest.FixtureRequest, tables: str
) -> Iterator[tuple[psycopg.Connection[Any], str, str]]:
    """A connection, and how it plans."""
    with psycopg.connect(tables, cursor_factory=psycopg.ClientCursor) as made:
        yield made, *MODES[request.param]


@pytest.fixture
def connection(
    session: tuple[psycopg.Connection[Any], str, str],
) -> Iterator[psycopg.Connection[Any]]:
    """In a transaction that is undone, planning as the engine lets it."""
    made, where, mode = session
    made.execute(settings(local=where == "transaction")[0])
    made.execute(f"SET LOCAL plan_cache_mode = {mode}")
    yield made
    made.rollback()
    made.execute("DEALLOCATE ALL")  # of one that failed
    made.rollback()


NAMES = sorted(path.stem for path in FOLDER.glob("*.sql"))


@pytest.mark.parametrize("name", [name for name in NAMES if name not in NO_TABLE])
def test_a_statement_reads_only_what_it_asks_for(
    connection: psycopg.Connection[Any], name: str
) -> None:
    picks = {
        state: connection.execute(
            "SELECT id, fence FROM sidework.jobs WHERE state = %s LIMIT %s", (state, MANY)
        ).fetchall()
        for state in ("running", "available", "completed")
    }
    told = asked(picks)
    assert name in told, "say here how the new statement must be run"
    for one in told[name]:
        explain(connection, name, one)  # dead entries are marked by whoever first steps over them
        plan = explain(connection, name, one)
        nodes = list(_nodes(plan["Plan"]))
        shown = "\n".join(map(_shown, nodes))
        for node in nodes:
            if node.get("Relation Name") in ("jobs", "attempts"):
                assert node["Node Type"] != "Seq Scan", shown
            assert one.joins or node["Node Type"] not in ("Hash Join", "Merge Join"), shown
            # What is sorted was given with the statement, not read.
            given = node["Node Type"] != "Sort" or not node["Shared Hit Blocks"]
            assert given or one.sorts, shown
        used = {node["Index Name"] for node in nodes if "Index Name" in node}
        assert used <= one.indexes, shown
        rows = max(len(picks["running"]), 1) if one.per_row else 0
        blocks = plan["Plan"]["Shared Hit Blocks"] + plan["Plan"]["Shared Read Blocks"]
        allowed = one.besides + one.per_row * min(rows, MANY)
        assert blocks <= allowed, f"{blocks} blocks, {allowed} allowed\n{shown}"


def test_all_statements_are_accounted_for() -> None:
    known = set(asked({"running": [], "available": [], "completed": []}))
    assert known | NO_TABLE == set(NAMES)


def explain(connection: psycopg.Connection[Any], name: str, one: Asked) -> dict[str, Any]:
    """The plan as it ran; what it wrote is undone."""
    asked_sql = statement(name, "sidework")
    values = [sql.Literal(value) for value in asked_sql.values(one.values)]
    given = sql.SQL("({})").format(sql.SQL(", ").join(values)) if values else sql.SQL("")
    with connection.transaction(force_rollback=True):
        connection.execute(b"PREPARE planned AS " + asked_sql.text)
        row = connection.execute(
            sql.SQL("EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) EXECUTE planned{}").format(given)
        ).fetchone()
        connection.execute("DEALLOCATE planned")
    assert row is not None
    found: dict[str, Any] = row[0][0]
    return found


def _shown(node: dict[str, Any]) -> str:
    where = node.get("Index Name", node.get("Relation Name", ""))
    blocks = node["Shared Hit Blocks"] + node["Shared Read Blocks"]
    rows = node["Actual Rows"] * node["Actual Loops"]
    return f"{node['Node Type']} {where}: {blocks} blocks, {rows:.0f} rows"


def _nodes(plan: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield plan
    for below in plan.get("Plans", ()):
        yield from _nodes(below)
