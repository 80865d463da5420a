"""Where live jobs begin, as one store remembers it: hints that let a claim start behind dead entries.

An old transaction, of whatever program in the database, keeps the vacuum from removing what ended since:
at 500 jobs/s for ten minutes every look from the start of an index steps over 300,000 dead entries (80 ms).
A store that has found such a look to be slow begins the next ones after the last position that it took,
and looks from the start again when that costs a twentieth of its time at most, but always within a second.

Why this may not do harm. A bound only leaves out rows, for as long as ``WHOLE_SECONDS``: those that were
released, rescued or retried keep an old place, those of a transaction that committed late have one before
others', and lanes that this store has never taken from are not known to it. The next whole look sees them
all, and they come first in it. So promise I6 holds as it is worded: priority, then time, then id, *among
the rows a claim can see*; and nothing waits longer than a second, since a claim that came back short
under a bound says when the next whole look is due. Without slowness there are no bounds at all.
"""

from __future__ import annotations

from typing import Literal

from ...clock import Millis, monotonic
from ...job import Claimed, Runner

WHOLE_SECONDS = 0.9
"""Between two looks from the start at most. A worker looks every 0.1 s whether it is time."""
SHARE = 20
"""A look from the start that took a while comes again after so many times that while."""
MOST_REST = 30.0
"""And when the server does not even answer it in time: better claims that leave something out than none."""
MOST_DEAD = 2000
"""Dead entries that a look from the start may step over before it counts as slow. Counted, not timed: a busy
machine makes no bounds."""
LATE = 1000
"""Milliseconds from an insert's time to its commit, after which it may be seen by a whole look only."""
MOST_LANES, MOST_PRIORITIES = 1000, 16
"""What is remembered; what is forgotten is read whole again."""

EVER: Millis = -(2**63)
_ZERO = bytes(16)
_BELOW, _ABOVE = -(2**31), 2**31 - 1

What = Literal["jobs", "due"]
"""Jobs that may be claimed; jobs that become so, or expire."""
Position = tuple[Millis, bytes]
"""The time and id of a job in its priority."""
Part = tuple[int, int, Millis, bytes]
"""A priority that is not reached (the one above), a priority, and the position in it to begin after."""


class Bounds:
    """The memory of one store. Not locked: whoever claims is alone in its session."""

    def __init__(self) -> None:
        self._heads: dict[Runner, dict[str, dict[int, Position]]] = {}
        self._whole_at: dict[What, float] = {}
        self._since = EVER
        self._gave_up = 0

    # How far to look ----------------------------------------------------------------------------

    def whole(self, what: What) -> bool:
        """Whether it is time to look from the start."""
        return monotonic() >= self._whole_at.get(what, 0.0)

    def slow(self, what: What) -> bool:
        """Whether the last look from the start was slow."""
        return what in self._whole_at

    def rest(self, what: What) -> Millis:
        """Milliseconds until then."""
        return max(0, round((self._whole_at.get(what, 0.0) - monotonic()) * 1000))

    def gave_up(self, seconds: float) -> None:
        """A look from the start was not answered for so long: the next ones wait, each time longer."""
        if seconds >= WHOLE_SECONDS:
            self._gave_up += 1
            self._whole_at["jobs"] = monotonic() + min(MOST_REST, WHOLE_SECONDS * 2**self._gave_up)

    def looked(self, what: What, dead: int, seconds: float) -> None:
        """A look from the start stepped over so many dead entries and took so long."""
        if what == "jobs":
            self._gave_up = 0
        if dead > MOST_DEAD:
            self._whole_at[what] = monotonic() + min(WHOLE_SECONDS, seconds * SHARE)
        else:
            self._whole_at.pop(what, None)

    # What is due --------------------------------------------------------------------------------

    def since(self) -> Millis:
        """Nothing is due or expired from before, but for what a whole look is for."""
        return EVER if self.whole("due") else self._since

    def none_left(self, now: Millis) -> None:
        """What was due or expired by ``now`` has been dealt with."""
        self._since = now - LATE

    def some_left(self) -> None:
        """There was more of it than one look deals with."""
        self._since = EVER

    # Lanes --------------------------------------------------------------------------------------

    def lanes(self, after: str) -> list[str]:
        """The lanes that jobs were taken from, by name."""
        known = {lane for lanes in self._heads.values() for lane in lanes if lane > after}
        return sorted(known)

    def knows(self, runner: Runner, lane: str) -> bool:
        return lane in self._heads.get(runner, ())

    def parts(self, runner: Runner, lane: str) -> list[Part]:
        """The lane's index in pieces, in order: together all of it, less what lies before a position."""
        heads = self._heads.get(runner, {}).get(lane, {})
        parts: list[Part] = []
        above = _ABOVE
        for priority in sorted(heads, reverse=True):
            parts.append((above, priority, *heads[priority]))
            above = priority
        parts.append((above, _BELOW, EVER, _ZERO))
        return parts

    def took(
        self, runner: Runner, lane: str, jobs: list[Claimed], *, whole: bool, full: bool
    ) -> None:
        """These were claimed, in their order: the next ones lie behind the last of each priority."""
        if not jobs:
            return
        lanes = self._heads.setdefault(runner, {})
        if len(lanes) >= MOST_LANES and lane not in lanes:
            lanes.clear()
        heads = lanes.setdefault(lane, {})
        last = jobs[-1]
        if whole and full:
            # What lies behind the last one was not seen, whatever was taken there before: jobs that came
            # back, more than this claim had places for, go on from here.
            for priority in [known for known in heads if known < last.priority]:
                del heads[priority]
        if jobs[0].priority == last.priority:
            moved = {last.priority: (last.due_at, last.id)}
        else:
            moved = {job.priority: (job.due_at, job.id) for job in jobs}
        for priority, position in moved.items():
            back = full and priority == last.priority
            heads[priority] = position if back else max(position, heads.get(priority, position))
        while len(heads) > MOST_PRIORITIES:
            heads.pop(next(iter(heads)))

    def nothing(self, runner: Runner, lane: str, now: Millis) -> None:
        """Nothing was found behind the bounds: they follow the clock, or a store that gets none of the
        jobs would step over all that others took since its own last."""
        heads = self._heads.get(runner, {}).get(lane, {})
        for priority, head in heads.items():
            heads[priority] = max(head, (now - LATE, _ZERO))
