"""Fires what the clock enqueues: says what this worker's code declares, and moves on what is due. Any worker
fires anything: a tick's job has one id, whoever makes it (promise I8)."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence

from msgspec.structs import replace

from ..clock import Millis, monotonic
from ..periodic import Change, Declaration, Due, Firing, PeriodicRow, fire
from ..store.protocol import Store

log = logging.getLogger("sidework.worker")

DECLARE_SECONDS = 10.0
"""How often it is looked whether what stands is still what living workers declare."""
LOOK_SECONDS = 1.0
"""How often it is asked what is due, at the least: another worker may have declared something sooner."""
DUE_LIMIT = 100
MOST_JOBS = 500
"""Jobs of one transaction."""

_SAYS = {
    "new": "periodic %s: new",
    "changed": "periodic %s: changed",
    "again": "periodic %s: declared again",
    "retired": "periodic %s is retired: no worker's code declares it any more",
    "clock": "periodic %s: begins anew, the store's clock was put back",
    "waits": "periodic %s: another worker that lives declares it otherwise, and that holds as long as it "
    "lives; if it is of another app, give one of them name='...'",
}


class Periodics:
    """Of one worker. ``worker``: its number in the store now; ``mine``: what its code declares."""

    def __init__(self, worker: Callable[[], int], mine: Declaration) -> None:
        self._worker = worker
        self._mine = mine
        self._declared_by = 0
        self._declare_at = self._look_at = 0.0
        self._waiting: set[str] = set()
        self._unfit: set[tuple[str, int]] = set()

    def tick(self, store: Store, now: Millis | None = None) -> float:
        """Declare, and fire what is due, a step of it; seconds until the next look."""
        at, worker = monotonic(), self._worker()
        if worker != self._declared_by or at >= self._declare_at:
            self.declare(store, now)
            self._look_at = 0.0
        if at < self._look_at:
            return self._look_at - at
        due = fire_due(store, now, self._unable)
        wait = LOOK_SECONDS if due.due_in is None else min(LOOK_SECONDS, due.due_in / 1000)
        self._look_at = monotonic() + wait
        return wait

    def declare(self, store: Store, now: Millis | None = None) -> None:
        """Have the store know what this worker's code declares. Before it says that it is ready, so that
        whoever waited for that finds it."""
        at, worker = monotonic(), self._worker()
        changes = store.periodics.declare(worker, self._mine, now)
        for change in changes:
            if change.what != "waits" or change.name not in self._waiting:
                _tell(change)
        self._waiting = {change.name for change in changes if change.what == "waits"}
        self._declared_by, self._declare_at = worker, at + DECLARE_SECONDS

    def _unable(self, row: PeriodicRow, error: Exception) -> None:
        if (row.name, row.version) not in self._unfit:
            self._unfit.add((row.name, row.version))
            log.error(
                "periodic %s cannot be fired by this worker (%s: %s): left to others",
                row.name,
                type(error).__name__,
                error,
            )


def fire_due(
    store: Store,
    now: Millis | None = None,
    unable: Callable[[PeriodicRow, Exception], None] | None = None,
) -> Due:
    """Fire what is due, a step of it; what was seen. One that cannot be, ``unable`` is told of (without it,
    it raises): it was written by newer code, or this machine does not know its zone. It keeps no other from
    its time, stays as it is for a worker that can, and is not among what was seen."""
    due = store.periodics.due(DUE_LIMIT, now)
    rows: list[PeriodicRow] = []
    firings: list[Firing] = []
    for row in due.rows:
        try:
            firings.append(fire(row, due.moment))
        except Exception as error:
            if unable is None:
                raise
            unable(row, error)
        else:
            rows.append(row)
    for some in _together(firings):
        store.periodics.fire(some, now)
    return replace(due, rows=rows, due_in=None) if due.rows and not rows else due


def _tell(change: Change) -> None:
    level = logging.WARNING if change.what in ("retired", "clock", "waits") else logging.INFO
    log.log(level, _SAYS[change.what], change.name)


def _together(firings: Sequence[Firing]) -> Iterator[list[Firing]]:
    """As many as go into one transaction."""
    some: list[Firing] = []
    jobs = 0
    for one in firings:
        if some and jobs + len(one.jobs) > MOST_JOBS:
            yield some
            some, jobs = [], 0
        some.append(one)
        jobs += len(one.jobs)
    if some:
        yield some
