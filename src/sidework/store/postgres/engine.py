"""The PostgreSQL store: the protocol's verbs in its order. What comes in is checked here, and who waits
for what was stored is told; the rest is each noun's.

New jobs: ``inserts`` (what they send: ``inserting``). A worker's turn, recording and claiming: ``claims``
(``claiming``). Workers and their deaths: ``roster``. Housekeeping: ``chores`` (``pruning``). What is done by
hand: ``controls``. What narrows queues and holds back tasks: ``limits``. Who waits for whom: ``flows``. What
callers write in: ``transactions``. All that speak to the server do so through ``session``.

Enqueues never share a transaction with records: a unique insert can wait on a stranger's open
transaction, and nothing that a worker has to say may wait with it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import psycopg

from ...clock import Millis
from ...errors import StoreRefused
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
from . import looking, migrating, reading, upkeep
from .chores import Chores
from .claims import Claims
from .controls import Controls
from .copying import Copies
from .errand import Errands
from .flows import Flows
from .gauges import Gauges
from .inserts import MOST_ROWS, Inserts
from .journal import Journal
from .limits import Limits
from .long import Long
from .periodics import Periodics
from .place import place_of
from .polling import Polling
from .pulse import pulse_of
from .roster import Roster
from .session import PATIENCE, PATIENCE_SHARE, Session
from .transactions import Transactions


class PostgresStore:
    """See ``protocol.Store``. Nothing is opened before the first use."""

    def __init__(self, url: str) -> None:
        self._place = place_of(url)
        self._schema = self._place.schema
        self._session = Session(self._place, PATIENCE)
        self._long = Long(self._place)
        self._pulse = pulse_of(self._place)
        self._polling = Polling(self._session, self._pulse)
        self.flows = Flows(self._session, self.ring_work, self.ring_done)
        self._inserts = Inserts(self._session, self.flows, self._pulse)
        self._controls = Controls(self._session, self.flows)
        self._transactions = Transactions(self._place)
        self._errands = Errands(self._session)
        self._claims = Claims(self._session, self.flows)
        self._roster = Roster(self._session, self.flows, self._pulse, self._place)
        self.copies = Copies(
            self._session,
            self._long,
            self._transactions.outside,
            self.flows.rescued,
            self.ring_done,
        )
        self.journal = Journal(self._session)
        self.limits = Limits(self._session, self._transactions.outside, self.ring_work)
        self._chores = Chores(self._session, self.flows)
        self.gauges = Gauges(Long(self._place, PATIENCE), self._schema)
        self.periodics = Periodics(self._session, self.workers, self.ring_work, self.outside)

    @property
    def url(self) -> str:
        """The URL that leads here from anywhere."""
        return self._place.url

    def hurry(self, seconds: float) -> None:
        """Until it is closed, wait for the server no longer than this, all waits together."""
        self._session.hurry(seconds)

    def close(self) -> None:
        """Close the connections; the next use opens them again. Workers that are not retired are dead."""
        self._roster.close()
        self._pulse.close()
        self._session.close()

    # Jobs ---------------------------------------------------------------------------------------

    def insert(self, jobs: Sequence[NewJob], now: Millis | None = None) -> list[Inserted]:
        """Store the jobs, in transactions of at most ``MOST_ROWS``."""
        self._transactions.outside()
        storable.check_jobs(jobs)
        done: list[Inserted] = []
        for start in range(0, len(jobs), MOST_ROWS):
            done += self._inserts.store((jobs[start : start + MOST_ROWS], now))
        self._polling.hurry()  # their ends may be waited for
        return done

    def get(self, ids: Sequence[bytes]) -> list[JobRow | None]:
        """The jobs of these ids, ``None`` where there is none."""
        storable.check_ids(ids)
        return self._session.read(lambda c: reading.get(c, self._schema, ids))

    def page(self, want: JobFilter, before: bytes | None, limit: int) -> list[JobRow]:
        """Jobs that fit, by falling id, below ``before``."""
        storable.check_filter(want)
        storable.check_limit(limit)
        if before is not None:
            storable.check_id(before)
        return self._long.read(lambda c: reading.page(c, self._schema, want, before, limit))

    def attempts(self, job_id: bytes) -> list[AttemptRow]:
        """The job's failed, crashed and cancelled attempts, oldest first."""
        storable.check_id(job_id)
        return self._session.read(lambda c: reading.attempts(c, self._schema, job_id))

    def cancel(self, job_id: bytes, note: str, now: Millis | None = None) -> str | None:
        """Cancel a waiting job, or ask a running one; its state now, ``None`` when it was final."""
        storable.check_id(job_id)
        self._transactions.outside()
        state = self._controls.cancel(job_id, storable.readable(note), now)
        if state == "cancelled":
            self.ring_done([job_id])
        elif state is not None:
            self.ring_work()
        return state

    def retry(self, job_id: bytes, now: Millis | None = None) -> bool:
        """Make a final job available again; False when it is not final."""
        storable.check_id(job_id)
        self._transactions.outside()
        took = self._controls.retry(job_id, now)
        if took:
            self.ring_work()
        return took

    def delete(self, job_id: bytes) -> bool:
        """Remove a final job and its attempts; False when it is not final."""
        storable.check_id(job_id)
        self._transactions.outside()
        return self._controls.delete(job_id)

    # Transactions -------------------------------------------------------------------------------

    def insert_on(
        self, connection: Any, jobs: Sequence[NewJob], now: Millis | None = None
    ) -> list[Inserted]:
        """Store the jobs on the caller's own connection: they are there when the caller commits."""
        storable.check_jobs(jobs)
        return self._errands.run(connection, self._inserts.errand(jobs, now)) if jobs else []

    async def ainsert_on(
        self, connection: Any, jobs: Sequence[NewJob], now: Millis | None = None
    ) -> list[Inserted]:
        """``insert_on`` for a connection that is used by coroutines."""
        storable.check_jobs(jobs)
        return await self._errands.arun(connection, self._inserts.errand(jobs, now)) if jobs else []

    def finish_on(self, connection: Any, outcome: Outcome, now: Millis | None = None) -> bool:
        """Complete a running job on the caller's own connection; False when the claim was lost."""
        storable.check_outcomes([outcome])
        return self._errands.run(connection, self._claims.errand(outcome, now), inside=True)

    async def afinish_on(
        self, connection: Any, outcome: Outcome, now: Millis | None = None
    ) -> bool:
        """``finish_on`` for a connection that is used by coroutines."""
        storable.check_outcomes([outcome])
        return await self._errands.arun(connection, self._claims.errand(outcome, now), inside=True)

    @contextmanager
    def transaction(self) -> Iterator[psycopg.Connection[Any]]:
        """A connection inside a transaction, for ``insert_on`` and tables of the caller's own."""
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
        turn, moved = self._claims.turn(outcomes, demand, now, notes)
        if turn.claimed:
            self._polling.hurry()  # where there was one, there may be more
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
        """Make this process known as a worker, with a heart that beats from here on."""
        storable.check_pid(pid)
        for queue in queues:
            storable.check_text(queue, "queue")
        self._session.patience = self._place.lease / PATIENCE_SHARE
        made = self._roster.register(storable.readable(host), pid, queues, now)
        self._session.trust = lambda: self._roster.trust(made.id)
        return made

    def retire(self, worker: int, now: Millis | None = None) -> None:
        """The worker leaves in good order; whatever it still held is rescued."""
        storable.check_worker(worker)
        self._session.trust = None
        self._roster.retire(worker, now)

    def workers(self) -> list[WorkerRow]:
        """The workers that have registered and are not known to be gone."""
        return self._roster.workers()

    def rescue(self, now: Millis | None = None) -> int:
        """Bring back the jobs of workers that are dead or unknown; how many."""
        return self._roster.rescue(now)

    def trust(self, worker: int) -> float:
        """Seconds for which nobody will bring back this worker's jobs."""
        return self._roster.trust(worker)

    # Queues -------------------------------------------------------------------------------------

    def queues(self) -> list[QueueRow]:
        """Every queue that holds jobs or has a switch, with counts by state."""
        return self._long.read(lambda c: reading.queues(c, self._schema))

    def switch(self, queue: str) -> QueueRow:
        """The queue's switch alone, whether it holds jobs or not."""
        storable.check_name(queue, "queue")
        return self._session.read(lambda c: reading.switch(c, self._schema, queue))

    def pause(self, queue: str, by: str, why: str, now: Millis | None = None) -> None:
        """Close the queue's lanes: what runs ends, nothing more is claimed."""
        storable.check_name(queue, "queue")
        by, why = storable.readable(by), storable.readable(why)
        self._transactions.outside()
        self._controls.pause(queue, by, why, now)

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
        return self._chores.take_turns(every, now)

    def promote(self, limit: int, now: Millis | None = None) -> int:
        """Make what is due available."""
        storable.check_limit(limit)
        self._transactions.outside()
        return self._chores.promote(limit, now)

    def expire(self, limit: int, now: Millis | None = None) -> int:
        """Cancel what was not started in time."""
        storable.check_limit(limit)
        self._transactions.outside()
        ids = self._chores.expire(limit, now)
        if ids:
            self.ring_done(ids)
        return len(ids)

    def prune(self, retention: dict[str, int], limit: int, now: Millis | None = None) -> int:
        """Delete final jobs past retention, at most ``limit``, in short transactions; how many."""
        storable.check_retention(retention)
        storable.check_limit(limit)
        self._transactions.outside()
        return self._chores.prune(retention, limit, now)

    def checkpoint(self) -> None:
        """Nothing: the server looks after its own log."""

    # Bells --------------------------------------------------------------------------------------

    def listen(self, kind: str) -> Listener:
        """A bell of kind ``work`` (for workers) or ``done`` (for whoever waits for results)."""
        return self._pulse.listen("work" if kind == "work" else "done")

    def ring_work(self) -> None:
        """Tell workers that there may be something to do."""
        self._pulse.ring("work")

    def ring_done(self, ids: Iterable[bytes]) -> None:
        """Tell who waits that these jobs moved on."""
        self._pulse.ring("done", ids)

    def version(self) -> int:
        """A number that changes with whatever is committed, by whomever: the safety net."""
        return self._polling.version()

    def pace(self) -> float:
        """Seconds until the version is worth another look, which costs a round trip."""
        return self._polling.pace()

    # Upkeep -------------------------------------------------------------------------------------

    def migrate(self) -> list[int]:
        """Bring the schema to what this code knows; the versions applied."""
        applied = migrating.migrate(self._place)
        self._session.close()  # the next connection sees what is there now
        return applied

    def script(self) -> str:
        """The same as a script for psql, from the version that is there."""
        return migrating.script(self._place)

    def info(self) -> dict[str, Any]:
        """Sizes, counts and settings, for a person."""
        return self._long.read(lambda c: upkeep.info(c, self._place), fits=False)

    def check(self) -> list[str]:
        """What is wrong; empty when nothing is."""
        return self._long.read(lambda c: upkeep.check(c, self._place), fits=False)

    def findings(self) -> list[Finding]:
        """Rights, schema, settings, and what holds back the server's tidying."""
        return looking.findings(self._place)

    def backup(self, target: str) -> None:
        """Refused: the server's own tools do it."""
        raise StoreRefused(
            f"a PostgreSQL database is not backed up from here: use pg_dump -n {self._schema}"
        )

    def vacuum(self) -> None:
        """Give dead rows' room back for new ones, beside everything that runs."""
        self._long.read(lambda c: upkeep.vacuum(c, self._place))
