"""When a claim looks at a lane from the start of its index, and when only behind its bounds (``bounds.py``).

As long as that is quick, always. Once it was slow, there are rounds: in each of them a lane is looked at
from the start the first time that it is asked, and lanes that are not known are looked for once. A round
goes on through as many claims as it takes, since one claim may have places for a few lanes only; the next
one begins within a second, whatever this one has not come to.
"""

from __future__ import annotations

from collections.abc import Callable

from ...clock import Millis, monotonic
from ...job import Runner

WHOLE_SECONDS = 0.9
"""Between the beginnings of two rounds at most. A worker looks every 0.1 s whether it is time."""
SHARE = 20
"""Looks from the start that took a while come again after so many times that while."""
MOST_REST = 30.0
"""And when the server does not even answer them in time: better claims that leave something out than none."""
MOST_DEAD = 2000
"""Dead entries that may be stepped over before it counts as slow. Counted, not timed: a busy machine makes
no bounds."""
MOST_UNKNOWN = 1000
"""Lanes that are looked for in one round; the next one goes on behind them."""


class Rounds:
    """The memory of one store. Not locked: whoever claims is alone in its session."""

    def __init__(self) -> None:
        self.slow = False
        """Whether there are rounds, and with them bounds."""
        self.together = True
        """Whether a claim asks the lanes along with its first question. Not after one whose first answer did
        not come: whatever it waited for, it was not to be told from the lanes."""
        self._began = self._ends = 0.0
        self._dead, self._seconds = 0, 0.0
        self._seen: set[tuple[Runner, str]] = set()
        self._has: dict[tuple[Runner, str], bool] = {}
        self._unknown: list[str] | None = None
        self._after = ""
        self._blind = False
        self._gave_up = 0

    def begin(self) -> bool:
        """A claim begins: it may be time for the next round, or to do without. Whether it is the first of a
        round."""
        if not self.slow or monotonic() < self._ends:
            return False
        self.slow = self._blind or not self._seen or self._dead > MOST_DEAD
        self._next()
        return True

    def _next(self) -> None:
        self._began = self._ends = monotonic()
        self._dead, self._seconds = 0, 0.0
        self._seen.clear()
        self._has.clear()
        self._unknown = None
        self._blind = False

    def rest(self) -> Millis:
        """Milliseconds until the next round."""
        return max(0, round((self._ends - monotonic()) * 1000))

    # One claim's questions ----------------------------------------------------------------------

    def whole(self, runner: Runner, lane: str) -> bool:
        """Whether to look at the lane from the start."""
        return not self.slow or (not self._blind and (runner, lane) not in self._seen)

    def has(self, runner: Runner, lane: str, ask: Callable[[], bool]) -> bool:
        """Whether a lane that is not known has jobs, as was found out in this round."""
        if (runner, lane) not in self._has:
            self._has[runner, lane] = not self._blind and ask()
        return self._has[runner, lane]

    def unknown(self, find: Callable[[str, int], list[str]]) -> list[str]:
        """Lanes that are not known, as was found out in this round. ``find``: the next ones after a lane, at
        most so many."""
        if self._unknown is None:
            self._unknown = [] if self._blind else find(self._after, MOST_UNKNOWN)
            self._after = self._unknown[-1] if len(self._unknown) == MOST_UNKNOWN else ""
        return self._unknown

    # What came of them --------------------------------------------------------------------------

    def asked(self, runner: Runner, lane: str, *, found: bool) -> None:
        """Jobs of the lane were claimed, or there were none."""
        self._seen.add((runner, lane))
        if not found:
            self._has[runner, lane] = False

    def looked(self, dead: int, seconds: float) -> None:
        """A claim with looks from the start has stepped over so many dead entries, and these looks took so
        long."""
        self._gave_up = 0
        if not self.slow:
            self.slow = dead > MOST_DEAD
            if not self.slow:
                self._seen.clear()
                self._has.clear()
                return
            self._began = monotonic()
        self._dead += dead
        self._seconds += seconds
        self._ends = self._began + min(WHOLE_SECONDS, self._seconds * SHARE)

    def gave_up(self, seconds: float) -> None:
        """A claim with looks from the start was not answered for so long: the next ones leave them out, each
        time longer."""
        if seconds < WHOLE_SECONDS:
            return
        self._gave_up += 1
        self.slow, self._blind = True, True
        self._ends = monotonic() + min(MOST_REST, WHOLE_SECONDS * 2**self._gave_up)
