"""New jobs: those of callers that meet in one transaction of ours (on a caller's own: ``callers.py``)."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import apsw

from ...clock import Millis, now_ms
from ...crashpoint import reach
from ...job import Inserted, NewJob
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


_Insert = Callable[[apsw.Connection, Sequence[inserting.Row]], list[Inserted]]


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
        told = self._flows.insert(jobs, now_ms() if now is None else now)
        self._ringer.ring("work")
        return told

    def _together(self, commands: Sequence[Command]) -> Sequence[list[Inserted] | BaseException]:
        rows: list[inserting.Row] = []
        for jobs, now in commands:
            moment = now_ms() if now is None else now
            rows += [insert_parameters(job, moment) for job in jobs]
        done = iter(self._one(rows[0]) if len(rows) == 1 else self._many(rows))
        reach("insert: committed")
        self._ringer.ring("work")  # once for all who shared the commit
        return [[next(done) for _ in jobs] for jobs, _ in commands]

    def _one(self, row: inserting.Row) -> list[Inserted]:
        reach("insert: before commit")
        if self._session.write_one(statement("insert"), row) == 1:
            return [Inserted(row[0], "stored")]
        return self._store(inserting.insert, [row])

    def _many(self, rows: Sequence[inserting.Row]) -> list[Inserted]:
        try:
            return self._store(inserting.insert_wide, rows)
        except inserting.SomeWereThere:
            return self._store(inserting.insert, rows)

    def _store(self, insert: _Insert, rows: Sequence[inserting.Row]) -> list[Inserted]:
        def work(connection: apsw.Connection) -> list[Inserted]:
            done = insert(connection, rows)
            reach("insert: before commit")
            return done

        return self._session.write(work)
