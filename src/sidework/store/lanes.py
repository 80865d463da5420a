"""Which lanes a claim asks, which of them first, and how it shares its places among them: for every engine.

All that it keeps are hints, in the memory of one store: where it was is not where another worker is.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Set

from ..job import Claimed, Runner
from .protocol import Demand

MOST_LANES = 50
"""Lanes that one claim looks at for one runner (on SQLite 5 us each, in a write transaction). More than
these take turns."""

Has = Callable[[Runner, str], bool]
"""Whether a lane has available jobs of a runner."""
Walk = Callable[[Runner, str, int], list[tuple[str, bool]]]
"""The next lanes with available jobs after one, at most so many, and whether they have any of a runner."""
Take = Callable[[Runner, str, int], list[Claimed]]
"""Claim at most so many jobs of a runner (0: none) from a lane, in the order of promise I6."""


class Lanes:
    """Goes round the lanes of a runner, bounded at each claim, so that every lane's turn comes."""

    def __init__(self) -> None:
        self._turns = Counter[Runner]()
        self._after: dict[Runner, str] = {}
        self._barren = Counter[Runner]()

    def begins(self, demand: Demand) -> set[str]:
        """After which names ``share`` will ask for lanes first, for an engine that asks ahead."""
        return {self._after.get(one, "") for one, places in demand.places.items() if places > 0}

    def share(
        self, demand: Demand, paused: Set[str], has: Has, walk: Walk, take: Take
    ) -> tuple[list[Claimed], frozenset[Runner]]:
        """Take what the demand has places for, evenly among open lanes; for which runners it was less."""
        taken: list[Claimed] = []
        short: set[Runner] = set()
        rooms = dict(demand.most)
        for runner, places in demand.places.items():
            if places <= 0:
                continue
            line, all_seen, wraps = self._open(runner, demand.lanes, paused, has, walk)
            left, first = places, True
            while left > 0 and line:
                fuller: list[str] = []
                for position, lane in enumerate(line):
                    share = -(-left // (len(line) - position))
                    if share <= 0:
                        break
                    got = take(runner, lane, min(share, rooms.get(lane, share)))
                    taken += got
                    left -= len(got)
                    if lane in rooms:
                        rooms[lane] -= len(got)
                    if len(got) == share:
                        fuller.append(lane)
                    if first:
                        self._asked(runner, lane)
                line, first = fuller, False
            self._barren[runner] = self._barren[runner] + wraps if left == places else 0
            if self._barren[runner] >= 2:
                # Twice past the end and nothing to claim: it has been everywhere.
                self._barren[runner], all_seen = 0, True
            if left > 0 and all_seen:
                short.add(runner)
        return taken, frozenset(short)

    def _open(
        self, runner: Runner, served: tuple[str, ...], paused: Set[str], has: Has, walk: Walk
    ) -> tuple[list[str], bool, bool]:
        """Open lanes with jobs for this runner, in the order to ask them; whether these are all; and, if
        not, whether the last lane was passed."""
        self._turns[runner] += 1
        if served:
            found = [lane for lane in served if lane not in paused and has(runner, lane)]
            return self._rotated(found, runner), True, False
        after = self._after.get(runner, "")
        walked = walk(runner, after, MOST_LANES)
        wraps = after != "" and len(walked) < MOST_LANES
        if wraps:
            again = walk(runner, "", MOST_LANES - len(walked))
            walked += [pair for pair in again if pair[0] <= after]
        found = [lane for lane, any_ in walked if any_ and lane not in paused]
        if len(walked) < MOST_LANES:
            self._after.pop(runner, None)
            return self._rotated(found, runner), True, False
        self._after[runner] = walked[-1][0]  # unless `_asked` says that it went less far
        return found, False, wraps

    def _asked(self, runner: Runner, lane: str) -> None:
        """The last lane that there were places for: the next claim begins after it."""
        if runner in self._after:
            self._after[runner] = lane

    def _rotated(self, lanes: list[str], runner: Runner) -> list[str]:
        """With all in sight, another is first each time: none is always the one cut short."""
        start = self._turns[runner] % len(lanes) if lanes else 0
        return lanes[start:] + lanes[:start]
