"""Housekeeping: what any worker may do for all, a bounded step at a time; a thread with a store of its
own, so that a long prune never delays a claim."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable

from ..clock import Millis
from ..errors import StoreError
from ..store.protocol import Store
from .periodics import Periodics

log = logging.getLogger("sidework.worker")

LOOK_SECONDS = 0.5
"""Every worker looks for deaths this often: half of what promise I7 leaves for it."""
AGAIN_SECONDS = 0.05
EVERY = {"promote": 5_000, "reconcile": 1_000, "checkpoint": 5_000, "prune": 30_000}
"""Of all workers one takes the turn at each of these, so many milliseconds after the last."""
PRUNE_LIMIT = 5_000
PROMOTE_LIMIT = 500
EXPIRE_LIMIT = 500
RECONCILE_LIMIT = 5_000
BACK_LIMIT = 5_000


class Chores:
    """Runs the chores until closed."""

    def __init__(
        self, open_store: Callable[[], Store], retention: dict[str, int], periodics: Periodics
    ) -> None:
        self._open = open_store
        self._retention = retention
        self._periodics = periodics
        self._store: Store | None = None
        self._turns: set[str] = set()  # taken, and not yet used
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="sidework-chores", daemon=True)

    def start(self) -> None:
        """Begin; the first tick rescues what a dead worker has left."""
        self._thread.start()

    def close(self, patience: float) -> None:
        """End after the step under way, which waits for others' locks no longer than ``patience`` seconds."""
        self._stop.set()
        store = self._store
        if store is not None:
            store.hurry(patience)
        self._thread.join()

    def _run(self) -> None:
        wait = 0.0
        while not self._stop.wait(wait):
            try:
                self._store = self._store or self._open()
                wait = self.tick(self._store)
            except StoreError as error:
                log.warning("chores wait: %s", error)
                wait = 2.0
            except Exception:  # a fault of ours in one chore must not end all
                log.exception("a chore failed; it is tried again")
                wait = 5.0
        if self._store is not None:
            self._store.close()

    def tick(self, store: Store, now: Millis | None = None) -> float:
        """Do what is due, or a step of it; seconds until the next look."""
        # Not a turn: looking is a few lock probes, and every worker that looks is one more that
        # sees a death within half a second.
        rescued = store.rescue(now)
        if rescued:
            log.warning("brought back %d jobs of a worker that died", rescued)
        self._turns |= store.take_turns(EVERY, now)
        for name, chore in (
            ("promote", self._promote),
            ("reconcile", self._reconcile),
            ("checkpoint", self._checkpoint),
            ("prune", self._prune),
        ):
            if name in self._turns:
                # Before it is done: an error ends this step, and takes from no other chore the turn it has.
                self._turns.remove(name)
                chore(store, now)
        # Last: in a step that stops here, what brings back and clears away was done.
        wait = self._periodics.tick(store, now)
        return min(wait, AGAIN_SECONDS if "prune" in self._turns else LOOK_SECONDS)

    def _promote(self, store: Store, now: Millis | None) -> None:
        store.promote(PROMOTE_LIMIT, now)  # where nothing is claimed: every queue is paused

    def _reconcile(self, store: Store, now: Millis | None) -> None:
        store.flows.reconcile(RECONCILE_LIMIT, now)
        store.limits.bring_back(BACK_LIMIT)  # where whoever resumed a task did not get that far

    def _checkpoint(self, store: Store, now: Millis | None) -> None:
        store.checkpoint()

    def _prune(self, store: Store, now: Millis | None) -> None:
        left = store.prune(self._retention, PRUNE_LIMIT, now) >= PRUNE_LIMIT
        if store.expire(EXPIRE_LIMIT, now) >= EXPIRE_LIMIT or left:
            self._turns.add(
                "prune"
            )  # what a step leaves, the next takes: who has the turn sees it through
        else:
            store.periodics.forget(now)
