"""FAULTS row 33: bugs planted in a copy of the source, each of which the suite must catch.

Each names the tests that are there to catch it, and only they are run: a bug that something else
trips over by accident is not counted. The clean source must pass the same tests.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
CLAIMS = ("tests/conformance",)
MODEL = ("tests/test_stateful.py",)
PLANS = ("tests/test_plans.py",)
DEATHS = "tests/e2e/test_deaths.py::"
OUTCOMES = "tests/e2e/test_outcomes.py::"
FINISHING = "tests/e2e/test_finishing.py::"


@dataclass(frozen=True)
class Bug:
    """Replace ``old`` by ``new`` in ``path`` (below src/sidework), and what ``more`` says likewise;
    ``by`` are the tests that must see it."""

    name: str
    path: str
    old: str
    new: str
    by: tuple[str, ...] = CLAIMS
    more: tuple[tuple[str, str, str], ...] = ()


SQL = "store/sqlite/sql/"
PG = "store/postgres/"
LOST = "tests/postgres/test_lost_replies.py"
FOLLOWING = "tests/postgres/test_following.py"
INBOX = "worker/inbox.py"
SUPERVISOR = "worker/supervisor.py"
HUNGER = "worker/hunger.py"
BUGS = [
    Bug("a result lands whatever the fence", SQL + "complete.sql", "AND fence = ?", "AND ? IS NOT NULL"),
    Bug("a failure lands whatever the fence", SQL + "settle.sql", "WHERE id = :id AND fence = :fence", "WHERE id = :id"),
    Bug("the fence stays when a result lands", SQL + "complete.sql", "fence = fence + 1, ", ""),
    Bug("a claim leaves the fence", SQL + "claim.sql", "fence = fence + 1, ", ""),
    Bug("the attempt is not counted in the claim", SQL + "claim.sql", "attempt = attempt + 1, ", ""),
    Bug("the attempt is counted after the run", SQL + "claim.sql", "attempt = attempt + 1, ", "", MODEL, ((SQL + "complete.sql", "attempt = ?", "attempt = 0 * ? + attempt + 1"), (SQL + "settle.sql", "THEN :attempt - 1 ELSE :attempt END", "THEN attempt ELSE attempt + 1 END"))),
    Bug("a result is recorded before the code has run", "child/threads.py", "done = Done([seq], [self._context.copy().run(attempt.run)])", "self._link.send(Done([seq], [attempt._completed('went')])); done = Done([seq], [self._context.copy().run(attempt.run)])", (OUTCOMES + "test_waiting_has_an_end_and_nothing_is_told_before_it_is_so",)),
    Bug("a snooze costs an attempt", SQL + "settle.sql", "IN ('snoozed', 'released', 'crashed') THEN :attempt", "IN ('released', 'crashed') THEN :attempt"),
    Bug("a rescue costs an attempt", SQL + "rescue.sql", "attempt = attempt - 1, ", ""),
    Bug("a claim ignores priority", SQL + "claim.sql", "ORDER BY priority DESC, due_at, id", "ORDER BY due_at, id"),
    Bug("a claim takes what runs", SQL + "claim.sql", "SET state = 'running', ", "SET state = 'available', "),
    Bug("a pause closes nothing", "store/lanes.py", "if any_ and lane not in paused", "if any_"),
    Bug("final jobs can be cancelled", SQL + "cancel.sql", "'retryable', 'running')", "'retryable', 'running', 'completed')"),
    Bug("a poison job is never quarantined", SQL + "settle.sql", "OR (:alone AND crashes + 1 >= :max_crashes))\n            THEN", ")\n            THEN"),
    Bug("a taken id is overwritten", SQL + "insert.sql", "ON CONFLICT DO NOTHING", "ON CONFLICT (id) DO UPDATE SET args = excluded.args"),
    Bug("acknowledged before the commit", "store/sqlite/session.py", 'connection.execute("COMMIT")', 'connection.execute("ROLLBACK")'),
    Bug("living workers are rescued from", "store/sqlite/roster.py", "if not one.alive", "if True"),
    Bug("a cancel leaves the fence", SQL + "cancel.sql", "ELSE fence + 1 END", "ELSE fence END"),
    Bug("verdicts of shared commits are dealt to the wrong callers", "store/sqlite/inserts.py", "for jobs, _ in commands]\n", "for jobs, _ in commands[::-1]]\n"),
    Bug("the prune takes the newest", SQL + "prune_age.sql", "finished_at <= :before", "finished_at >= :before"),
    Bug("the lanes are read through", SQL + "lanes.sql", "AND lane > lanes.lane", "AND +lane > lanes.lane", PLANS),
    Bug("a dead child's jobs are forgotten", SUPERVISOR, "outcomes.append(outcome)", "outcome.kind == 'crashed' or outcomes.append(outcome)", (DEATHS + "test_a_killed_child_is_replaced_and_its_jobs_run_again",)),
    Bug("unstarted jobs of a dead child are forgotten", SUPERVISOR, "outcomes.append(outcome)", "outcome.note == 'its process died before it started' or outcomes.append(outcome)", (DEATHS + "test_what_a_killed_child_had_not_begun_is_handed_back",), (("worker/recorder.py", "if (job.id, job.fence) not in known", "if False"),)),
    Bug("children outlive their worker", "child/__main__.py", "die_with_parent(int(parent))", "pass", (DEATHS + "test_a_child_that_cannot_see_its_workers_end_dies_with_it",)),
    Bug("a drain forgets what it cut short", SUPERVISOR, "outcomes.append(_cut_short(job, STOPPED, started=seq in peer.started))", "pass", (DEATHS + "test_a_drain_past_its_grace_hands_back_what_runs", DEATHS + "test_a_second_sigint_leaves_at_once")),
    Bug("a drain forgets what it handed back", INBOX, 'self._recorder.add(released(job, note) for job in back if job)', "pass", (DEATHS + "test_sigterm_finishes_what_runs_and_hands_back_the_rest",)),
    Bug("a timeout of a coroutine is not kept", "child/executor.py", "async with asyncio.timeout(self.timeout):", "async with asyncio.timeout(None):", (OUTCOMES + "test_a_coroutine_past_its_timeout_is_cancelled",)),
    Bug("the bells' safety net is gone", HUNGER, "if now - self._scanned >= SCAN_SECONDS:", "if False:", (DEATHS + "test_with_every_bell_cut_all_still_ends",), ((HUNGER, "if version != self._version:", "if False:"),)),
    Bug("the safety net is for idle workers only", HUNGER, "if len(self.runners) < len(RUNNERS) and", "if not self.runners and", (DEATHS + "test_bells_are_not_missed_while_other_places_are_taken",)),
    Bug("finish_in believes what it is told", "store/sqlite/callers.py", "return took", "return True"),
    Bug("a job is completed without its transaction", "child/executor.py", "if self.running.finished:", "if False:", (FINISHING + "test_a_rollback_is_a_failed_attempt",)),
    Bug("a held row is asked for without a pause", "worker/recorder.py", "now >= self._again_at", "True", (FINISHING + "test_a_row_that_its_job_still_holds_keeps_nobody_waiting",)),
    Bug("PostgreSQL: a result lands whatever the fence", PG + "sql/complete.sql", "WHERE job.id = done.id AND job.fence = done.fence", "WHERE job.id = done.id"),
    Bug("PostgreSQL: a failure lands whatever the fence", PG + "sql/settle.sql", "WHERE job.id = done.id AND job.fence = done.fence", "WHERE job.id = done.id"),
    Bug("PostgreSQL: a claim leaves the fence", PG + "sql/claim.sql", "fence = fence + 1, ", ""),
    Bug("PostgreSQL: a claim waits for others' rows", PG + "sql/claim.sql", "FOR UPDATE SKIP LOCKED", "FOR UPDATE"),
    Bug("PostgreSQL: a rescue costs an attempt", PG + "sql/rescue.sql", "attempt = attempt - 1, ", ""),
    Bug("PostgreSQL: the dead are not watched for a lease", PG + "roster.py", "if (at - since) * 1000 >= lease:", "if True:"),
    Bug("PostgreSQL: a heart beats and does not move", PG + "sql/beat.sql", "beat = beat + 1, ", ""),
    Bug("PostgreSQL: an outage is a massacre", PG + "roster.py", "if was != beat or gap * 1000 >= lease * _GAP:", "if was != beat:", more=((PG + "roster.py", "self._seen.clear()  #", "pass  #"),)),
    Bug("PostgreSQL: a lost insert is said again with another id", PG + "inserts.py", "return self._session.one(sql, values, again=True)\n\n    def _copy", "from ...ids import new_id\n        from .arrays import Id\n        try:\n            return self._session.one(sql, values)\n        except Exception:\n            return self._session.one(sql, [Id(new_id()) if isinstance(one, Id) else one for one in values])\n\n    def _copy", (LOST,)),
    Bug("PostgreSQL: a lost insert is told", PG + "inserts.py", "return self._session.one(sql, values, again=True)\n\n    def _copy", "return self._session.one(sql, values)\n\n    def _copy", (LOST,)),
    Bug("PostgreSQL: what the server undid is told", PG + "session.py", "error.sqlstate in AGAIN or (broken", "(broken", (LOST,)),
    Bug("PostgreSQL: a pulse listens once in its life", PG + "pulse.py", "self._listens.clear()\n            if opened.pooled", "if opened.pooled", (LOST,)),
    # What follows from an end.
    Bug("an end is followed by nobody", "store/sqlite/resolving.py", "room = MOST_EDGES - len(found)", "room = 0"),
    Bug("an end is counted each time that it is followed", "store/sqlite/resolving.py", "UPDATE edges SET done = 1 WHERE", "UPDATE edges SET done = 0 WHERE"),
    Bug("a child goes on whatever became of its input", "store/sqlite/resolving.py", 'failed = policy == "cancel" and', "failed = False and"),
    Bug("a cancelled child leads to no more", "store/sqlite/resolving.py", "[*cancelled, *left])", "left)"),
    Bug("only so many children are freed", "store/sqlite/resolving.py", "left.append(parent)  #", "pass  #"),
    Bug("a callback is of another id each time", "callbacks.py", "said = b\"%b %d %d\" % (ended.id, ended.fence, place)", "import os; said = os.urandom(16)"),
    Bug("a failure calls what a success should", "callbacks.py", '("failure" if completed else "success")', '("success" if completed else "failure")'),
    Bug("PostgreSQL: an end is counted each time that it is followed", PG + "sql/resolve.sql", "AND edge.child = asked.child AND NOT edge.done", "AND edge.child = asked.child", (FOLLOWING,)),
    Bug("PostgreSQL: children are waited for", PG + "sql/resolve.sql", "FOR UPDATE SKIP LOCKED", "FOR UPDATE", (FOLLOWING,)),
    Bug("PostgreSQL: nobody looks for ends that were missed", PG + "resolving.py", "if over]", "if over and not found]"),
    Bug("PostgreSQL: who stores a job does not look once more", PG + "flows.py", "return told, resolving.follow(connection, self._schema, parents, now)", "return told, resolving.NOTHING"),
    # What is the only one, what is narrow, what is paused, what comes by the clock.
    Bug("an end keeps its unique key", SQL + "complete.sql", "unique_key = NULL", "unique_key = unique_key"),
    Bug("a failed attempt lets its unique key go", SQL + "settle.sql", "THEN unique_key END", "THEN NULL END"),
    Bug("PostgreSQL: a start keeps its unique key", PG + "sql/claim.sql", "WHEN 'started' THEN NULL", "WHEN 'begun' THEN NULL"),
    Bug("a narrow queue is one wider", "store/sqlite/claiming.py", "return int(most_of[lane] - running)", "return int(most_of[lane] - running) + 1"),
    Bug("PostgreSQL: nobody waits for who counts a narrow queue", PG + "sql/room.sql", " FOR NO KEY UPDATE SKIP LOCKED", "", (FOLLOWING,)),
    Bug("a paused task is claimed", SQL + "claim.sql", "AND (:open OR task NOT IN (SELECT name FROM paused_tasks))", "AND (:open OR 1)", more=(("store/sqlite/claiming.py", "if not open_ and not clear(runner, lane, most):", "if False:"),)),
    Bug("a tick has another id with each who fires it", "periodic.py", "id_ = derived_id(max(0, tick), self.name)", "from .ids import new_id; id_ = new_id()", by=("tests/conformance/test_periodics.py", "tests/test_schedule.py")),
    Bug("a periodic fires whatever its version", SQL + "periodic_fire.sql", "AND version = :version", ""),
    Bug("notes are taken of whoever tells them", SQL + "note.sql", "FROM jobs WHERE id = :id AND fence = :fence", "FROM jobs WHERE id = :id"),
]  # fmt: skip


def caught(bug: Bug | None, folder: Path) -> str:
    """Which test fails, and how, on a copy of the source with this bug in it; "" when none does."""
    shutil.copytree(ROOT / "src", folder / "src", ignore=shutil.ignore_patterns("__pycache__"))
    if bug is not None:
        for name, old, new in ((bug.path, bug.old, bug.new), *bug.more):
            path = folder / "src" / "sidework" / name
            text = path.read_text("utf-8")
            if text.count(old) < 1:
                raise ValueError(
                    f"{bug.name}: {name} has no {old!r} any more: mend the planted bug"
                )
            path.write_text(text.replace(old, new), "utf-8")
    by = sorted({test for one in BUGS for test in one.by}) if bug is None else bug.by
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", *by],
        cwd=ROOT, env={**os.environ, "PYTHONPATH": str(folder / "src"), "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True, text=True, timeout=600,
    )  # fmt: skip
    # 1 is "tests failed"; anything else would be a broken run, which proves nothing, and so would a
    # test that could not even be set up.
    failed = re.search(r"^FAILED (\S+)", done.stdout, re.MULTILINE)
    if done.returncode == 0:
        return ""
    if done.returncode != 1 or failed is None:
        raise RuntimeError(done.stdout + done.stderr)
    why = re.search(r"^E +(\S.*)", done.stdout, re.MULTILINE)
    said = "" if why is None else re.sub(r"\S*/pytest-of-\S*", "…", why[1])
    return f"{failed[1]}: {said[:200]}"
