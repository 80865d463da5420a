"""When to claim: for which runners there may be something. Only a hint, and never trusted for long.

Bells, the store's version and the next due time make it hungry; a claim that came back short stills
it. With every hint lost, a look once a second finds what there is (promise I10).
"""

from __future__ import annotations

import math

from ..clock import monotonic
from ..job import RUNNERS, Runner
from ..store.protocol import Bells, Turn

TICK_SECONDS = 0.1
"""How long the worker waits for news at most: it has deadlines and deaths to look for, too."""
SCAN_SECONDS = 1.0
"""How often a claim is tried whatever the hints say."""
LEAST_SECONDS = 0.01
"""Until what is due already is looked for again: it is more than one look takes, or locked by someone."""


class Hunger:
    """What a worker believes about work that waits."""

    def __init__(self) -> None:
        self.runners: set[Runner] = set(RUNNERS)
        self._due_at = math.inf
        self._version = -1
        self._look_at = self._scanned = 0.0

    def wake(self) -> None:
        """Something happened: there may be work of any kind."""
        self.runners.update(RUNNERS)

    def look(self, store: Bells, now: float) -> None:
        """Ask time and the store for what no bell has told."""
        if now >= self._due_at:
            self._due_at = math.inf
            self.wake()
        if now - self._scanned >= SCAN_SECONDS:
            self.wake()
        # Also while some runner is hungry: one whose places are all taken stays so for as long.
        if len(self.runners) < len(RUNNERS) and now >= self._look_at:
            version = store.version()
            self._look_at = now + store.pace()
            if version != self._version:
                self._version = version
                self.wake()

    def learn(self, turn: Turn, *, claimed: bool) -> None:
        """What a turn has shown; ``claimed`` when it asked for jobs at all."""
        # By this process's own clock from here on: the store's may be of another machine, and off by minutes.
        wait = math.inf if turn.due_in is None else max(LEAST_SECONDS, turn.due_in / 1000)
        self._due_at = monotonic() + wait
        if claimed:
            self._scanned = monotonic()
            self.runners -= turn.short

    def patience(self) -> float:
        """Seconds until the next look is worth it."""
        return min(TICK_SECONDS, max(0.0, self._due_at - monotonic()))
