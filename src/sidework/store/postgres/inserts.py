"""New jobs: those of callers that meet in one transaction of ours, or each caller's in one of its own."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ...clock import Millis
from ...crashpoint import reach
from ...errors import StoreError
from ...job import Inserted, NewJob
from ..combining import Combiner
from ..relating import related as are_related
from . import bulk, inserting, related
from .connection import Sql
from .errand import Errand
from .flows import Flows
from .pulse import Pulse
from .session import Session

MOST_ROWS = 500
"""Rows of one transaction: others wait for its locks a few ms, not more."""

Command = tuple[Sequence[NewJob], Millis | None]
"""At most ``MOST_ROWS`` jobs of one caller, and its clock."""


class Inserts(Combiner[Command, list[Inserted]]):
    """Of one store: submit a command, and it is stored together with those that wait."""

    def __init__(self, session: Session, flows: Flows, pulse: Pulse) -> None:
        super().__init__(self._batch, lambda command: len(command[0]), MOST_ROWS)
        self._session = session
        self._flows = flows
        self._schema = session.place.schema
        self._pulse = pulse

    def store(self, command: Command) -> list[Inserted]:
        """Store a caller's jobs: those that are for themselves together with others that wait."""
        jobs, now = command
        if not are_related(jobs):
            return self.submit(command)
        try:
            return self._flows.insert(jobs, now)
        finally:
            self._pulse.ring("work")

    def _batch(self, commands: Sequence[Command]) -> Sequence[list[Inserted] | BaseException]:
        try:
            return self._together(commands)
        except StoreError as error:
            if len(commands) == 1 or not inserting.may_be_of_one(error):
                raise
            return [self._apart(command) for command in commands]
        finally:
            # Once for all who shared the commit; also after an error, behind which they may be stored.
            self._pulse.ring("work")

    def _apart(self, command: Command) -> list[Inserted] | BaseException:
        try:
            jobs, now = command
            apart = inserting.apart(self._schema, jobs, now)
            return self._session.write(apart, again=True)
        except StoreError as error:
            return error

    def _together(self, commands: Sequence[Command]) -> list[list[Inserted]]:
        done: dict[int, list[Inserted]] = {}
        for now in dict.fromkeys(now for _, now in commands):  # one, but for tests
            same = {at: jobs for at, (jobs, moment) in enumerate(commands) if moment == now}
            every = [job for jobs in same.values() for job in jobs]
            answers = iter(inserting.insert(self._ask, self._copy, self._schema, every, now))
            for at, jobs in same.items():
                done[at] = [next(answers) for _ in jobs]
        reach("insert: committed")
        return [done[at] for at in range(len(commands))]

    def _ask(self, sql: Sql, values: list[Any]) -> list[tuple[Any, ...]]:
        # Sent again after a lost answer it stores nothing twice (promise I12).
        return self._session.one(sql, values, again=True)

    def _copy(self, jobs: Sequence[NewJob], now: Millis | None) -> bool:
        return self._session.write(
            lambda connection: bulk.copy_in(connection, self._schema, jobs, now), again=True
        )

    def errand(self, jobs: Sequence[NewJob], now: Millis | None) -> Errand[list[Inserted]]:
        """The same on the caller's own connection, in statements of as many rows."""
        done = list[Inserted]()
        for start in range(0, len(jobs), MOST_ROWS):
            some = jobs[start : start + MOST_ROWS]
            errand = related.errand if are_related(some) else inserting.errand
            answers, transaction = yield from errand(self._schema, some, now)
            if transaction is not None:
                self._pulse.watch(transaction)  # rings when it is committed
            done += answers
        return done
