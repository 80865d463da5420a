"""Paused tasks: a claim that comes to jobs of one sets them aside, so that each is passed over once."""

from __future__ import annotations

from collections.abc import Callable

_STEP, _STEPS = 200, 5
"""Jobs looked at by one statement at least, and statements of one claim for one lane and runner."""


def clear(set_aside: Callable[[int], int], most: int) -> bool:
    """Set aside what a lane begins with of paused tasks. Whether its next jobs, so many, are all of open
    ones; else there is more to set aside, and the lane is looked at again. ``set_aside`` looks at the first
    so many and says how many it took away."""
    return any(set_aside(max(_STEP, most)) == 0 for _ in range(_STEPS))
