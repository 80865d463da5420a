"""How many jobs of a queue run at a time: what this worker may take by its own choice, and when the end of
one of its jobs makes room, for itself or for another worker.

Hints only: the store decides who gets what, and a look once a second finds what no hint told.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

from ..job import Claimed
from ..outcome import Outcome
from ..store.protocol import Turn


class Widths:
    """Of one worker. ``own``: how many jobs of a queue it runs at a time itself."""

    def __init__(self, own: Mapping[str, int]) -> None:
        self._own = own
        self._lanes: dict[tuple[bytes, int], str] = {}
        self._limited: frozenset[str] = frozenset()

    def most(self, running: Iterable[Claimed]) -> dict[str, int]:
        """How many more of each queue that it has narrowed itself."""
        if not self._own:
            return {}
        taken = Counter(job.lane for job in running)
        return {lane: max(0, width - taken[lane]) for lane, width in self._own.items()}

    def make_room(self, ends: Iterable[Outcome]) -> bool:
        """Whether these ends, once recorded, make room for jobs that waited for it."""
        return bool(self._lanes) and any((one.id, one.fence) in self._lanes for one in ends)

    def learn(self, ends: Sequence[Outcome], turn: Turn) -> bool:
        """What a turn recorded and claimed. Whether it made room for others: more of a queue that is limited
        for all has ended than it took anew."""
        freed = Counter[str]()
        for one, took in zip(ends, turn.took, strict=True):
            if took is not None and (lane := self._lanes.pop((one.id, one.fence), None)):
                freed[lane] += lane in self._limited
        if turn.limited or self._own:
            self._limited |= turn.limited
            for job in turn.claimed:
                if job.lane in self._own or job.lane in turn.limited:
                    self._lanes[job.id, job.fence] = job.lane
                    freed[job.lane] -= 1
        return any(count > 0 for count in freed.values())
