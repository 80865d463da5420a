"""Which lanes a claim asks, and which of them first.

All that it keeps are hints, in the memory of one store: where it was is not where another worker is.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Set

import apsw

from ...job import Runner
from .connection import statement

MOST_LANES = 50
"""Lanes that one claim looks at for one runner (5 us each, in a write transaction). More than these
take turns."""


class Lanes:
    """Goes round the lanes of a runner, bounded at each claim, so that every lane's turn comes."""

    def __init__(self) -> None:
        self._turns = Counter[Runner]()
        self._after: dict[Runner, str] = {}
        self._barren = Counter[Runner]()

    def open(
        self,
        connection: apsw.Connection,
        runner: Runner,
        served: tuple[str, ...],
        paused: Set[str],
    ) -> tuple[list[str], bool]:
        """Open lanes with jobs for this runner, in the order to ask them; and whether these are all."""
        self._turns[runner] += 1
        if served:
            one = statement("lane")
            found = [
                lane
                for lane in served
                if lane not in paused
                and connection.execute(one, {"lane": lane, "runner": runner}).get
            ]
            return self._rotated(found, runner), True
        after = self._after.get(runner, "")
        walked = _walk(connection, runner, after, MOST_LANES)
        wraps = after != "" and len(walked) < MOST_LANES
        if wraps:
            again = _walk(connection, runner, "", MOST_LANES - len(walked))
            walked += [pair for pair in again if pair[0] <= after]
        found = [lane for lane, has in walked if has and lane not in paused]
        if len(walked) < MOST_LANES:
            self._after.pop(runner, None)
            return self._rotated(found, runner), True
        self._after[runner] = walked[-1][0]  # unless `asked` says that it went less far
        self._barren[runner] = 0 if found else self._barren[runner] + wraps
        if self._barren[runner] < 2:
            return found, False
        # Twice past the end without a find: it has been everywhere, there is nothing to claim.
        self._barren[runner] = 0
        return [], True

    def asked(self, runner: Runner, lane: str) -> None:
        """The last lane that there were places for: the next claim begins after it."""
        if runner in self._after:
            self._after[runner] = lane

    def _rotated(self, lanes: list[str], runner: Runner) -> list[str]:
        """With all in sight, another is first each time: none is always the one cut short."""
        start = self._turns[runner] % len(lanes) if lanes else 0
        return lanes[start:] + lanes[:start]


def _walk(
    connection: apsw.Connection, runner: Runner, after: str, most: int
) -> list[tuple[str, bool]]:
    values = {"runner": runner, "after": after, "most": most}
    return [(lane, bool(has)) for lane, has in connection.execute(statement("lanes"), values)]
