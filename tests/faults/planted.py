"""FAULTS row 33: bugs planted in a copy of the source, each of which the suite must catch."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
SUITE = ["tests/conformance", "tests/test_stateful.py", "tests/test_plans.py"]
END_TO_END = ["tests/e2e/test_deaths.py", "tests/e2e/test_outcomes.py"]


@dataclass(frozen=True)
class Bug:
    """Replace ``old`` by ``new`` in ``path`` (below src/sidework), once."""

    name: str
    path: str
    old: str
    new: str
    suite: tuple[str, ...] = tuple(SUITE)


SQL = "store/sqlite/sql/"
BUGS = [
    Bug("a result lands whatever the fence", SQL + "complete.sql", "WHERE id = :id AND fence = :fence", "WHERE id = :id"),
    Bug("a failure lands whatever the fence", SQL + "settle.sql", "WHERE id = :id AND fence = :fence", "WHERE id = :id"),
    Bug("the fence stays when a result lands", SQL + "complete.sql", "fence = fence + 1, ", ""),
    Bug("a claim leaves the fence", SQL + "claim.sql", "fence = fence + 1, ", ""),
    Bug("the attempt is not counted in the claim", SQL + "claim.sql", "attempt = attempt + 1, ", ""),
    Bug("a snooze costs an attempt", SQL + "settle.sql", "IN ('snoozed', 'released', 'crashed') THEN :attempt", "IN ('released', 'crashed') THEN :attempt"),
    Bug("a rescue costs an attempt", SQL + "rescue.sql", "attempt = attempt - 1, ", ""),
    Bug("a claim ignores priority", SQL + "claim.sql", "ORDER BY priority DESC, due_at, id", "ORDER BY due_at, id"),
    Bug("a claim takes what runs", SQL + "claim.sql", "SET state = 'running', ", "SET state = 'available', "),
    Bug("a pause closes nothing", "store/sqlite/claiming.py", "if pair[0] not in paused and", "if"),
    Bug("final jobs can be cancelled", SQL + "cancel.sql", "'retryable', 'running')", "'retryable', 'running', 'completed')"),
    Bug("a poison job is never quarantined", SQL + "settle.sql", "OR (:alone AND crashes + 1 >= :max_crashes))\n            THEN", ")\n            THEN"),
    Bug("a taken id is overwritten", SQL + "insert.sql", "ON CONFLICT (id) DO NOTHING", "ON CONFLICT (id) DO UPDATE SET args = excluded.args"),
    Bug("acknowledged before the commit", "store/sqlite/session.py", 'connection.execute("COMMIT")', 'connection.execute("ROLLBACK")'),
    Bug("living workers are rescued from", "store/sqlite/engine.py", "if not worker.alive", "if True"),
    Bug("a cancel leaves the fence", SQL + "cancel.sql", "ELSE fence + 1 END", "ELSE fence END"),
    Bug("verdicts of shared commits are dealt to the wrong callers", "store/sqlite/engine.py", "for jobs in several]\n", "for jobs in several[::-1]]\n"),
    Bug("the prune takes the newest", SQL + "prune_age.sql", "finished_at <= :before", "finished_at >= :before"),
    Bug("the lanes are read through", SQL + "next_lane.sql", "AND lane = :lane AND runner > :runner", "AND (lane, runner) > (:lane, :runner)"),
    Bug("a dead child's jobs are forgotten", "worker/worker.py", "self._outcomes.append(_crashed(job, how, alone=len(started) == 1))", "pass", tuple(END_TO_END)),
    Bug("unstarted jobs of a dead child are forgotten", "worker/worker.py", 'self._outcomes.append(_released(job, "its process died before it started"))', "pass", tuple(END_TO_END)),
    Bug("children outlive their worker", "child/__main__.py", "die_with_parent(int(parent))", "pass", tuple(END_TO_END)),
    Bug("a drain forgets what it handed back", "worker/worker.py", 'self._outcomes.append(_released(job, "its worker stopped"))', "pass", tuple(END_TO_END)),
    Bug("a timeout of a coroutine is not kept", "child/executor.py", "async with asyncio.timeout(self.timeout):", "async with asyncio.timeout(None):", tuple(END_TO_END)),
    Bug("the bells' safety net is gone", "worker/worker.py", "if now - self._scanned >= SCAN_SECONDS:", "if False:", tuple(END_TO_END)),
]  # fmt: skip


def caught(bug: Bug | None, folder: Path) -> bool:
    """Whether the suite fails on a copy of the source with this bug in it."""
    shutil.copytree(ROOT / "src", folder / "src", ignore=shutil.ignore_patterns("__pycache__"))
    if bug is not None:
        path = folder / "src" / "sidework" / bug.path
        text = path.read_text("utf-8")
        if text.count(bug.old) < 1:
            raise ValueError(
                f"{bug.name}: {bug.path} has no {bug.old!r} any more: mend the planted bug"
            )
        path.write_text(text.replace(bug.old, bug.new), "utf-8")
    suite = SUITE if bug is None else bug.suite
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", *suite],
        cwd=ROOT, env={**os.environ, "PYTHONPATH": str(folder / "src"), "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True, text=True, timeout=300,
    )  # fmt: skip
    # 1 is "tests failed"; anything else would be a broken run, which proves nothing.
    if done.returncode not in (0, 1):
        raise RuntimeError(done.stdout + done.stderr)
    return done.returncode == 1
