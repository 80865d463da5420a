"""``store.flows``: jobs that wait for jobs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

from ..clock import Millis, monotonic
from ..job import Edge

MOST_EDGES = 500
"""Waits that one transaction ends: others wait for its locks a few ms, not more."""

WALK_STEPS, WALK_SECONDS = 20, 0.2
"""How far one look for ends goes on: the turn passes from worker to worker, and each has its own place."""


def walk_on(step: Callable[[], tuple[int, bool]]) -> int:
    """Take steps until one tells that it was the last, or it is enough for now; the sum of what they tell."""
    until = monotonic() + WALK_SECONDS
    total = 0
    for _ in range(WALK_STEPS):
        count, last = step()
        total += count
        if last or monotonic() >= until:
            break
    return total


class Flows(Protocol):
    """Jobs that wait for jobs, and callbacks. Whatever makes a job final goes on from there in the same
    transaction: those that waited for it have one input less, and are available at the last; where a policy
    says so they are cancelled with it; and its callbacks are enqueued. More than ``MOST_EDGES``, and what
    follows from those that were cancelled, is done at once after it, or by the worker's next turns.

    A child may be stored while its parent ends and neither sees the other; an own transaction (``finish_on``)
    leaves all this to whoever comes next. So ``reconcile`` looks through the waits, ``limit`` at a step, for
    ends that nobody has followed, until it is through or for ``WALK_SECONDS``, and the next time goes on from
    there; how many jobs had such. ``edges`` are those of these jobs, whether parent or child."""

    def reconcile(self, limit: int, now: Millis | None = None) -> int: ...
    def edges(self, ids: Sequence[bytes]) -> list[Edge]: ...
