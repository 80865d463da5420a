"""All jobs of one store to another: copied, checked, given up here, and only then run there.

No job may run in both, wherever this is stopped, so each step is stored before the next is begun:

1. Limits and paused tasks go over. The queues of the source are closed, and those of the target that live
   jobs come to. From here on neither store starts any of them; a reason at each queue says so, to whoever
   looks.
2. Every job is loaded as it is, its fence too. Until now nothing but the switches has changed in the
   source: whoever thinks better of it resumes its queues and throws the copy away.
3. Every job is read back and compared, and what still waits in the source is cancelled there. A
   pause alone would not do: run again a month later, this would bring back jobs that have run in the
   target and were pruned there.
4. Periodics go over with their next ticks, and are paused in the source; the queues of the target are
   opened. Those of the source stay closed.

Run again, it goes on where it was: what is there is compared and passed over, what came since follows.
Chores are not copied: they say when a store was last tidied, and the other one is tidied by its own.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence

from msgspec import Struct, field
from msgspec.structs import replace

from ..clock import monotonic
from ..crashpoint import reach
from ..errors import StoreRefused
from ..job import MOVED, Copied, QueueRow
from ..state import FINAL, LIVE, State
from ..url import shown
from .protocol import Store

BY = "sidework db copy"
"""Who closed a queue, when it was this."""

_MOVING = "moving to "
_PAGE = 500
_PATIENCE = 60.0
"""Seconds that a worker without a sign of life is waited for, until its jobs may be brought back."""

Tell = Callable[[str, int], None]
"""Hears what is done (``copying``, ``checking``) and to how many jobs so far."""


class Moved(Struct):
    """What a copy did, in jobs: stored now, found there, given up here, different there.

    ``earlier`` are those that a run before this one has moved; ``left`` those that are live in the source
    still.
    """

    source: str
    target: str
    stored: int = 0
    present: int = 0
    disowned: int = 0
    earlier: int = 0
    left: int = 0
    conflicts: list[bytes] = field(default_factory=list)


def copy(source: Store, target: Store, tell: Tell) -> Moved:
    """Move the jobs; ``StoreRefused`` when that cannot be done safely as things stand."""
    return _Copy(source, target, tell).run()


def refuse_workers(source: Store) -> None:
    """``StoreRefused`` while any worker of the source lives."""
    alive = [worker for worker in source.workers() if worker.alive]
    if alive:
        named = ", ".join(f"{worker.host} pid {worker.pid}" for worker in alive)
        raise StoreRefused(
            f"{shown(source.url)} has living workers ({named}): stop them, so that no job runs in "
            "both stores"
        )


class _Copy:
    def __init__(self, source: Store, target: Store, tell: Tell) -> None:
        self._source, self._target, self._tell = source, target, tell
        self._report = Moved(shown(source.url), shown(target.url))
        self._moving = _MOVING + self._report.target
        self._moved = MOVED + self._report.target
        self._filling = f"being filled from {self._report.source}"
        self._closed = set[str]()
        self._held = set[str]()

    def run(self) -> Moved:
        self._refuse()
        self._hold_back()
        for row in self._source.queues():
            self._close(row.name)
        reach("copy: closed")
        self._rescue()
        for page in self._pages("copying"):
            self._load(page)
            reach("copy: loaded")
        self._report.conflicts.clear()  # the second look tells
        for page in self._pages("checking"):
            self._give_up(page)
            reach("copy: disowned")
        self._move_periodics()
        self._open()
        for row in self._source.queues():
            self._report.left += sum(row.counts.get(state, 0) for state in LIVE)
        return self._report

    # Nothing is changed -------------------------------------------------------------------------

    def _refuse(self) -> None:
        refuse_workers(self._source)
        for store, named, to in (
            (self._source, self._report.source, self._report.target),
            (self._target, self._report.target, None),
        ):
            for row in store.queues():
                if row.paused_by != BY or row.paused_why is None:
                    continue
                for mark in (_MOVING, MOVED):
                    other = row.paused_why.removeprefix(mark)
                    if other not in (row.paused_why, to):
                        raise StoreRefused(
                            f"{named} was {mark.removesuffix(' to ')} to {other}: "
                            + ("go on with that one" if to else "copy into a new store")
                        )

    # The switches -------------------------------------------------------------------------------

    def _hold_back(self) -> None:
        """What is paused of tasks is paused in the target."""
        held = {task.name for task in self._target.limits.paused()}
        for task in self._source.limits.paused():
            if task.name not in held:
                self._target.limits.pause(task.name, task.by, task.why, task.at)

    def _narrow(self, here: QueueRow, there: QueueRow) -> None:
        """Give the target the limit of a queue that has none there, by code or by hand."""
        if there.most is None and there.declared is None:
            if here.declared is not None:
                self._target.limits.declare(here.name, here.declared)
            if here.most != here.declared:
                self._target.limits.limit(here.name, here.most)

    def _close(self, lane: str) -> None:
        """Let nothing of the lane start in the source; what someone else paused is paused in the target."""
        here, there = self._source.switch(lane), self._target.switch(lane)
        if here.paused_at is None or here.paused_by != BY:
            self._narrow(here, there)
            if here.paused_at is not None and (there.paused_at is None or there.paused_by == BY):
                by, why = here.paused_by or "", here.paused_why or ""
                self._target.pause(lane, by, why, here.paused_at)
            self._source.pause(lane, BY, self._moving)
            # By another address it may be the same store: it would give all its jobs up to itself.
            if self._target.switch(lane).paused_why == self._moving:
                if here.paused_at is None:
                    self._source.resume(lane)
                else:
                    by, why = here.paused_by or "", here.paused_why or ""
                    self._source.pause(lane, by, why, here.paused_at)
                raise StoreRefused(
                    f"{self._report.source} and {self._report.target} are one store: name another one"
                )
        self._closed.add(lane)

    def _hold(self, lane: str) -> None:
        """Let nothing of the lane start in the target before all is there and given up in the source."""
        if self._target.switch(lane).paused_at is None:
            self._target.pause(lane, BY, self._filling)
        self._held.add(lane)

    def _move_periodics(self) -> None:
        """With their next ticks, so that one that comes due meanwhile is no other than one that comes while
        workers are away; what stands in the target already stays."""
        rows = self._source.periodics.all()
        self._target.periodics.adopt(
            [
                replace(row, paused_at=None, paused_by=None, paused_why=None)
                if row.paused_by == BY
                else row
                for row in rows
            ]
        )
        for row in rows:
            if row.paused_at is None:
                self._source.periodics.pause(row.name, BY, self._moved)

    def _open(self) -> None:
        for lane in sorted(self._closed):
            self._source.pause(lane, BY, self._moved)
        reach("copy: left behind")
        for row in self._target.queues():
            if (row.paused_by, row.paused_why) == (BY, self._filling):
                self._target.resume(row.name)

    # The jobs -----------------------------------------------------------------------------------

    def _rescue(self) -> None:
        """Bring back what dead workers held; one that may still live is waited for."""
        pause, began = threading.Event(), monotonic()
        while True:
            self._source.rescue()
            rows = self._source.queues()
            running = sum(row.counts.get(State.RUNNING, 0) for row in rows)
            if not running:
                return
            refuse_workers(self._source)
            if monotonic() - began > _PATIENCE:
                raise StoreRefused(
                    f"{running} jobs of {self._report.source} run, and their workers are not known to "
                    "be dead: run this again later"
                )
            pause.wait(0.25)

    def _pages(self, doing: str) -> Iterator[list[Copied]]:
        """Every job of the source, in lanes that are closed; without those given up before."""
        after: bytes | None = None
        done = 0
        while page := self._source.copies.dump(after, _PAGE):
            new = {copied.job.lane for copied in page} - self._closed
            if new:
                for lane in new:
                    self._close(lane)
                continue  # read again: a worker may have claimed of them before they were closed
            if any(copied.job.state is State.RUNNING for copied in page):
                raise StoreRefused(
                    f"a worker has begun to work on {self._report.source}: stop it, run this again"
                )
            live = {copied.job.lane for copied in page if copied.job.state not in FINAL}
            for lane in live - self._held:
                self._hold(lane)
            kept = [copied for copied in page if not copied.disowned]
            if doing == "copying":
                self._report.earlier += len(page) - len(kept)
            yield kept
            after = page[-1].job.id
            done += len(page)
            self._tell(doing, done)

    def _load(self, page: Sequence[Copied]) -> None:
        for copied, verdict in zip(page, self._target.copies.load(page), strict=True):
            if verdict == "stored":
                self._report.stored += 1
            elif verdict == "present":
                self._report.present += 1
            else:
                self._report.conflicts.append(copied.job.id)

    def _give_up(self, page: Sequence[Copied]) -> None:
        """Load once more: now all is there, and is compared as it was committed."""
        verdicts = self._target.copies.load(page)
        late = verdicts.count("stored")
        if late:  # handed over meanwhile
            self._report.stored += late
            verdicts = self._target.copies.load(page)
        kept = list[Copied]()
        for copied, verdict in zip(page, verdicts, strict=True):
            if verdict == "conflict":
                self._report.conflicts.append(copied.job.id)
            elif verdict == "present" and copied.job.state not in FINAL:
                kept.append(copied)
        if kept:
            self._report.disowned += sum(self._source.copies.disown(kept, self._moved))
