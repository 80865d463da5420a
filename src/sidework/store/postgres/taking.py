"""What one claim asks of the lanes: from the start of the index, or behind what its store remembers.

Which of the two, ``rounds.py`` says; where to begin in the other case, ``bounds.py``.
"""

from __future__ import annotations

from typing import Any

from ...clock import Millis, monotonic
from ...job import Claimed, Runner
from .arrays import BigInts, Column, Ints, Texts, Uuids
from .bounds import Bounds, Part
from .connection import Connection, rows, statement
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
        moment: Millis,
    ) -> None:
        self._connection = connection
        self._schema = schema
        self._worker = worker
        self._bounds = bounds
        self._rounds = bounds.rounds
        self._now = now
        self._moment = moment
        self.whole = False
        """Whether any question was from the start."""
        self.seconds = 0.0
        """How long those took that were."""
        first = self._rounds.begin()
        self.left_out = self._rounds.slow and not first
        """Whether there may be jobs that no question was for."""

    def take(self, runner: Runner, lane: str, most: int) -> list[Claimed]:
        """Claim at most so many, in their order."""
        values = {
            "lane": lane, "runner": runner, "limit": most, "worker": self._worker, "now": self._now
        }  # fmt: skip
        whole = self._rounds.whole(runner, lane)
        if whole:
            found = self._from_start("claim", **values)
        else:
            self.left_out = True
            found = self._ask("claim_after", **values, **_columns(self._bounds.parts(runner, lane)))
        taken = [claimed(row) for row in found]
        taken.sort(key=lambda job: (-job.priority, job.due_at, job.id))
        full = len(taken) == most
        self._bounds.took(runner, lane, taken, whole=whole, full=full)
        if not whole and not full:
            self._bounds.nothing(runner, lane, self._moment)
        self._rounds.asked(runner, lane, found=bool(taken))
        return taken

    def has(self, runner: Runner, lane: str) -> bool:
        """Whether a lane may have available jobs of a runner."""

        def ask() -> bool:
            return bool(self._from_start("lane", lane=lane, runner=runner)[0][0])

        if not self._rounds.slow:
            return ask()
        return self._bounds.knows(runner, lane) or self._rounds.has(runner, lane, ask)

    def walk(self, runner: Runner, after: str, most: int) -> list[tuple[str, bool]]:
        """The next lanes, and whether they may have any of a runner."""
        if not self._rounds.slow:
            found = self._from_start("lanes", runner=runner, after=after, most=most)
            return [(lane, any_) for lane, any_ in found]
        known = self._bounds.lanes("")
        unknown = self._rounds.unknown(
            lambda begin, most: [
                lane
                for (lane,) in self._from_start(
                    "lanes_between",
                    known=Texts([one for one in known if one > begin]), after=begin, most=most,
                )
            ]
        )  # fmt: skip
        line = sorted({lane for lane in (*known, *unknown) if lane > after})[:most]
        return [(lane, self.has(runner, lane)) for lane in line]

    def _from_start(self, verb: str, /, **values: Any) -> list[tuple[Any, ...]]:
        self.whole, began = True, monotonic()
        try:
            return self._ask(verb, **values)
        finally:
            self.seconds += monotonic() - began

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
