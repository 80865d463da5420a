"""What one claim asks of the lanes: from the start of the index, or behind what its store remembers.

Which of the two, ``rounds.py`` says; where to begin in the other case, ``bounds.py``.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from msgspec.structs import replace

from ...clock import Millis, monotonic
from ...inputs import takes_inputs
from ...job import Claimed, Runner
from .. import pausing
from ..lanes import MOST_LANES
from ..protocol import Demand
from ..width import Width
from . import resolving
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
        demand: Demand,
        bounds: Bounds,
        now: Millis | None,
    ) -> None:
        self._connection = connection
        self._schema = schema
        self._worker = demand.worker
        self._runners = [runner for runner, places in demand.places.items() if places > 0]
        self._served = demand.lanes
        self._bounds = bounds
        self._rounds = bounds.rounds
        self._now = now
        self._moment: Millis = EVER
        self._ahead: dict[str | None, Rows] = {}
        self._told: dict[str | None, list[tuple[Any, ...]]] = {}
        self.whole = False
        """Whether any question was from the start."""
        self.seconds = 0.0
        """How long those took that were."""
        self.alive = 0
        """Of the entries that were read, those of jobs that nobody took."""
        self.width = Width(frozenset(), self._room)
        self._paused = False
        self._asked_at = 0.0
        first = self._rounds.begin()
        self.left_out = self._rounds.slow and not first
        """Whether there may be jobs that no question was for."""

    def ahead(self, begins: Iterable[str]) -> None:
        """Ask what the lanes will ask first, on a connection in pipeline mode: the answers come with that
        of the next statement that is waited for; then call ``told``."""
        self._asked_at = monotonic()
        if self._rounds.together and not self._rounds.slow:
            self.whole = True
            for after in [None] if self._served else begins:
                self._ahead[after] = self._put(after)

    def told(self, moment: Millis, limited: frozenset[str], *, paused: bool) -> None:
        """The answers are there, and the time of this claim; which lanes are limited, and whether any task
        is paused."""
        self._moment = moment
        self._paused = paused
        self.width.limited = limited
        if self._ahead:
            self.seconds += monotonic() - self._asked_at

    def forget(self) -> None:
        """What was asked ahead may not hold any more."""
        self._ahead.clear()

    def take(self, runner: Runner, lane: str, most: int) -> list[Claimed]:
        """Claim at most so many, in their order."""
        most = self.width.room(lane, most)
        if most <= 0:
            return []
        values = {
            "lane": lane, "runner": runner, "limit": most, "worker": self._worker, "now": self._now,
            "limited": lane in self.width.limited,
        }  # fmt: skip
        whole = self._rounds.whole(runner, lane)
        if whole and self._paused and not self._clear(runner, lane, most):
            self.width.missed = True
            return []
        if whole:
            found = self._from_start("claim", **values)
        else:
            self.left_out = True
            found = self._ask("claim_after", **values, **_columns(self._bounds.parts(runner, lane)))
        taken = self._with_inputs([claimed(row) for row in found])
        taken.sort(key=lambda job: (-job.priority, job.due_at, job.id))
        self.width.took(lane, len(taken))
        full = len(taken) == most
        self._bounds.took(runner, lane, taken, whole=whole, full=full)
        if not whole and not full:
            self._bounds.nothing(runner, lane, self._moment)
        self._rounds.asked(runner, lane, found=bool(taken))
        return taken

    def _with_inputs(self, taken: list[Claimed]) -> list[Claimed]:
        takers = [job.id for job in taken if takes_inputs(job.args)]
        if not takers:
            return taken
        inputs = resolving.inputs(self._connection, self._schema, takers)
        return [replace(job, inputs=inputs.get(job.id, ())) for job in taken]

    def _room(self, lane: str) -> int | None:
        found = self._ask("room", lane=lane)
        if not found:
            return None
        ((running,),) = self._ask("running", lane=lane)
        return int(found[0][0] - running)

    def _clear(self, runner: Runner, lane: str, most: int) -> bool:
        def set_aside(limit: int) -> int:
            ((seen, moved),) = self._from_start("set_aside", lane=lane, runner=runner, limit=limit)
            self.alive += seen
            return int(moved)

        return pausing.clear(set_aside, most)

    def has(self, runner: Runner, lane: str) -> bool:
        """Whether a lane may have available jobs of a runner."""
        if not self._rounds.slow:
            return (lane, runner) in self._answer(None)

        def find() -> bool:
            one = {"lanes": Texts([lane]), "runners": Texts([runner])}
            return bool(self._from_start("lane", **one))

        return self._bounds.knows(runner, lane) or self._rounds.has(runner, lane, find)

    def walk(self, runner: Runner, after: str, most: int) -> list[tuple[str, bool]]:
        """The next lanes, and whether they may have any of a runner."""
        if not self._rounds.slow:
            return [(lane, runner in runners) for lane, runners in self._answer(after)[:most]]
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

    def _answer(self, after: str | None) -> list[tuple[Any, ...]]:
        """The lanes after a name, each with the runners that it has jobs for; or, of the lanes that are
        served, the pairs. One answer for all runners: a hint, as a take finds out by itself."""
        if after not in self._told:
            self.whole, began = True, monotonic()
            asked = self._ahead.pop(after, None) or self._put(after)
            self._told[after] = asked()
            self.seconds += monotonic() - began
        return self._told[after]

    def _put(self, after: str | None) -> Rows:
        values: dict[str, Any] = {"runners": Texts(self._runners)}
        if after is None:
            sql, values["lanes"] = statement("lane", self._schema), Texts(self._served)
        else:
            sql = statement("lanes", self._schema)
            values |= {"after": after, "most": MOST_LANES}
        return ask(self._connection, sql, sql.values(values))

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
