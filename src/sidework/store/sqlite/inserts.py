"""New jobs: those of callers that meet in one transaction of ours (on a caller's own: ``callers.py``)."""

from __future__ import annotations

from collections.abc import Sequence

import apsw

from ...clock import Millis, now_ms
from ...crashpoint import reach
from ...job import Inserted, NewJob, Verdict
from ..combining import Combiner
from ..relating import related
from . import inserting
from .bells import Ringer
from .connection import statement
from .flows import Flows
from .rows import insert_parameters
from .session import Session

MOST_ROWS = 500
"""Rows of one transaction: others wait for the lock a few ms, not more."""

Command = tuple[Sequence[NewJob], Millis | None]
"""At most ``MOST_ROWS`` jobs of one caller, and its clock."""


class Inserts(Combiner[Command, list[Inserted]]):
    """Of one store: submit a command, and it is stored together with those that wait."""

    def __init__(self, session: Session, flows: Flows, ringer: Ringer) -> None:
        super().__init__(self._together, lambda command: len(command[0]), MOST_ROWS)
        self._session = session
        self._flows = flows
        self._ringer = ringer

    def store(self, command: Command) -> list[Inserted]:
        """Store a caller's jobs: those that are for themselves together with others that wait."""
        jobs, now = command
        if not related(jobs):
            return self.submit(command)
        verdicts = self._flows.insert(jobs, now_ms() if now is None else now)
        self._ringer.ring("work")
        return [Inserted(job.id, verdict) for job, verdict in zip(jobs, verdicts, strict=True)]

    def _together(self, commands: Sequence[Command]) -> Sequence[list[Inserted] | BaseException]:
        rows: list[inserting.Row] = []
        for jobs, now in commands:
            moment = now_ms() if now is None else now
            rows += [insert_parameters(job, moment) for job in jobs]
        done: list[Verdict] = [self._one(rows[0])] if len(rows) == 1 else self._many(rows)
        verdicts = iter(done)
        reach("insert: committed")
        self._ringer.ring("work")  # once for all who shared the commit
        return [[Inserted(job.id, next(verdicts)) for job in jobs] for jobs, _ in commands]

    def _one(self, row: inserting.Row) -> Verdict:
        reach("insert: before commit")
        if self._session.write_one(statement("insert"), row) == 1:
            return "stored"
        return self._session.read(lambda connection: inserting.verdict_on_taken(connection, row))

    def _many(self, rows: Sequence[inserting.Row]) -> list[Verdict]:
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
