"""What every engine does with periodics (``store.periodics``)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from ..clock import Millis
from ..errors import StoreUnavailable
from ..periodic import Change, Declaration, Due, Firing, PeriodicRow

MOST_CHANGES = 500
"""Rows of one transaction: others wait for the lock a few ms, not more."""

Mark = tuple[Millis, str]
"""Where one is among those that are due: its ``look_at`` and its name."""
BEGINNING: Mark = (-(2**62), "")


class Blocked(StoreUnavailable):
    """Another's open transaction holds what is to be fired, or its job's unique key. Nothing was stored."""


class Periodics(Protocol):
    """What is enqueued by the clock.

    ``declare`` says what a worker's code declares, and settles what stands against what all living workers
    declare (``periodic.settle``); what came of it. ``due`` looks, from behind a mark on; ``fire`` moves on
    what still stands as it was looked at, and stores its jobs in the same transaction (promise I8); which
    it did. It waits for no stranger's transaction: ``Blocked`` says that one was in the way. ``pause`` and
    ``resume`` answer whether there was anything to be changed. ``forget`` deletes those retired before a
    span (``FORGOTTEN_MS``); how many. ``adopt`` takes over rows of another store, where there is none of
    that name; how many."""

    def declare(
        self, worker: int, mine: Declaration, now: Millis | None = None
    ) -> list[Change]: ...
    def due(self, limit: int, now: Millis | None = None, after: Mark = BEGINNING) -> Due: ...
    def fire(self, firings: Sequence[Firing], now: Millis | None = None) -> list[bool]: ...
    def all(self) -> list[PeriodicRow]: ...
    def get(self, name: str) -> PeriodicRow | None: ...
    def pause(self, name: str, by: str, why: str, now: Millis | None = None) -> bool: ...
    def resume(self, name: str, now: Millis | None = None) -> bool: ...
    def forget(self, now: Millis | None = None) -> int: ...
    def adopt(self, rows: Sequence[PeriodicRow]) -> int: ...
