"""Which lanes a claim asks, which of them first, and how it shares its places among them: for every engine.

All that it keeps are hints, in the memory of one store: where it was is not where another worker is.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Set
from typing import NamedTuple

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
"""Claim at most so many jobs of a runner from a lane, in the order of promise I6."""


class Question(NamedTuple):
    """What ``share`` asks about a runner: whether it has jobs in a lane, or the lanes after a name."""

    runner: Runner
    lane: str | None = None
    after: str = ""


class Lanes:
    """Goes round the lanes of a runner, bounded at each claim, so that every lane's turn comes."""

    def __init__(self) -> None:
        self._turns = Counter[Runner]()
        self._after: dict[Runner, str] = {}
        self._barren = Counter[Runner]()

    def questions(self, demand: Demand) -> list[Question]:
        """What ``share`` will ask first, for an engine that asks it all at once."""
        runners = [runner for runner, places in demand.places.items() if places > 0]
        if demand.lanes:
            return [Question(runner, lane) for runner in runners for lane in demand.lanes]
        return [Question(runner, after=self._after.get(runner, "")) for runner in runners]

    def share(
        self, demand: Demand, paused: Set[str], has: Has, walk: Walk, take: Take
    ) -> tuple[list[Claimed], frozenset[Runner]]:
        """Take what the demand has places for, evenly among open lanes; for which runners it was less."""
        taken: list[Claimed] = []
        short: set[Runner] = set()
        for runner, places in demand.places.items():
            if places <= 0:
                continue
            line, all_seen = self._open(runner, demand.lanes, paused, has, walk)
            left, first = places, True
            while left > 0 and line:
                fuller: list[str] = []
                for position, lane in enumerate(line):
                    share = -(-left // (len(line) - position))
                    if share <= 0:
                        break
                    got = take(runner, lane, share)
                    taken += got
                    left -= len(got)
                    if len(got) == share:
                        fuller.append(lane)
                    if first:
                        self._asked(runner, lane)
                line, first = fuller, False
            if left > 0 and all_seen:
                short.add(runner)
        return taken, frozenset(short)

    def _open(
        self, runner: Runner, served: tuple[str, ...], paused: Set[str], has: Has, walk: Walk
    ) -> tuple[list[str], bool]:
        """Open lanes with jobs for this runner, in the order to ask them; and whether these are all."""
        self._turns[runner] += 1
        if served:
            found = [lane for lane in served if lane not in paused and has(runner, lane)]
            return self._rotated(found, runner), True
        after = self._after.get(runner, "")
        walked = walk(runner, after, MOST_LANES)
        wraps = after != "" and len(walked) < MOST_LANES
        if wraps:
            again = walk(runner, "", MOST_LANES - len(walked))
            walked += [pair for pair in again if pair[0] <= after]
        found = [lane for lane, any_ in walked if any_ and lane not in paused]
        if len(walked) < MOST_LANES:
            self._after.pop(runner, None)
            return self._rotated(found, runner), True
        self._after[runner] = walked[-1][0]  # unless `_asked` says that it went less far
        self._barren[runner] = 0 if found else self._barren[runner] + wraps
        if self._barren[runner] < 2:
            return found, False
        # Twice past the end without a find: it has been everywhere, there is nothing to claim.
        self._barren[runner] = 0
        return [], True

    def _asked(self, runner: Runner, lane: str) -> None:
        """The last lane that there were places for: the next claim begins after it."""
        if runner in self._after:
            self._after[runner] = lane

    def _rotated(self, lanes: list[str], runner: Runner) -> list[str]:
        """With all in sight, another is first each time: none is always the one cut short."""
        start = self._turns[runner] % len(lanes) if lanes else 0
        return lanes[start:] + lanes[:start]
