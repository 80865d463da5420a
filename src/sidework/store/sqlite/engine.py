"""The SQLite store: the protocol's verbs over one session, with inserts combined.

Enqueues never share a transaction with records; both take the same fair ticket.
"""

from __future__ import annotations

import functools
import math
import os
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, TypeVar

import apsw

from ...clock import Millis, now_ms
from ...crashpoint import reach
from ...errors import StoreRefused
from ...job import (
    AttemptRow,
    Claimed,
    Copied,
    Held,
    Inserted,
    JobFilter,
    JobRow,
    NewJob,
    QueueRow,
    Runner,
    Verdict,
    WorkerRow,
)
from ...outcome import Outcome
from .. import storable
from ..combining import Combiner
from ..lanes import Lanes
from ..protocol import Demand, Finding, Listener, Turn
from . import bells, callers, claiming, copying, inserting, looking, pruning, reading, upkeep
from .connection import statement
from .place import check_place
from .roster import Roster
from .rows import insert_parameters
from .session import Session

T = TypeVar("T")

MOST_ROWS = 500
"""Rows that one write transaction takes at most, so that other writers wait a few ms, not more."""

PACE_SECONDS = 0.1
PROMOTE_LIMIT = 1000


class SqliteStore:
    """The embedded engine on the file at ``path`` (absolute)."""

    def __init__(self, path: str, *, create: bool = True) -> None:
        self.path = os.path.abspath(path)
        check_place(self.path)
        self._session = Session(self.path, create=create)
        self._session.read(lambda connection: None)  # refused here, not at the first job
        # For what may take seconds, so that it keeps no job of this process waiting; and for
        # transactions of callers, whose length is theirs to choose.
        self._long = Session(self.path, create=create)
        self._callers = Session(self.path, create=create)
        self._inside = set[int]()  # threads in a transaction of their own
        self._inserts: Combiner[tuple[Sequence[NewJob], Millis | None], list[Inserted]] = Combiner(
            self._insert_batch, lambda command: len(command[0]), MOST_ROWS
        )
        self._bell_folder = bells.folder_for(self.path)
        self._ringer = bells.Ringer(self._bell_folder)
        self._lanes = Lanes()
        self._roster = Roster(self._session, self._moved)

    @property
    def url(self) -> str:
        """The URL that leads here from anywhere on this machine."""
        return f"sqlite:///{self.path}"

    def close(self) -> None:
        """Close the connections; the next use opens them again."""
        for session in (self._session, self._long, self._callers):
            session.close()
        self._ringer.close()

    def hurry(self, seconds: float) -> None:
        """Until it is closed, wait for others' locks no longer than this, all waits together."""
        for session in (self._session, self._callers):
            session.hurry(seconds)

    # Jobs ---------------------------------------------------------------------------------------

    def insert(self, jobs: Sequence[NewJob], now: Millis | None = None) -> list[Inserted]:
        """Store the jobs, in transactions of at most ``MOST_ROWS``."""
        self.outside()
        storable.check_jobs(jobs)
        done: list[Inserted] = []
        for start in range(0, len(jobs), MOST_ROWS):
            done += self._inserts.submit((jobs[start : start + MOST_ROWS], now))
        return done

    def _insert_batch(
        self, commands: Sequence[tuple[Sequence[NewJob], Millis | None]]
    ) -> Sequence[list[Inserted] | BaseException]:
        rows = [insert_parameters(job, _at(now)) for jobs, now in commands for job in jobs]
        done: list[Verdict] = (
            [self._insert_one(rows[0])] if len(rows) == 1 else self._insert_all(rows)
        )
        verdicts = iter(done)
        reach("insert: committed")
        self.ring_work()  # once for all who shared the commit
        return [[Inserted(job.id, next(verdicts)) for job in jobs] for jobs, _ in commands]

    def _insert_one(self, row: inserting.Row) -> Verdict:
        reach("insert: before commit")
        if self._session.write_one(statement("insert"), row) == 1:
            return "stored"
        return self._session.read(lambda connection: inserting.verdict_on_taken(connection, row))

    def _insert_all(self, rows: Sequence[inserting.Row]) -> list[Verdict]:
        def work(connection: apsw.Connection) -> list[Verdict]:
            verdicts = insert(connection, rows)
            reach("insert: before commit")
            return verdicts

        insert = inserting.insert_wide
        try:
            return self._session.write(work)
        except inserting.SomeWereThere:
            insert = inserting.insert
            return self._session.write(work)

    def insert_on(
        self, connection: Any, jobs: Sequence[NewJob], now: Millis | None = None
    ) -> list[Inserted]:
        """Store the jobs on the caller's own connection: they are there when the caller commits."""
        storable.check_jobs(jobs)
        inserted = callers.insert(connection, self.path, jobs, _at(now))
        # Not committed yet as a rule: then this rings too early, and the safety net finds the jobs.
        self.ring_work()
        return inserted

    async def ainsert_on(
        self, connection: Any, jobs: Sequence[NewJob], now: Millis | None = None
    ) -> list[Inserted]:
        """``insert_on``: no more than a statement of the caller's own."""
        return self.insert_on(connection, jobs, now)

    def finish_on(self, connection: Any, outcome: Outcome, now: Millis | None = None) -> bool:
        """Complete a running job on the caller's own connection; False when the claim was lost."""
        storable.check_outcomes([outcome])
        return callers.finish(connection, self.path, outcome, _at(now))

    async def afinish_on(
        self, connection: Any, outcome: Outcome, now: Millis | None = None
    ) -> bool:
        """``finish_on``: no more than a statement of the caller's own."""
        return self.finish_on(connection, outcome, now)

    @contextmanager
    def transaction(self) -> Iterator[apsw.Connection]:
        """A connection inside a write transaction, for ``insert_on`` and tables of the caller's own."""
        self.outside()
        self._inside.add(threading.get_ident())
        try:
            with self._callers.transaction() as connection:
                yield connection
        finally:
            self._inside.discard(threading.get_ident())
        self.ring_work()

    def outside(self) -> None:
        """``StoreRefused`` for a thread in a transaction of its own: that keeps all other writers
        waiting, and so this thread, if it waited for one of them."""
        if self._inside and threading.get_ident() in self._inside:
            raise StoreRefused(
                "this thread is in a transaction of the store: pass its connection "
                "(options(connection=...)), or write and wait after the with block"
            )

    def get(self, ids: Sequence[bytes]) -> list[JobRow | None]:
        """The jobs of these ids, ``None`` where there is none."""
        storable.check_ids(ids)
        return self._session.read(lambda connection: reading.get(connection, ids))

    def page(self, want: JobFilter, before: bytes | None, limit: int) -> list[JobRow]:
        """Jobs that fit, by falling id, below ``before``."""
        storable.check_filter(want)
        storable.check_limit(limit)
        if before is not None:
            storable.check_id(before)
        return self._long.read(lambda connection: reading.page(connection, want, before, limit))

    def attempts(self, job_id: bytes) -> list[AttemptRow]:
        """The job's failed, crashed and cancelled attempts, oldest first."""
        storable.check_id(job_id)
        return self._session.read(lambda connection: reading.attempts(connection, job_id))

    def cancel(self, job_id: bytes, note: str, now: Millis | None = None) -> str | None:
        """Cancel a waiting job, or ask a running one; its state now, ``None`` when it was final."""
        storable.check_id(job_id)
        state: str | None = self._one(
            statement("cancel"), id=job_id, note=storable.readable(note), now=_at(now)
        )
        if state == "cancelled":
            self.ring_done([job_id])
        elif state is not None:
            self.ring_work()
        return state

    def retry(self, job_id: bytes, now: Millis | None = None) -> bool:
        """Make a final job available again; False when it is not final."""
        storable.check_id(job_id)
        took = self._one(statement("retry"), id=job_id, now=_at(now)) is not None
        if took:
            self.ring_work()
        return took

    def delete(self, job_id: bytes) -> bool:
        """Remove a final job and its attempts; False when it is not final."""
        storable.check_id(job_id)

        def work(connection: apsw.Connection) -> bool:
            took = connection.execute(statement("delete"), {"id": job_id}).fetchone() is not None
            if took:
                connection.execute("DELETE FROM attempts WHERE job_id = ?", (job_id,))
            return took

        return self._write(work)

    def _one(self, sql: str, **values: Any) -> Any:
        def work(connection: apsw.Connection) -> Any:
            row = connection.execute(sql, values).fetchone()
            return None if row is None else row[0]

        return self._write(work)

    def _write(self, work: Callable[[apsw.Connection], T]) -> T:
        self.outside()
        return self._session.write(work)

    # Claims -------------------------------------------------------------------------------------

    def turn(
        self, outcomes: Sequence[Outcome], demand: Demand | None, now: Millis | None = None
    ) -> Turn:
        """Record the outcomes and claim what the demand has places for, in one transaction."""
        storable.check_outcomes(outcomes)
        if demand is not None:
            storable.check_demand(demand)
        moment = _at(now)

        def work(connection: apsw.Connection) -> Turn:
            took = claiming.record(connection, outcomes, moment)
            if outcomes:
                reach("turn: recorded, not committed")
            claimed: list[Claimed] = []
            short: frozenset[Runner] = frozenset()
            if demand is not None:
                bounds = {"now": moment, "limit": PROMOTE_LIMIT}
                expired[:] = [row[0] for row in connection.execute(statement("expire"), bounds)]
                connection.execute(statement("promote"), bounds).fetchall()
                claimed, short = claiming.claim(connection, demand, self._lanes, moment)
            if claimed:
                reach("turn: claimed, not committed")
            due = connection.execute(statement("next_due")).get
            return Turn(took, claimed, short, None if due is None else due - moment)

        expired: list[bytes] = []
        turn = self._write(work)
        reach("turn: committed")
        if outcomes or expired:
            self.ring_done([*(outcome.id for outcome in outcomes), *expired])
        return turn

    def cancelling(self, worker: int) -> list[bytes]:
        """Which running jobs of this worker someone asked to cancel."""
        storable.check_worker(worker)
        return self._session.read(
            lambda connection: [
                row[0] for row in connection.execute(statement("cancelling"), {"worker": worker})
            ]
        )

    def held(self, worker: int) -> list[Held] | None:
        """What this worker is believed to run; ``None`` when it has to register again."""
        storable.check_worker(worker)
        return self._roster.held(worker)

    # Workers ------------------------------------------------------------------------------------

    def register(
        self, host: str, pid: int, queues: Sequence[str], now: Millis | None = None
    ) -> WorkerRow:
        """Make this process known as a worker, with a lock that dies with it."""
        storable.check_pid(pid)
        for queue in queues:
            storable.check_text(queue, "queue")
        return self._roster.register(storable.readable(host), pid, queues, _at(now))

    def retire(self, worker: int, now: Millis | None = None) -> None:
        """The worker leaves in good order; whatever it still held is rescued."""
        storable.check_worker(worker)
        self._roster.retire(worker, _at(now))

    def workers(self) -> list[WorkerRow]:
        """The workers that have registered and are not known to be gone."""
        return self._roster.workers()

    def rescue(self, now: Millis | None = None) -> int:
        """Bring back the jobs of workers whose processes are all dead or unknown; how many."""
        return self._roster.rescue(_at(now))

    def trust(self, worker: int) -> float:
        """For ever: that a worker is dead is told by its lock, and no clock is asked."""
        return math.inf

    def _moved(self, ids: list[bytes]) -> None:
        """Jobs are available again, or final."""
        self.ring_work()
        self.ring_done(ids)

    # Queues -------------------------------------------------------------------------------------

    def queues(self) -> list[QueueRow]:
        """Every queue that holds jobs or has a switch, with counts by state."""
        return self._long.read(reading.queues)

    def switch(self, queue: str) -> QueueRow:
        """The queue's switch alone, whether it holds jobs or not."""
        storable.check_name(queue, "queue")
        return self._session.read(lambda connection: reading.switch(connection, queue))

    def pause(self, queue: str, by: str, why: str, now: Millis | None = None) -> None:
        """Close the queue's lanes: what runs ends, nothing more is claimed."""
        storable.check_name(queue, "queue")
        by, why = storable.readable(by), storable.readable(why)
        self._one(statement("pause"), name=queue, by=by, why=why, now=_at(now))

    def resume(self, queue: str) -> bool:
        """Open the queue again; False when it was not paused."""
        storable.check_name(queue, "queue")
        took = self._one(statement("resume"), name=queue) is not None
        self.ring_work()
        return took

    # Chores -------------------------------------------------------------------------------------

    def take_turn(self, name: str, every: Millis, now: Millis | None = None) -> bool:
        """Whether the turn at this chore is ours; the next is ``every`` milliseconds from now."""
        storable.check_name(name, "chore")
        storable.check_moment(every, "every")
        moment = _at(now)
        # Looked at first: an idle worker takes no write lock to learn that nothing is due.
        due: Any = self._session.read(
            lambda c: c.execute("SELECT next_at FROM chores WHERE name = ?", (name,)).get
        )
        if due is not None and moment < due <= moment + every:
            return False
        values = {"name": name, "every": every, "now": moment}
        return self._one(statement("turn"), **values) is not None

    def promote(self, limit: int, now: Millis | None = None) -> int:
        """Make what is due available."""
        storable.check_limit(limit)
        return len(self._many("promote", now=_at(now), limit=limit))

    def expire(self, limit: int, now: Millis | None = None) -> int:
        """Cancel what was not started in time."""
        storable.check_limit(limit)
        ids = self._many("expire", now=_at(now), limit=limit)
        if ids:
            self.ring_done(ids)
        return len(ids)

    def prune(self, retention: dict[str, int], limit: int, now: Millis | None = None) -> int:
        """Delete final jobs past retention, at most ``limit``, in short transactions; how many."""
        storable.check_retention(retention)
        storable.check_limit(limit)
        line = self._long.read(lambda c: pruning.line(c, retention, _at(now)))
        gone = 0
        while gone < limit:
            most = min(MOST_ROWS, limit - gone)
            step = self._write(functools.partial(pruning.step, before=line, limit=most))
            gone += step
            if step < most:
                break
        return gone

    def checkpoint(self) -> None:
        """Bring the write-ahead log's content into the file, as far as readers allow."""
        self._long.read(upkeep.checkpoint)
        reach("checkpoint: done")

    def _many(self, name: str, **values: Any) -> list[bytes]:
        return self._write(
            lambda connection: [row[0] for row in connection.execute(statement(name), values)]
        )

    # Bells --------------------------------------------------------------------------------------

    def listen(self, kind: str) -> Listener:
        """A bell of kind ``work`` (for workers) or ``done`` (for whoever waits for results)."""
        return bells.Bell(self._bell_folder, "work" if kind == "work" else "done")

    def ring_work(self) -> None:
        """Tell workers that there may be something to do."""
        self._ringer.ring("work")

    def ring_done(self, ids: Iterable[bytes]) -> None:
        """Tell who waits that these jobs moved on."""
        found = list(ids)
        self._ringer.ring("done", b"".join(found) if len(found) <= bells.MAX_IDS else b"")

    def version(self) -> int:
        """A number that changes with whatever is stored, by whomever: the safety net."""
        return self._session.version()

    def pace(self) -> float:
        """Seconds until the version is worth another look; a look costs some microseconds."""
        return PACE_SECONDS

    # Upkeep -------------------------------------------------------------------------------------

    def info(self) -> dict[str, Any]:
        """Sizes, counts and settings, for a person."""
        return self._long.read(lambda connection: upkeep.info(connection, self.path))

    def check(self) -> list[str]:
        """What is wrong with the file; empty when nothing is."""
        return self._long.read(upkeep.check)

    def findings(self) -> list[Finding]:
        """How the file looks from outside."""
        return self._long.read(lambda connection: looking.findings(connection, self.path))

    def migrate(self) -> list[int]:
        """Nothing is left to do: whoever opens the file has migrated it."""
        self._long.read(lambda connection: None)
        return []

    def script(self) -> str:
        """No more than a remark."""
        return f"-- {self.path} migrates itself when it is opened: there is nothing to do\n"

    def backup(self, target: str) -> None:
        """A consistent copy while everything runs; ``StoreRefused`` if the target exists."""
        self._long.read(lambda connection: upkeep.backup(connection, target))

    def vacuum(self) -> None:
        """Give free pages back to the disk, in short transactions."""
        while self._write(upkeep.vacuum_step):
            pass
        self.checkpoint()

    def dump(self, after: bytes | None, limit: int) -> list[Copied]:
        """Whole jobs by rising id, above ``after``."""
        storable.check_limit(limit)
        if after is not None:
            storable.check_id(after)
        return self._long.read(lambda connection: copying.dump(connection, after, limit))

    def load(self, jobs: Sequence[Copied]) -> list[Verdict]:
        """Store whole jobs as they are."""
        self.outside()
        storable.check_copied(jobs)
        verdicts = copying.load(self._long, jobs)
        self.ring_work()
        return verdicts

    def disown(self, jobs: Sequence[Copied], note: str, now: Millis | None = None) -> list[bool]:
        """Cancel what waits and was not touched since it was read; which of them."""
        storable.check_copied(jobs)
        note = storable.readable(note)
        took = self._write(lambda connection: copying.disown(connection, jobs, note, _at(now)))
        self.ring_done(copied.job.id for copied in jobs)
        return took


def _at(now: Millis | None) -> Millis:
    return now_ms() if now is None else now
