"""How SQLite runs each statement, on a fresh, a full and a bloated table: by its index, unsorted."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import apsw
import pytest

from sidework.ids import new_id
from sidework.job import NewJob
from sidework.store.sqlite.connection import open_connection, statement
from sidework.store.sqlite.inserting import insert_wide
from sidework.store.sqlite.rows import insert_parameters

FOLDER = Path(statement.__wrapped__.__code__.co_filename).parent / "sql"
INDEX = {
    "any_edge": "edges_open",
    "edges": "edges_child",
    "edges_ended": "edges_open",
    "edges_open": "edges_open",
    "inputs": "edges_child",
    "aside": "jobs_aside",
    "bring_back": "jobs_aside",
    "cancelling": "jobs_cancelling",
    "claim": "jobs_available",
    "ended": "jobs_final",
    "expire": "jobs_expiring",
    "held": "jobs_running",
    "lane": "jobs_available",
    "lanes": "jobs_available",
    "next_due": "jobs_due",
    "reopen_inputs": "edges_child",
    "periodic_due": "periodics_look",
    "periodic_look": "periodics_look",
    "promote": "jobs_due",
    "prune_age": "jobs_final",
    "prune_count": "jobs_final",
    "rescue": "jobs_running",
    "running": "jobs_running",
    "set_aside": "jobs_available",
    "standing": "jobs_available",
    "standing_else": "jobs_due",
    "strangers": "jobs_running",
    "take_over": "jobs_running",
    "waits": "edges_child",
}
BY_KEY = {
    "block",
    "cancel",
    "complete",
    "delete",
    "disown",
    "keep_attempt",
    "note",
    "note_drop",
    "note_forget",
    "prune",
    "called",
    "needed",
    "parents",
    "reopen_outputs",
    "resolve",
    "periodic_due",
    "retry",
    "same_content",
    "settle",
}
NO_TABLE = {
    "calls",
    "declare",
    "insert",
    "insert_edges",
    "limit",
    "pause",
    "pause_task",
    "paused",
    "next_chores",
    "periodic_declare",
    "periodic_fire",
    "periodic_forget",
    "periodic_pause",
    "periodic_resume",
    "periodic_retire",
    "register",
    "resume",
    "resume_task",
    "turn",
}
"""None of the large ones."""
BY_LANE = {"standing", "standing_else", "ended"}
"""They put what they read, a bounded number of rows, together by lane."""


def waiting(count: int) -> list[tuple[object, ...]]:
    """Rows of so many jobs that are available."""
    return [insert_parameters(NewJob(new_id(), "m:f", b"\x01{}"), 5) for _ in range(count)]


@pytest.fixture(params=["fresh", "full", "bloated"], scope="module")
def connection(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[apsw.Connection]:
    path = tmp_path_factory.mktemp("plans") / "jobs.db"
    made = open_connection(str(path), create=True)
    if request.param != "fresh":
        with made:
            insert_wide(made, waiting(20_000))
            _tie(made)
            made.execute(
                "UPDATE jobs SET state = 'completed', finished_at = 7 "
                "WHERE id > (SELECT id FROM jobs ORDER BY id LIMIT 1 OFFSET 50)"
            )
        if request.param == "bloated":
            made.execute("DELETE FROM jobs WHERE state = 'completed'")
            made.execute("DELETE FROM edges WHERE done")
        made.execute("ANALYZE")
    yield made
    made.close()


@pytest.mark.parametrize("name", sorted(path.stem for path in FOLDER.glob("*.sql")))
def test_a_statement_reads_only_what_it_may_take(connection: apsw.Connection, name: str) -> None:
    assert name in {*INDEX, *BY_KEY, *NO_TABLE}, "say here how the new statement must be run"
    plan = [
        row[3]
        for row in connection.execute("EXPLAIN QUERY PLAN " + statement(name), _bindings(name))
    ]
    told = "\n".join(plan)
    assert "TEMP B-TREE" not in told.replace("TEMP B-TREE FOR GROUP BY", ""), told
    assert "TEMP B-TREE" not in told or name in BY_LANE, told
    # A partial index may be scanned (all of it is wanted); the table itself never is.
    scans = [line for line in plan if line.startswith("SCAN") and "INDEX" not in line]
    assert not [line for line in scans if "jobs" in line or "attempts" in line or "edge" in line], (
        told
    )
    if name in INDEX:
        assert f"INDEX {INDEX[name]}" in told, told
    if name in BY_KEY:
        assert "PRIMARY KEY (id=?)" in told, told


def _tie(connection: apsw.Connection) -> None:
    """Every other job waits for the one before it, and most have been released."""
    connection.execute(
        "INSERT INTO edges (parent, child, policy, done) SELECT before, id, 'cancel', number > 100 FROM "
        "(SELECT id, lag(id) OVER (ORDER BY id) AS before, row_number() OVER (ORDER BY id) AS number "
        "FROM jobs) "
        "WHERE number % 2 = 0"
    )


LIMITED = {
    "any_edge": {},
    "edges_open": {"parent": b"", "child": b"", "limit": 10},
    "aside": {},
    "bring_back": {"task": "m:g", "limit": 10},
    "claim": {
        "lane": "default", "runner": "thread", "limit": 10, "worker": 1, "now": 9, "open": 1,
    },
    "running": {"lane": "default"},
    "set_aside": {"lane": "default", "runner": "thread", "limit": 10},
    "expire": {"now": 9, "limit": 10},
    "next_due": {},
    "lane": {"lane": "default", "runner": "thread"},
    "lanes": {"after": "", "runner": "thread", "most": 50},
    "promote": {"now": 9, "limit": 10},
    "prune_age": {"state": "completed", "before": 9, "limit": 10},
    "cancelling": {"worker": 1},
    "ended": {"since": 5, "most": 10},
    "held": {"worker": 1},
    "rescue": {"worker": 1, "limit": 10, "now": 9},
    "standing": {"queues": 50, "most": 10, "others": "(others)"},
    "standing_else": {"most": 10},
    "strangers": {},
    "take_over": {"worker": 2, "lost": 1},
}  # fmt: skip


@pytest.mark.parametrize("name", LIMITED)
def test_a_statement_takes_as_many_steps_whatever_waits(tmp_path: Path, name: str) -> None:
    """A plan may name the right index and still read through all of it: the machine's steps tell."""
    made = open_connection(str(tmp_path / "jobs.db"), create=True)
    with made:
        insert_wide(made, waiting(20_000))
        _tie(made)
        made.execute(
            "UPDATE jobs SET state = 'completed', finished_at = 7 "
            "WHERE id > (SELECT id FROM jobs ORDER BY id LIMIT 1 OFFSET 10000)"
        )
    steps = 0

    def count() -> bool:
        nonlocal steps
        steps += 100
        return False

    made.set_progress_handler(count, 100)
    made.execute(statement(name), LIMITED[name]).fetchall()
    made.set_progress_handler(None)
    made.close()
    assert steps <= 3000


def _bindings(name: str) -> object:
    unnamed = statement(name).count("?")
    if unnamed:
        return (None,) * unnamed
    return dict.fromkeys(re.findall(r"[:](\w+)", statement(name)))
