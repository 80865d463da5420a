"""The SQLite store: the protocol's verbs in its order. What comes in is checked here, and who waits for
what was stored is told; the rest is each noun's.

New jobs: ``inserts`` (what they send: ``inserting``). A worker's turn, recording and claiming: ``claims``
(``claiming``). Workers and their deaths: ``roster``. Housekeeping: ``chores`` (``pruning``). What is done by
hand: ``controls``. What narrows queues and holds back tasks: ``limits``. Who waits for whom: ``flows``. What
callers write in: ``transactions``. All that write to the file do so through ``session``.

Enqueues never share a transaction with records; both take the same fair ticket.
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import apsw

from ...clock import Millis, now_ms
from ...crashpoint import reach
from ...job import (
    AttemptRow,
    Held,
    Inserted,
    JobFilter,
    JobRow,
    NewJob,
    QueueRow,
    WorkerRow,
)
from ...note import Notes
from ...outcome import Outcome
from .. import storable
from ..protocol import Demand, Finding, Listener, Turn
from . import bells, callers, looking, reading, upkeep
from .chores import Chores
from .claims import Claims
from .controls import Controls
from .copying import Copies
from .flows import Flows
from .gauges import Gauges
from .inserts import MOST_ROWS, Inserts
from .journal import Journal
from .limits import Limits
from .periodics import Periodics
from .place import check_place
from .roster import Roster
from .session import Session
from .transactions import Transactions


class SqliteStore:
    """The embedded engine on the file at ``path`` (absolute)."""

    def __init__(self, path: str, *, create: bool = True, durable: bool = True) -> None:
        self.path = os.path.abspath(path)
        check_place(self.path)
        self._session = Session(self.path, create=create, durable=durable)
        self._session.read(lambda connection: None)  # refused here, not at the first job
        # For what may take seconds, so that it keeps no job of this process waiting; and for
        # transactions of callers, whose length is theirs to choose.
        self._long = Session(self.path, create=create, durable=durable)
        self._callers = Session(self.path, create=create, durable=durable)
        self._bell_folder = bells.folder_for(self.path)
        self._ringer = bells.Ringer(self._bell_folder)
        self.flows = Flows(self._session, self.ring_work, self.ring_done)
        self._inserts = Inserts(self._session, self.flows, self._ringer)
        self._transactions = Transactions(self._callers)
        self._controls = Controls(self._session, self.flows)
        self._claims = Claims(self._session, self.flows)
        self._roster = Roster(self._session, self.flows)
        self.copies = Copies(
            self._session, self._long, self._transactions.outside, self.ring_work, self.ring_done
        )
        self.journal = Journal(self._session)
        self.limits = Limits(self._session, self._transactions.outside, self.ring_work)
        self._chores = Chores(self._session, self._long, self.flows)
        self.gauges = Gauges(self._long)
        self.periodics = Periodics(self._session, self.workers, self.ring_work, self.outside)

    @property
    def url(self) -> str:
        """The URL that leads here from anywhere on this machine."""
        return f"sqlite:///{self.path}"

    def hurry(self, seconds: float) -> None:
        """Until it is closed, wait for others' locks no longer than this, all waits together."""
        for session in (self._session, self._callers):
            session.hurry(seconds)

    def close(self) -> None:
        """Close the connections; the next use opens them again."""
        for session in (self._session, self._long, self._callers):
            session.close()
        self._ringer.close()

    # Jobs ---------------------------------------------------------------------------------------

    def insert(self, jobs: Sequence[NewJob], now: Millis | None = None) -> list[Inserted]:
        """Store the jobs, in transactions of at most ``MOST_ROWS``."""
        self._transactions.outside()
        storable.check_jobs(jobs)
        done: list[Inserted] = []
        for start in range(0, len(jobs), MOST_ROWS):
            done += self._inserts.store((jobs[start : start + MOST_ROWS], now))
        return done

    def get(self, ids: Sequence[bytes]) -> list[JobRow | None]:
        """The jobs of these ids, ``None`` where there is none."""
        storable.check_ids(ids)
        return self._session.read(lambda c: reading.get(c, ids))

    def page(self, want: JobFilter, before: bytes | None, limit: int) -> list[JobRow]:
        """Jobs that fit, by falling id, below ``before``."""
        storable.check_filter(want)
        storable.check_limit(limit)
        if before is not None:
            storable.check_id(before)
        return self._long.read(lambda c: reading.page(c, want, before, limit))

    def attempts(self, job_id: bytes) -> list[AttemptRow]:
        """The job's failed, crashed and cancelled attempts, oldest first."""
        storable.check_id(job_id)
        return self._session.read(lambda c: reading.attempts(c, job_id))

    def cancel(self, job_id: bytes, note: str, now: Millis | None = None) -> str | None:
        """Cancel a waiting job, or ask a running one; its state now, ``None`` when it was final."""
        storable.check_id(job_id)
        self._transactions.outside()
        state = self._controls.cancel(job_id, storable.readable(note), _at(now))
        if state == "cancelled":
            self.ring_done([job_id])
        elif state is not None:
            self.ring_work()
        return state

    def retry(self, job_id: bytes, now: Millis | None = None) -> bool:
        """Make a final job available again; False when it is not final."""
        storable.check_id(job_id)
        self._transactions.outside()
        took = self._controls.retry(job_id, _at(now))
        if took:
            self.ring_work()
        return took

    def delete(self, job_id: bytes) -> bool:
        """Remove a final job and its attempts; False when it is not final."""
        storable.check_id(job_id)
        self._transactions.outside()
        return self._controls.delete(job_id, _at(None))

    # Transactions -------------------------------------------------------------------------------

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
        with self._transactions.open() as connection:
            yield connection
        self.ring_work()

    def outside(self) -> None:
        """``StoreRefused`` for a thread in such a transaction."""
        self._transactions.outside()

    # Claims -------------------------------------------------------------------------------------

    def turn(
        self,
        outcomes: Sequence[Outcome],
        demand: Demand | None,
        now: Millis | None = None,
        notes: Sequence[Notes] = (),
    ) -> Turn:
        """Record notes and outcomes and claim what the demand has places for, in one transaction."""
        storable.check_outcomes(outcomes)
        storable.check_notes(notes)
        if demand is not None:
            storable.check_demand(demand)
        self._transactions.outside()
        turn, moved = self._claims.turn(outcomes, demand, _at(now), notes)
        if moved:
            self.ring_done(moved)
        return turn

    def cancelling(self, worker: int) -> list[bytes]:
        """Which running jobs of this worker someone asked to cancel."""
        storable.check_worker(worker)
        return self._claims.cancelling(worker)

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

    # Queues -------------------------------------------------------------------------------------

    def queues(self) -> list[QueueRow]:
        """Every queue that holds jobs or has a switch, with counts by state."""
        return self._long.read(reading.queues)

    def switch(self, queue: str) -> QueueRow:
        """The queue's switch alone, whether it holds jobs or not."""
        storable.check_name(queue, "queue")
        return self._session.read(lambda c: reading.switch(c, queue))

    def pause(self, queue: str, by: str, why: str, now: Millis | None = None) -> None:
        """Close the queue's lanes: what runs ends, nothing more is claimed."""
        storable.check_name(queue, "queue")
        by, why = storable.readable(by), storable.readable(why)
        self._transactions.outside()
        self._controls.pause(queue, by, why, _at(now))

    def resume(self, queue: str) -> bool:
        """Open the queue again; False when it was not paused."""
        storable.check_name(queue, "queue")
        self._transactions.outside()
        took = self._controls.resume(queue)
        self.ring_work()
        return took

    # Chores -------------------------------------------------------------------------------------

    def take_turns(self, every: Mapping[str, Millis], now: Millis | None = None) -> set[str]:
        """At which of these chores the turn is ours; the next is so many milliseconds from now."""
        for name, pause in every.items():
            storable.check_name(name, "chore")
            storable.check_moment(pause, "every")
        self._transactions.outside()
        return self._chores.take_turns(every, _at(now))

    def promote(self, limit: int, now: Millis | None = None) -> int:
        """Make what is due available."""
        storable.check_limit(limit)
        self._transactions.outside()
        return self._chores.promote(limit, _at(now))

    def expire(self, limit: int, now: Millis | None = None) -> int:
        """Cancel what was not started in time."""
        storable.check_limit(limit)
        self._transactions.outside()
        ids = self._chores.expire(limit, _at(now))
        if ids:
            self.ring_done(ids)
        return len(ids)

    def prune(self, retention: dict[str, int], limit: int, now: Millis | None = None) -> int:
        """Delete final jobs past retention, at most ``limit``, in short transactions; how many."""
        storable.check_retention(retention)
        storable.check_limit(limit)
        self._transactions.outside()
        return self._chores.prune(retention, limit, _at(now))

    def checkpoint(self) -> None:
        """Bring the write-ahead log's content into the file, as far as readers allow."""
        self._long.read(upkeep.checkpoint)
        reach("checkpoint: done")

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
        return bells.PACE_SECONDS

    # Upkeep -------------------------------------------------------------------------------------

    def migrate(self) -> list[int]:
        """Nothing is left to do: whoever opens the file has migrated it."""
        self._long.read(lambda connection: None)
        return []

    def script(self) -> str:
        """No more than a remark."""
        return f"-- {self.path} migrates itself when it is opened: there is nothing to do\n"

    def info(self) -> dict[str, Any]:
        """Sizes, counts and settings, for a person."""
        return self._long.read(lambda c: upkeep.info(c, self.path))

    def check(self) -> list[str]:
        """What is wrong; empty when nothing is."""
        return self._long.read(upkeep.check)

    def findings(self) -> list[Finding]:
        """How the file looks from outside."""
        return self._long.read(lambda c: looking.findings(c, self.path))

    def backup(self, target: str) -> None:
        """A consistent copy while everything runs; ``StoreRefused`` if the target exists."""
        self._long.read(lambda c: upkeep.backup(c, target))

    def vacuum(self) -> None:
        """Give free pages back to the disk, in short transactions."""
        self._transactions.outside()
        while self._session.write(upkeep.vacuum_step):
            pass
        self.checkpoint()


def _at(now: Millis | None) -> Millis:
    return now_ms() if now is None else now
