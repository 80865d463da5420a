"""Waiting for a condition, for tools and tests that never sleep for a time."""

from __future__ import annotations

import threading
from collections.abc import Callable
from time import monotonic
from typing import TypeVar

PATIENCE = 30.0
"""Seconds; generous, since nothing waits that long when all is well."""

Seen = TypeVar("Seen")


def until(look: Callable[[], Seen], what: str, patience: float = PATIENCE) -> Seen:
    """Look until it is so; what was seen."""
    pause, deadline = threading.Event(), monotonic() + patience
    while not (seen := look()):
        if monotonic() > deadline:
            raise TimeoutError(f"{what} did not come in {patience:.0f} s")
        pause.wait(0.005)
    return seen
