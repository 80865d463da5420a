"""What a monitor reads of a store: values whose cost has a bound, whatever the tables hold.

Counts end at ``MOST_JOBS``, queues at ``MOST_QUEUES`` in the order of their names; what stands behind is
told together as ``OTHERS``, a name that no queue can have. Each engine reads the rows (its
``gauges.py``); here they become the same ``Reading``.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from itertools import chain
from typing import Protocol

from msgspec import Struct

from ..clock import Millis
from ..state import FINAL, State

MOST_JOBS = 10_000
"""More are not counted: of a queue's available jobs, and of all queues' together in any other state."""
MOST_QUEUES = 100
OTHERS = "(others)"
WINDOW: Millis = 60_000
"""Ends are counted within the last minute, or over the last ``MOST_JOBS`` where these were fewer."""
LEVELS = (*(state for state in State if state not in FINAL), State.DISCARDED)
"""The states whose jobs are counted: those that are live, and the dead letters."""


class Level(Struct, frozen=True):
    """How many jobs of a queue are in a state; of available ones, since when the oldest could have run."""

    queue: str
    state: State
    jobs: int
    since: Millis | None = None


class Reading(Struct, frozen=True):
    """How the store stood at ``at``, by its own clock.

    ``ends``: how many jobs became final a second, by queue and state. ``overdue``: milliseconds since each
    chore could have been taken, 0 for one that is not due.
    """

    at: Millis
    levels: list[Level]
    ends: dict[tuple[str, State], float]
    paused: list[str]
    overdue: dict[str, Millis]


class Gauges(Protocol):
    """What a monitor reads."""

    def read(self, now: Millis | None = None) -> Reading: ...


Available = Iterable[tuple[str, int, Millis | None]]
"""Queue, jobs, since when."""
Counted = Iterable[tuple[str, str, int]]
"""Queue, state, jobs."""
Ended = Iterable[tuple[str, str, int, Millis]]
"""Queue, state, jobs, when the first of them ended."""


def reading(
    at: Millis,
    available: Available,
    counted: Counted,
    ended: Ended,
    paused: Iterable[str],
    chores: Mapping[str, Millis],
) -> Reading:
    """The rows of an engine as values for a monitor."""
    jobs: dict[tuple[str, State], int] = {}
    since: dict[str, Millis] = {}
    ends = list(ended)
    waiting, standing = list(available), [(queue, State(s), n) for queue, s, n in counted]
    shut = sorted(paused)
    rows = ((one[0] for one in found) for found in (waiting, standing, ends))
    seen = set(chain.from_iterable(rows)) - {OTHERS}
    named = set(sorted({*seen, *shut})[:MOST_QUEUES])

    def told(queue: str) -> str:
        return queue if queue in named else OTHERS

    for queue, count, oldest in waiting:
        key = told(queue), State.AVAILABLE
        jobs[key] = jobs.get(key, 0) + count
        if oldest is not None:
            since[key[0]] = min(oldest, since.get(key[0], oldest))
    for queue, state, count in standing:
        jobs[told(queue), state] = jobs.get((told(queue), state), 0) + count
    queues = sorted({told(queue) for queue in (*seen, *shut)} | {queue for queue, _ in jobs})
    return Reading(
        at,
        [
            Level(queue, state, jobs.get((queue, state), 0),
                  since.get(queue) if state is State.AVAILABLE else None)
            for queue in queues
            for state in LEVELS
        ],
        _per_second(at, [(told(queue), State(s), n, first) for queue, s, n, first in ends]),
        sorted({told(queue) for queue in shut}),
        {name: max(0, at - next_at) for name, next_at in sorted(chores.items())},
    )  # fmt: skip


def _per_second(
    at: Millis, ended: list[tuple[str, State, int, Millis]]
) -> dict[tuple[str, State], float]:
    """By queue and state. Where the count met its bound, it is for the time that it reaches back."""
    rates: dict[tuple[str, State], float] = {}
    for final in sorted(FINAL):
        of = [(queue, count, first) for queue, state, count, first in ended if state is final]
        span = WINDOW
        if sum(count for _, count, _ in of) >= MOST_JOBS:
            span = max(1, at - min(first for *_, first in of))
        for queue, count, _ in of:
            rates[queue, final] = rates.get((queue, final), 0.0) + count * 1000 / span
    return rates
