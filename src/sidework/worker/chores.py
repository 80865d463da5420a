"""Housekeeping: each chore is a ``tick`` that any worker may take; a thread with its own store, so
that a long prune never delays a claim."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable

from ..errors import StoreError
from ..store.protocol import Store

log = logging.getLogger("sidework.worker")

RESCUE_MS = 500
PRUNE_MS = 30_000
PRUNE_LIMIT = 500
CHECKPOINT_MS = 5_000
BOUND = 1_000


class Chores:
    """Runs the chores until closed."""

    def __init__(self, open_store: Callable[[], Store], retention: dict[str, int]) -> None:
        self._open = open_store
        self._retention = retention
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="sidework-chores", daemon=True)

    def start(self) -> None:
        """Begin; the first tick rescues what a dead worker has left."""
        self._thread.start()

    def close(self) -> None:
        """End after the chore under way."""
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        store = self._open()
        try:
            while True:
                try:
                    wait = tick(store, self._retention)
                except StoreError as error:
                    log.warning("chores wait: %s", error)
                    wait = 2.0
                except Exception:  # a fault of ours in one chore must not end all
                    log.exception("a chore failed; it is tried again")
                    wait = 5.0
                if self._stop.wait(wait):
                    return
        finally:
            store.close()


def tick(store: Store, retention: dict[str, int], now: int | None = None) -> float:
    """Take whatever turn is due; seconds until the next look."""
    # Not a turn: looking is a few lock probes, and every worker that looks is one more that sees a
    # death within half a second.
    rescued = store.rescue(now)
    if rescued:
        log.warning("brought back %d jobs of a worker that died", rescued)
    if store.take_turn("prune", PRUNE_MS, now):
        while store.prune(retention, PRUNE_LIMIT, now) >= PRUNE_LIMIT:
            pass
        store.expire(BOUND, now)
    if store.take_turn("checkpoint", CHECKPOINT_MS, now):
        store.checkpoint()
    return RESCUE_MS / 1000
