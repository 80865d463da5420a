"""The PostgreSQL store: the protocol's verbs over one session, with inserts combined.

Enqueues never share a transaction with records: a unique insert can wait on a stranger's open
transaction, and nothing that a worker has to say may wait with it.
"""

from __future__ import annotations

import os
import random
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, TypeVar

import psycopg

from ...clock import Millis
from ...crashpoint import reach
from ...errors import StoreError, StoreRefused, StoreUnavailable
from ...job import (
    AttemptRow,
    Copied,
    Held,
    Inserted,
    JobFilter,
    JobRow,
    NewJob,
    QueueRow,
    Verdict,
    WorkerRow,
)
from ...outcome import Outcome
from .. import storable
from ..combining import Combiner
from ..lanes import Lanes
from ..protocol import Demand, Finding, Listener, Turn
from . import bulk, claiming, copying, inserting, looking, migrating, pruning, reading, upkeep
from .arrays import Id
from .bounds import EVER, Bounds
from .connection import (
    Connection,
    Sql,
    check_version,
    numbered,
    open_connection,
    statement,
    translate,
)
from .errand import Errand, Errands
from .place import Place, place_of
from .pulse import POLL_FIRST, POLL_GROWTH, POLL_HEARD, POLL_MOST, pulse_of
from .roster import Roster
from .session import Session, leave

T = TypeVar("T")

MOST_ROWS = 500
"""Rows of one transaction: others wait for its locks a few ms, not more."""
PATIENCE, LONG_PATIENCE = 10.0, 600.0
"""Seconds within which the server has to answer: a client's statement, and a listing."""
PATIENCE_SHARE = 4
"""A worker's statement may take this part of its lease: then it looks whether it is still trusted."""


class PostgresStore:
    """See ``protocol.Store``. Nothing is opened before the first use."""

    def __init__(self, url: str) -> None:
        self._place = place_of(url)
        self._schema = self._place.schema
        self._session = Session(self._place, PATIENCE)
        self._pulse = pulse_of(self._place)
        self._inserts: Combiner[tuple[Sequence[NewJob], Millis | None], list[Inserted]] = Combiner(
            self._insert_batch, lambda command: len(command[0]), MOST_ROWS
        )
        self._errands = Errands(self._session)
        self._lanes, self._bounds = Lanes(), Bounds()
        self._roster = Roster(self._session, self._pulse, self._place, self._moved)
        self._inside: set[int] = set()
        self._wary = False
        self._version, self._poll = 0, POLL_FIRST

    @property
    def url(self) -> str:
        """The URL that leads here from anywhere."""
        return self._place.url

    def close(self) -> None:
        """Close the connections; the next use opens them again. Workers that are not retired are dead."""
        self._roster.close()
        self._pulse.close()
        self._session.close()

    def hurry(self, seconds: float) -> None:
        """Until it is closed, wait for the server no longer than this, all waits together."""
        self._session.hurry(seconds)

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
        try:
            return self._insert_together(commands)
        except StoreError as error:
            if len(commands) == 1 or not inserting.may_be_of_one(error):
                raise
            told = [self._insert_apart(command) for command in commands]
            self.ring_work()
            return told

    def _insert_apart(
        self, command: tuple[Sequence[NewJob], Millis | None]
    ) -> list[Inserted] | BaseException:
        try:
            jobs, now = command
            apart = inserting.apart(self._schema, jobs, now)
            verdicts = self._session.write(apart, again=True)
            return [Inserted(job.id, verdict) for job, verdict in zip(jobs, verdicts, strict=True)]
        except StoreError as error:
            return error

    def _insert_together(
        self, commands: Sequence[tuple[Sequence[NewJob], Millis | None]]
    ) -> list[list[Inserted]]:
        done: dict[int, list[Inserted]] = {}
        for now in dict.fromkeys(now for _, now in commands):  # one, but for tests
            same = {at: jobs for at, (jobs, moment) in enumerate(commands) if moment == now}
            every = [job for jobs in same.values() for job in jobs]
            verdicts = iter(inserting.insert(self._ask, self._copy, self._schema, every, now))
            for at, jobs in same.items():
                done[at] = [Inserted(job.id, next(verdicts)) for job in jobs]
        reach("insert: committed")
        self.ring_work()  # once for all who shared the commit
        return [done[at] for at in range(len(commands))]

    def _ask(self, sql: Sql, values: list[Any]) -> list[tuple[Any, ...]]:
        # Sent again after a lost answer it stores nothing twice (promise I12).
        return self._session.one(sql, values, again=True)

    def _copy(self, jobs: Sequence[NewJob], now: Millis | None) -> bool:
        return self._session.write(
            lambda connection: bulk.copy_in(connection, self._schema, jobs, now), again=True
        )

    def insert_on(
        self, connection: Any, jobs: Sequence[NewJob], now: Millis | None = None
    ) -> list[Inserted]:
        """Store the jobs on the caller's own connection: they are there when the caller commits."""
        storable.check_jobs(jobs)
        return self._errands.run(connection, self._storing(jobs, now)) if jobs else []

    async def ainsert_on(
        self, connection: Any, jobs: Sequence[NewJob], now: Millis | None = None
    ) -> list[Inserted]:
        """``insert_on`` for a connection that is used by coroutines."""
        storable.check_jobs(jobs)
        return await self._errands.arun(connection, self._storing(jobs, now)) if jobs else []

    def _storing(self, jobs: Sequence[NewJob], now: Millis | None) -> Errand[list[Inserted]]:
        done = []
        for start in range(0, len(jobs), MOST_ROWS):
            some = jobs[start : start + MOST_ROWS]
            verdicts, transaction = yield from inserting.errand(self._schema, some, now)
            if transaction is not None:
                self._pulse.watch(transaction)  # rings when it is committed
            done += [Inserted(job.id, verdict) for job, verdict in zip(some, verdicts, strict=True)]
        return done

    def finish_on(self, connection: Any, outcome: Outcome, now: Millis | None = None) -> bool:
        """Complete a running job on the caller's own connection; False when the claim was lost."""
        storable.check_outcomes([outcome])
        errand = claiming.errand(self._schema, outcome, now)
        took = self._errands.run(connection, errand, inside=True)
        reach("finish: before commit")
        return took

    async def afinish_on(
        self, connection: Any, outcome: Outcome, now: Millis | None = None
    ) -> bool:
        """``finish_on`` for a connection that is used by coroutines."""
        storable.check_outcomes([outcome])
        errand = claiming.errand(self._schema, outcome, now)
        took = await self._errands.arun(connection, errand, inside=True)
        reach("finish: before commit")
        return took

    @contextmanager
    def transaction(self) -> Iterator[psycopg.Connection[Any]]:
        """A connection inside a transaction, for ``insert_on`` and tables of the caller's own."""
        self.outside()
        try:
            made = psycopg.connect(self._place.conninfo, application_name="sidework")
        except psycopg.Error as error:
            raise translate(error, self._place) from error.with_traceback(None)
        # Named in a session that a pooler hands on, a statement would be in the way of another's.
        made.prepare_threshold = None
        self._inside.add(threading.get_ident())
        owner = os.getpid()
        try:
            yield made  # an error of the caller's own statements stays as it is; closing rolls back
            if os.getpid() != owner:
                raise StoreRefused(
                    "this process was forked within a transaction of the store, which is its parent's: "
                    "end it within the block (os._exit), or fork before"
                )
            _commit(made, self._place)
        except psycopg.OperationalError as error:
            if made.broken:
                raise translate(error, self._place) from error
            raise
        finally:
            self._inside.discard(threading.get_ident())
            if os.getpid() == owner:
                made.close()
            else:
                leave(made)  # a goodbye would end the parent's transaction
        self.ring_work()

    def outside(self) -> None:
        """``StoreRefused`` for a thread in a transaction of its own: what it wrote or waited for now would
        not be part of that, and could wait for it for ever."""
        if self._inside and threading.get_ident() in self._inside:
            raise StoreRefused(
                "this thread is in a transaction of the store: pass its connection "
                "(options(connection=...)), or write and wait after the with block"
            )

    def get(self, ids: Sequence[bytes]) -> list[JobRow | None]:
        """The jobs of these ids, ``None`` where there is none."""
        storable.check_ids(ids)
        return self._read(lambda c: reading.get(c, self._schema, ids))

    def page(self, want: JobFilter, before: bytes | None, limit: int) -> list[JobRow]:
        """Jobs that fit, by falling id, below ``before``."""
        storable.check_filter(want)
        storable.check_limit(limit)
        if before is not None:
            storable.check_id(before)
        return self._long(lambda c: reading.page(c, self._schema, want, before, limit))

    def attempts(self, job_id: bytes) -> list[AttemptRow]:
        """The job's failed, crashed and cancelled attempts, oldest first."""
        storable.check_id(job_id)
        return self._read(lambda c: reading.attempts(c, self._schema, job_id))

    def cancel(self, job_id: bytes, note: str, now: Millis | None = None) -> str | None:
        """Cancel a waiting job, or ask a running one; its state now, ``None`` when it was final."""
        storable.check_id(job_id)
        found = self._one("cancel", id=Id(job_id), note=storable.readable(note), now=now)
        state: str | None = found[0][0] if found else None
        if state == "cancelled":
            self.ring_done([job_id])
        elif state is not None:
            self.ring_work()
        return state

    def retry(self, job_id: bytes, now: Millis | None = None) -> bool:
        """Make a final job available again; False when it is not final."""
        storable.check_id(job_id)
        took = bool(self._one("retry", id=Id(job_id), now=now))
        if took:
            self.ring_work()
        return took

    def delete(self, job_id: bytes) -> bool:
        """Remove a final job and its attempts; False when it is not final."""
        storable.check_id(job_id)
        return bool(self._one("delete", id=Id(job_id)))

    def _one(self, verb: str, /, **values: Any) -> list[tuple[Any, ...]]:
        self.outside()
        sql = statement(verb, self._schema)
        return self._session.one(sql, sql.values(values))

    def _read(self, work: Callable[[Connection], T]) -> T:
        return self._session.read(work)

    def _long(self, work: Callable[[Connection], T], *, fits: bool = True) -> T:
        """On a connection of its own, with the planner's own choice of plans: what may take long keeps
        nobody waiting. Only on a schema that ``fits``, unless it is to be looked at for just that."""
        opened = open_connection(self._place, lambda: LONG_PATIENCE, plan_proof=False)
        try:
            with opened.connection as connection:
                if fits or opened.version is None:
                    check_version(opened.version, self._place)
                return work(connection)
        except psycopg.Error as error:
            raise translate(error, self._place) from error

    # Claims -------------------------------------------------------------------------------------

    def turn(
        self, outcomes: Sequence[Outcome], demand: Demand | None, now: Millis | None = None
    ) -> Turn:
        """Record the outcomes and claim what the demand has places for, in one transaction."""
        storable.check_outcomes(outcomes)
        if demand is not None:
            storable.check_demand(demand)
        self.outside()
        expired: list[bytes] = []

        def work(connection: Connection) -> Callable[[], Turn]:
            took: Callable[[], list[bool | None]] = list
            if outcomes:
                took = claiming.record(connection, self._schema, outcomes, now, self._wary)
                reach("turn: recorded, not committed")
            expired[:] = []
            if demand is None:
                due = claiming.due_in(connection, self._schema, self._bounds, now)
                return lambda: Turn(took(), [], frozenset(), due())
            found = claiming.claim(connection, self._schema, demand, self._lanes, self._bounds, now)
            expired[:] = found.expired
            if found.taken:
                reach("turn: claimed, not committed")
            return lambda: Turn(took(), found.taken, found.short, found.due_in())

        try:
            turn = self._session.piped(work)
        except StoreUnavailable:
            self._wary = (
                True  # perhaps somebody has one of the rows locked, and all else waits with it
            )
            raise
        self._wary = None in turn.took
        reach("turn: committed")
        moved = [one.id for one, took in zip(outcomes, turn.took, strict=True) if took is not None]
        if moved or expired:
            self.ring_done([*moved, *expired])
        return turn

    def cancelling(self, worker: int) -> list[bytes]:
        """Which running jobs of this worker someone asked to cancel."""
        storable.check_worker(worker)
        sql = statement("cancelling", self._schema)
        return [row[0] for row in self._session.one(sql, [worker], again=True)]

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

    def trust(self, worker: int) -> float:
        """Seconds for which nobody will bring back this worker's jobs."""
        return self._roster.trust(worker)

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

    def _moved(self, ids: list[bytes]) -> None:
        """Jobs are available again, or final."""
        self.ring_work()
        self.ring_done(ids)

    # Queues -------------------------------------------------------------------------------------

    def queues(self) -> list[QueueRow]:
        """Every queue that holds jobs or has a switch, with counts by state."""
        return self._long(lambda c: reading.queues(c, self._schema))

    def switch(self, queue: str) -> QueueRow:
        """The queue's switch alone, whether it holds jobs or not."""
        storable.check_name(queue, "queue")
        return self._read(lambda c: reading.switch(c, self._schema, queue))

    def pause(self, queue: str, by: str, why: str, now: Millis | None = None) -> None:
        """Close the queue's lanes: what runs ends, nothing more is claimed."""
        storable.check_name(queue, "queue")
        by, why = storable.readable(by), storable.readable(why)
        self._one("pause", name=queue, by=by, why=why, now=now)

    def resume(self, queue: str) -> bool:
        """Open the queue again; False when it was not paused."""
        storable.check_name(queue, "queue")
        took = bool(self._one("resume", name=queue))
        self.ring_work()
        return took

    # Chores -------------------------------------------------------------------------------------

    def take_turn(self, name: str, every: Millis, now: Millis | None = None) -> bool:
        """Whether the turn at this chore is ours; the next is ``every`` milliseconds from now."""
        storable.check_name(name, "chore")
        storable.check_moment(every, "every")
        # Looked at first: an idle worker writes nothing to learn that nothing is due.
        sql = numbered(
            "SELECT next_at <= :now OR next_at > :now + :every::bigint "
            "FROM sidework.chores WHERE name = :name",
            self._schema,
        )
        values = {"name": name, "now": now, "every": every}
        due = self._session.one(sql, sql.values(values), again=True)
        if due and not due[0][0]:
            return False
        return bool(self._one("turn", **values))

    def promote(self, limit: int, now: Millis | None = None) -> int:
        """Make what is due available."""
        storable.check_limit(limit)
        return len(self._one("promote", now=now, limit=limit, since=EVER))

    def expire(self, limit: int, now: Millis | None = None) -> int:
        """Cancel what was not started in time."""
        storable.check_limit(limit)
        ids = [row[0] for row in self._one("expire", now=now, limit=limit, since=EVER)]
        if ids:
            self.ring_done(ids)
        return len(ids)

    def prune(self, retention: dict[str, int], limit: int, now: Millis | None = None) -> int:
        """Delete final jobs past retention, at most ``limit``, in short transactions; how many."""
        storable.check_retention(retention)
        storable.check_limit(limit)
        line = self._read(lambda c: pruning.line(c, self._schema, retention, now))
        gone = 0
        while gone < limit:
            most = min(MOST_ROWS, limit - gone)
            step = self._session.write(
                lambda c, most=most: pruning.step(c, self._schema, line, most)  # type: ignore[misc]
            )
            gone += step
            if step < most:
                break
        return gone

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
        found = self._session.one(
            numbered("SELECT pg_current_snapshot()::text", ""), [], again=True
        )
        version = hash(found[0][0])
        changed, self._version = version != self._version, version
        self._poll = POLL_FIRST if changed else min(POLL_MOST, self._poll * POLL_GROWTH)
        return version

    def pace(self) -> float:
        """Seconds until the version is worth another look: seldom while the bells are heard, else the more
        seldom the longer nothing has changed; not all at the same time."""
        poll = POLL_HEARD if self._pulse.hears else self._poll
        return poll * random.uniform(0.8, 1.2)

    # Upkeep -------------------------------------------------------------------------------------

    def info(self) -> dict[str, Any]:
        """Sizes, counts and settings, for a person."""
        return self._long(lambda c: upkeep.info(c, self._place), fits=False)

    def check(self) -> list[str]:
        """What is wrong; empty when nothing is."""
        return self._long(lambda c: upkeep.check(c, self._place), fits=False)

    def findings(self) -> list[Finding]:
        """Rights, schema, settings, and what holds back the server's tidying."""
        return looking.findings(self._place)

    def dump(self, after: bytes | None, limit: int) -> list[Copied]:
        """Whole jobs by rising id, above ``after``."""
        storable.check_limit(limit)
        if after is not None:
            storable.check_id(after)
        return self._long(lambda c: copying.dump(c, self._schema, after, limit))

    def load(self, jobs: Sequence[Copied]) -> list[Verdict]:
        """Store jobs as another store had them."""
        self.outside()
        storable.check_copied(jobs)
        verdicts = copying.load(self._session, self._schema, jobs)
        if "stored" in verdicts:
            self._moved([one.job.id for one in jobs])
        return verdicts

    def disown(self, jobs: Sequence[Copied], note: str, now: Millis | None = None) -> list[bool]:
        """Cancel jobs that another store has now."""
        self.outside()
        storable.check_copied(jobs)
        note = storable.readable(note)
        took = self._session.write(lambda c: copying.disown(c, self._schema, jobs, note, now))
        if any(took):
            self.ring_done([one.job.id for one in jobs])
        return took

    def migrate(self) -> list[int]:
        """Bring the schema to what this code knows; the versions applied."""
        applied = migrating.migrate(self._place)
        self._session.close()  # the next connection sees what is there now
        return applied

    def script(self) -> str:
        """The same as a script for psql, from the version that is there."""
        return migrating.script(self._place)

    def backup(self, target: str) -> None:
        """Refused: the server's own tools do it."""
        raise StoreRefused(
            f"a PostgreSQL database is not backed up from here: use pg_dump -n {self._schema}"
        )

    def vacuum(self) -> None:
        """Give dead rows' room back for new ones, beside everything that runs."""
        self._long(lambda c: upkeep.vacuum(c, self._place))


def _commit(connection: psycopg.Connection[Any], place: Place) -> None:
    """``StoreRefused`` where a statement has failed and the caller went on: the server would answer COMMIT by
    a rollback, and psycopg takes that for a success."""
    if connection.info.transaction_status == psycopg.pq.TransactionStatus.INERROR:
        raise StoreRefused(
            "a statement of this transaction has failed, so nothing of it is stored: let its error leave the "
            "with block, or put what may fail into a savepoint (with connection.transaction())"
        )
    try:
        connection.commit()
    except psycopg.OperationalError as error:
        raise translate(error, place) from error
