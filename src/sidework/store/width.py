"""How many more jobs of limited queues one claim may take (promise I11): for every engine."""

from __future__ import annotations

from collections.abc import Callable, Set

AGAIN_MS = 20
"""Until a queue that another claim has in its hands is looked at again."""


class Width:
    """Of one claim. ``look``: how many more of a limited lane may run; None when that cannot be told now."""

    def __init__(self, limited: Set[str], look: Callable[[str], int | None]) -> None:
        self.limited = limited
        self._look = look
        self._rooms: dict[str, int | None] = {}
        self.missed = False
        """Whether something was left that another look, a moment later, may find."""

    def room(self, lane: str, most: int) -> int:
        """Of so many, how many may be claimed from the lane; it is looked at once."""
        if lane not in self.limited:
            return most
        if lane not in self._rooms:
            self._rooms[lane] = self._look(lane)
        room = self._rooms[lane]
        if room is None:
            self.missed = True
            return 0
        return max(0, min(most, room))

    def took(self, lane: str, count: int) -> None:
        """So many were."""
        room = self._rooms.get(lane)
        if room is not None:
            self._rooms[lane] = room - count
