"""Where live jobs begin, as one store remembers it: hints that let a claim start behind dead entries.

An old transaction, of whatever program in the database, keeps the vacuum from removing what ended since:
at 500 jobs/s for ten minutes every look from the start of an index steps over 300,000 dead entries (80 ms).
A store that has found such a look to be slow begins the next ones after the last position that it took,
and looks from the start again when that costs a twentieth of its time at most, but always within a second
(``rounds.py``).

Why this may not do harm. A bound only leaves out rows, for as long as ``WHOLE_SECONDS``: those that were
released, rescued or retried keep an old place, those of a transaction that committed late have one before
others', and lanes that this store has never taken from are not known to it. The next look from the start
sees them all, and they come first in it. So promise I6 holds as it is worded: priority, then time, then id,
*among the rows a claim can see*; and nothing waits more than a second longer for its lane's turn, since a
claim that came back short under a bound says when the next round is due. Longer it is only where the server
does not even answer looks from the start (``rounds.MOST_REST``). Without slowness there are no bounds.
"""

from __future__ import annotations

from ...clock import Millis, monotonic
from ...job import Claimed, Runner
from .rounds import MOST_DEAD, SHARE, WHOLE_SECONDS, Rounds

LATE = 1000
"""Milliseconds from an insert's time to its commit, after which it may be seen by a whole look only."""
MOST_LANES, MOST_PRIORITIES = 1000, 16
"""What is remembered; what is forgotten is read whole again."""

EVER: Millis = -(2**63)
_ZERO = bytes(16)
_BELOW, _ABOVE = -(2**31), 2**31 - 1

Position = tuple[Millis, bytes]
"""The time and id of a job in its priority."""
Part = tuple[int, int, Millis, bytes]
"""A priority that is not reached (the one above), a priority, and the position in it to begin after."""


class Bounds:
    """The memory of one store. Not locked: whoever claims is alone in its session."""

    def __init__(self) -> None:
        self.rounds = Rounds()
        self._heads: dict[Runner, dict[str, dict[int, Position]]] = {}
        self._whole_at: float | None = None
        self._since = EVER

    # What is due --------------------------------------------------------------------------------

    @property
    def all_due(self) -> bool:
        """Whether it is time to look from the start at what is due or expires."""
        return self._whole_at is None or monotonic() >= self._whole_at

    def since(self) -> Millis:
        """Nothing is due or expired from before, but for what a whole look is for."""
        return EVER if self.all_due else self._since

    def looked(self, dead: int, seconds: float) -> None:
        """A look from the start stepped over so many dead entries and took so long."""
        slow = dead > MOST_DEAD
        self._whole_at = monotonic() + min(WHOLE_SECONDS, seconds * SHARE) if slow else None

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
        """Whether jobs of the runner were taken from the lane."""
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
