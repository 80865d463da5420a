"""What one claim asks of the lanes: from the start of the index, or behind what its store remembers.

Three kinds of look, by how the last one from the start went (bounds.py): from the start, as long as that
is quick; else behind the bounds, and once in a while from the start in those lanes that are known and for
any that are not, so that the dead entries are stepped over once and not at every question.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from ...clock import Millis
from ...job import Claimed, Runner
from ..lanes import MOST_LANES, Question
from .arrays import BigInts, Column, Ints, Texts, Uuids
from .bounds import EVER, Bounds, Part
from .connection import Connection, Rows, ask, rows, statement
from .rows import claimed


class Taking:
    """One claim's questions, in the words of ``lanes.Lanes``."""

    def __init__(
        self,
        connection: Connection,
        schema: str,
        worker: int,
        bounds: Bounds,
        now: Millis | None,
    ) -> None:
        self._connection = connection
        self._schema = schema
        self._worker = worker
        self._bounds = bounds
        self._now = now
        self.moment: Millis = EVER
        """The time of this claim, as soon as the server has told it."""
        self.whole = bounds.whole("jobs")
        self._slow = bounds.slow("jobs")
        self._unknown: dict[str, list[str]] = {}
        self._asked: dict[Question, Rows] = {}

    def ahead(self, questions: Iterable[Question]) -> None:
        """Ask what the lanes will ask first, on a connection in pipeline mode: the answers come with that
        of the next statement that is waited for."""
        if not self._slow:
            for one in questions:
                self._asked[one] = self._put(one)

    def forget(self) -> None:
        """What was asked ahead may not hold any more."""
        self._asked.clear()

    def take(self, runner: Runner, lane: str, most: int) -> list[Claimed]:
        """Claim at most so many, in their order."""
        values = {
            "lane": lane, "runner": runner, "limit": most, "worker": self._worker, "now": self._now
        }  # fmt: skip
        if self.whole:
            found = self._ask("claim", **values)
        else:
            found = self._ask("claim_after", **values, **_columns(self._bounds.parts(runner, lane)))
        taken = [claimed(row) for row in found]
        taken.sort(key=lambda job: (-job.priority, job.due_at, job.id))
        full = len(taken) == most
        self._bounds.took(runner, lane, taken, whole=self.whole, full=full)
        if not self.whole and not full:
            self._bounds.nothing(runner, lane, self.moment)
        return taken

    def has(self, runner: Runner, lane: str) -> bool:
        """Whether a lane may have available jobs of a runner."""
        if self._slow and (not self.whole or self._bounds.knows(runner, lane)):
            return self._bounds.knows(runner, lane)
        return bool(self._answer(Question(runner, lane=lane))[0][0])

    def walk(self, runner: Runner, after: str, most: int) -> list[tuple[str, bool]]:
        """The next lanes, and whether they may have any of a runner."""
        if not self._slow:
            found = self._answer(Question(runner, after=after))
            return [(lane, any_) for lane, any_ in found[:most]]
        known = self._bounds.lanes(after)
        if not self.whole:
            return [(lane, self._bounds.knows(runner, lane)) for lane in known[:most]]
        if after not in self._unknown:  # the same for all runners
            found = self._ask("lanes_between", known=Texts(known), after=after, most=most)
            self._unknown[after] = [lane for (lane,) in found]
        line = sorted([*known, *self._unknown[after]])[:most]
        return [(lane, self.has(runner, lane)) for lane in line]

    def _answer(self, question: Question) -> list[tuple[Any, ...]]:
        asked = self._asked.pop(question, None)
        return (asked or self._put(question))()

    def _put(self, one: Question) -> Rows:
        values = {"runner": one.runner, "lane": one.lane, "after": one.after, "most": MOST_LANES}
        sql = statement("lanes" if one.lane is None else "lane", self._schema)
        return ask(self._connection, sql, sql.values(values))

    def _ask(self, verb: str, /, **values: Any) -> list[tuple[Any, ...]]:
        sql = statement(verb, self._schema)
        return rows(self._connection, sql, sql.values(values))


def _columns(parts: list[Part]) -> dict[str, Column]:
    above, priority, due_at, after = zip(*parts, strict=True)
    return {
        "above": Ints(above),
        "priority": Ints(priority),
        "due_at": BigInts(due_at),
        "after": Uuids(after),
    }
