"""Fires what the clock enqueues: says what this worker's code declares, and moves on what is due. Any worker
fires anything: a tick's job has one id, whoever makes it (promise I8)."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable, Iterator, Sequence

from msgspec.structs import replace

from ..clock import Millis, monotonic
from ..errors import StoreError
from ..periodic import Change, Declaration, Due, Firing, PeriodicRow, fire
from ..store.periodics import BEGINNING, Blocked
from ..store.protocol import Store

log = logging.getLogger("sidework.worker")

DECLARE_SECONDS = 10.0
"""How often it is looked whether what stands is still what living workers declare."""
LOOK_SECONDS = 1.0
"""How often it is asked what is due, at the least: another worker may have declared something sooner."""
DUE_LIMIT = 100
MOST_JOBS = 500
"""Jobs of one transaction."""
STEP_SECONDS = 0.3
"""A step ends after so much: whoever fires also looks for deaths (``chores.LOOK_SECONDS``)."""
BUSY_MS = 100
"""The next look when all that is due is in others' hands."""
STUCK_SECONDS = 5.0
"""One that a stranger's transaction holds up is tried again so often, by itself."""
AGAIN_SECONDS = 2.0
"""After an error."""

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
        self._declare_at = self._look_at = self._rest_until = 0.0
        self._waiting: set[str] = set()
        self._unfit: set[tuple[str, int]] = set()
        self._stuck = Stuck()

    def tick(self, store: Store, now: Millis | None = None) -> float:
        """Declare, and fire what is due, a step of it; seconds until the next look. An error is told, and
        keeps no other chore from its time."""
        rest = self._rest_until - monotonic()
        if rest > 0:
            return rest
        try:
            return self._tick(store, now)
        except StoreError as error:
            log.warning("periodics wait: %s", error)
        except Exception:  # a fault of ours: deaths are looked for all the same
            log.exception("periodics failed; they are tried again")
        self._rest_until = monotonic() + AGAIN_SECONDS
        return AGAIN_SECONDS

    def _tick(self, store: Store, now: Millis | None) -> float:
        at, worker = monotonic(), self._worker()
        if worker != self._declared_by or at >= self._declare_at:
            self.declare(store, now)
            self._look_at = 0.0
        if at < self._look_at:
            return self._look_at - at
        due = fire_due(store, now, self._unable, self._stuck)
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


class Stuck:
    """Periodics that a stranger's open transaction holds up; each is told of once."""

    def __init__(self) -> None:
        self._until: dict[str, float] = {}

    def __contains__(self, name: str) -> bool:
        return name in self._until

    def rests(self, name: str) -> bool:
        """Whether it is too early to try it again."""
        return monotonic() < self._until.get(name, 0.0)

    def add(self, name: str, error: Blocked) -> None:
        """It was tried in vain."""
        if name not in self._until:
            log.warning("periodic %s waits, the others go on: %s", name, error)
        self._until[name] = monotonic() + STUCK_SECONDS

    def free(self, names: Sequence[str]) -> None:
        """They are not held up (any more)."""
        for name in names:
            self._until.pop(name, None)


def fire_due(
    store: Store,
    now: Millis | None = None,
    unable: Callable[[PeriodicRow, Exception], None] | None = None,
    stuck: Stuck | None = None,
) -> Due:
    """Fire what is due, a step of it; what was seen. One that cannot be, ``unable`` is told of (without it,
    it raises): it was written by newer code, or this machine does not know its zone. It keeps no other from
    its time, stays as it is for a worker that can, and is not among what was seen. Nor is one that is
    ``stuck`` and rests."""
    stuck = Stuck() if stuck is None else stuck
    rows: list[PeriodicRow] = []
    firings: list[Firing] = []
    mark = BEGINNING
    while True:
        due = store.periodics.due(DUE_LIMIT, now, mark)
        for row in due.rows:
            if stuck.rests(row.name):
                continue
            try:
                firings.append(fire(row, due.moment))
            except Exception as error:
                if unable is None:
                    raise
                unable(row, error)
            else:
                rows.append(row)
        if rows or len(due.rows) < DUE_LIMIT:
            break
        last = due.rows[-1]
        mark = (due.moment if last.look_at is None else last.look_at, last.name)
    if not rows:
        # What is due stays so; when the next one is, it does not tell.
        return replace(due, rows=[], due_in=None if due.due_in == 0 else due.due_in)
    took = _fire(store, firings, now, stuck)
    return replace(due, rows=rows, due_in=0 if took else BUSY_MS)


def _fire(store: Store, firings: Sequence[Firing], now: Millis | None, stuck: Stuck) -> bool:
    """Fire them; whether any was, by us. Of those that are stored together one that is stuck would keep all
    from their time: then each is tried by itself."""
    until = monotonic() + STEP_SECONDS
    steps = deque(_together([one for one in firings if one.name not in stuck]))
    steps += [[one] for one in firings if one.name in stuck]
    took = False
    while steps and monotonic() < until:
        some = steps.popleft()
        try:
            took |= any(store.periodics.fire(some, now))
        except Blocked as error:
            if len(some) == 1:
                stuck.add(some[0].name, error)
            else:
                steps.extendleft([one] for one in reversed(some))
        else:
            stuck.free([one.name for one in some])
    return took


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
