"""How long to wait before the next attempt.

The default is exponential backoff with *full jitter*: a uniform draw between 0 and
``min(cap, base * 2**(attempt-1))``, which spreads a crowd of failures best (M. Brooker,
"Exponential Backoff And Jitter", AWS Architecture Blog, 2015).
"""

from __future__ import annotations

import random
from collections.abc import Callable

from .duration import Duration, seconds
from .errors import BadValue

Backoff = Duration | Callable[[int], Duration] | None
"""``None``: the default; a duration: always that long; a function of the attempt (from 1)."""

BASE_SECONDS = 2.0
CAP_SECONDS = 3600.0


def delay_seconds(
    backoff: Backoff, attempt: int, draw: Callable[[], float] = random.random
) -> float:
    """Seconds to wait after failed attempt number ``attempt``; ``draw`` gives numbers in [0, 1)."""
    if backoff is None:
        return draw() * min(CAP_SECONDS, BASE_SECONDS * 2.0 ** min(attempt - 1, 60))
    if callable(backoff):
        return seconds(backoff(attempt), "backoff")
    return seconds(backoff, "backoff")


def check_backoff(backoff: Backoff) -> Backoff:
    """The backoff as given, or ``BadValue`` when it is neither duration, function nor ``None``."""
    if backoff is not None and not callable(backoff):
        try:
            seconds(backoff, "backoff")
        except BadValue as wrong:
            raise BadValue(f"{wrong}, or a function of the attempt") from None
    return backoff
