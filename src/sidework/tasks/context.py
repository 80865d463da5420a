"""What a running job can ask: which job it is, how long it may take, whether it should stop."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import datetime
from typing import Any, Protocol

import msgspec

from ..clock import to_datetime
from ..codec import TypeHooks, encode
from ..errors import ClaimLost, SideworkError
from ..ids import derived_at, id_text
from ..job import Claimed
from ..outcome import Outcome
from .pad import Pad
from .task import Task


class Stopped(BaseException):
    """Raised in an attempt that must end: its time is over, or someone cancelled it. ``why`` is empty
    where only its runner knows."""

    def __init__(self, why: str) -> None:
        self.why = why
        super().__init__(why)


class Book(Protocol):
    """Takes what running jobs tell."""

    def pad(self, job: RunningJob, claim: Claimed) -> Pad | None: ...
    def told(self, job: RunningJob) -> None: ...


class RunningJob:
    """The job that runs here: a view of its claim, made for every attempt and read by few."""

    __slots__ = (
        "_book", "_claim", "_park", "_should_stop", "_task", "_waits", "deadline", "finished",
        "in_transaction", "opened", "seq",
    )  # fmt: skip

    def __init__(self, claim: Claimed, task: Task[Any, Any, Any]) -> None:
        self._claim = claim
        self._task = task
        self._should_stop = False
        self._park: Callable[[bool], None] = _stay
        self._waits = 0
        self._book: Book | None = None
        self.seq = -1
        self.opened: Pad | None = None
        """What it has told, once it has told anything."""
        self.deadline: float | None = None
        """When its time is over, in seconds of ``clock.monotonic``; ``None`` without a timeout."""
        self.in_transaction = False
        """Whether a transaction of its own, open or ended, may hold its end."""
        self.finished = False
        """Whether such an end took, and stands if its transaction is committed."""

    @property
    def id(self) -> str:
        """The job's id, a UUID as text."""
        return id_text(self._claim.id)

    @property
    def task(self) -> str:
        """The task's name."""
        return self._claim.task

    @property
    def hooks(self) -> TypeHooks:
        """How its app stores own types."""
        return self._task.hooks

    @property
    def queue(self) -> str:
        """The queue that it was claimed from."""
        return self._claim.lane

    @property
    def tick(self) -> datetime | None:
        """The tick that the clock enqueued it for, in UTC, however late it runs; ``None`` when it was
        enqueued in another way, also by hand for a periodic. (An id of version 8 that you gave is taken
        for its.)"""
        millis = derived_at(self._claim.id)
        return None if millis is None else to_datetime(millis)

    @property
    def attempt(self) -> int:
        """Which execution of the job this is, from 1."""
        return self._claim.attempt

    @property
    def max_attempts(self) -> int:
        """How many executions it may have: its retries and one."""
        return self._claim.max_attempts

    @property
    def fence(self) -> int:
        """The number of this claim: it grows at every claim of the job and never repeats."""
        return self._claim.fence

    @property
    def context(self) -> dict[str, str]:
        """What middleware gave it along when it was handed over."""
        stored = self._claim.context
        return {} if stored is None else msgspec.json.decode(stored, type=dict[str, str])

    @property
    def should_stop(self) -> bool:
        """Whether someone cancelled the job, its deadline passed, or its worker is cut off from the
        store (``on_partition="stop"``): threads ask, then return, or raise to be run again."""
        return self._should_stop

    def finish_in(self, connection: Any, result: Any = None) -> None:
        """Complete this job on ``connection``, in the transaction that it is in: when that is committed
        the job is completed with this result, together with whatever else was written there; when it
        is rolled back, neither. What the function returns counts no more.

        Raises ``ClaimLost`` when the job is not this attempt's any more: let it leave the block of the
        transaction. ``BadValue`` for a result that cannot be stored, ``StoreRefused`` for a connection
        that is not to the app's store.
        """
        ending = self._ending(result)
        self._finished(self._task.desk.finish_on(connection, ending))

    async def afinish_in(self, connection: Any, result: Any = None) -> None:
        """``finish_in`` for coroutines and their connections."""
        ending = self._ending(result)
        self._finished(await self._task.desk.afinish_on(connection, ending))

    def _ending(self, result: Any) -> Outcome:
        claim = self._claim
        raw = encode(result, self._task.hooks, f"the result of {claim.task}")
        # Before the statement: one that was cut off (a deadline, a lost reply) may have taken as well.
        self.in_transaction = True
        return Outcome(claim.id, claim.fence, claim.attempt, "completed", raw)

    def _finished(self, took: bool) -> None:
        # Asked of the fence alone, however often: a job may well repeat a transaction that the database
        # has refused, or one of which it never learned whether it was committed.
        if took:
            self.finished = True
            return
        why = (
            "it was finished before, by finish_in in this transaction or in one that is committed"
            if self.finished
            else "its worker was taken for dead, or it was finished before"
        )
        raise ClaimLost(
            f"job {self.id} is not this attempt's any more ({why}): "
            "roll back what was written with this, by letting the error leave its transaction"
        )

    def ask_to_stop(self) -> None:
        """Raise the flag; from any thread."""
        self._should_stop = True

    def parks_by(self, park: Callable[[bool], None]) -> None:
        """Say how the place that this attempt takes is given back (True) and taken again (False)."""
        self._park = park

    def writes_in(self, book: Book, seq: int) -> None:
        """Say where it writes what it tells, and by which number it is known there."""
        self._book, self.seq = book, seq

    def pad(self) -> Pad | None:
        """Where to write what it tells, before ``told``; ``None`` when nobody would read it."""
        return None if self._book is None else self._book.pad(self, self._claim)

    def told(self) -> None:
        """Something was written."""
        if self._book is not None:
            self._book.told(self)

    @contextmanager
    def parked(self) -> Iterator[None]:
        """Inside, the attempt only waits: its place is another's. Waits may overlap, as in ``gather``."""
        with _waits:
            if self._waits == 0:
                self._park(True)  # may refuse
            self._waits += 1
        try:
            yield
        finally:
            with _waits:
                self._waits -= 1
                if self._waits == 0:
                    self._park(False)


def _stay(parked: bool) -> None:
    """An attempt that no runner has taken up has no place to give back."""


_waits = threading.Lock()


def _forked() -> None:
    global _waits
    _waits = threading.Lock()  # a thread that is not there may have held it


os.register_at_fork(after_in_child=_forked)
_current: ContextVar[RunningJob | None] = ContextVar("sidework_job", default=None)


def current_job() -> RunningJob:
    """The job whose code is running; ``SideworkError`` outside one."""
    job = _current.get()
    if job is None:
        raise SideworkError("current_job() was called outside a job")
    return job


def stop_if_asked() -> None:
    """Within a job that was asked to stop, end it here: a wait of ours is not code that could look."""
    job = _current.get()
    if job is not None and job.should_stop:
        raise Stopped("")


@contextmanager
def waiting(*, blocks: bool) -> Iterator[None]:
    """Around a wait for another job: within a job its place is given back meanwhile, so that jobs
    that wait for jobs cannot take all the places there are; elsewhere nothing happens.

    ``blocks``: the wait holds its thread. On the event loop of a child that is refused with
    ``SideworkError``: the job that is waited for may need that very loop.
    """
    job = _current.get()
    if job is None:
        yield
        return
    if blocks and _on_a_loop():
        raise SideworkError(
            f"job {job.id} ({job.task}) would block its event loop with result() or wait(): "
            "use await job.aresult() or await job.await_final()"
        )
    with job.parked():
        yield


def _on_a_loop() -> bool:
    # Not imported here: it is a third of what `import sidework` costs, and without it nothing runs one.
    asyncio = sys.modules.get("asyncio")
    try:
        return asyncio is not None and bool(asyncio.get_running_loop())
    except RuntimeError:
        return False


get_current = _current.get
set_current = _current.set
reset_current = _current.reset
