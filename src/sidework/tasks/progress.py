"""What a job's code tells of itself while it runs: ``progress``, ``track`` and ``emit``.

They find their job as ``current_job()`` does: in coroutines, in threads that were given its context
(``asyncio.to_thread``, ``contextvars.copy_context().run``), and not in a plain ``threading.Thread``.
"""

from __future__ import annotations

import math
from collections.abc import AsyncIterable, AsyncIterator, Iterable, Iterator
from typing import Any, Generic, TypeVar, cast

from ..clock import now_ms
from ..codec import encode
from ..errors import BadValue, SideworkError
from ..note import LARGEST_VALUE, LONGEST_NOTE, Reached
from ..outcome import clean
from .context import RunningJob, get_current
from .pad import Pad

T = TypeVar("T")


def progress(done: float, total: float | None = None, note: str = "") -> None:
    """Say how far the job that runs here is: ``done`` of ``total``, in units of its own, and a text.

    Cheap enough for every turn of a loop: sent on ten times a second at most, the newest wins, and the
    last one is stored with the job's end. ``BadValue`` for what is no number from 0, or less than before;
    ``SideworkError`` outside a job.
    """
    job = _job("progress()")
    pad = _pad(job, "progress()")
    _check(done, "done")
    if total is not None:
        _check(total, "total")
    if not isinstance(note, str):
        raise BadValue(f"progress(note={note!r}): expected a text")
    pad.progress(Reached(done, total, clean(note, LONGEST_NOTE)), now_ms(), anew=False)
    job.told()


def emit(value: Any) -> None:
    """Hand out a part of the result before the job ends: ``job.events()`` yields it as a ``value``.

    The newest 1,000 of an attempt are kept, 1 MiB in all. ``BadValue`` for what cannot be stored as JSON or
    takes more than 64 KiB; ``SideworkError`` outside a job.
    """
    job = _job("emit()")
    pad = _pad(job, "emit()")
    body = encode(value, job.hooks, f"a value that {job.task} emits", LARGEST_VALUE)
    pad.add("value", body, now_ms())
    job.told()


class track(Generic[T]):
    """The items of an iterable, with the job's progress told as they are asked for: ``for item in
    track(items)``, or ``async for``.

    ``total`` is how many there are; without it ``len(items)``, where there is one. Each ``track`` counts
    from 0 again. ``SideworkError`` outside a job, when it is iterated.
    """

    def __init__(
        self, iterable: Iterable[T] | AsyncIterable[T], total: float | None = None, note: str = ""
    ) -> None:
        self._items = iterable
        if total is None and hasattr(iterable, "__len__"):
            total = len(cast(Any, iterable))
        if total is not None:
            _check(total, "total")
        self._total = total
        self._note = clean(note, LONGEST_NOTE)

    def __iter__(self) -> Iterator[T]:
        if not isinstance(self._items, Iterable):
            raise BadValue(f"track({type(self._items).__name__}): iterate it with `async for`")
        job, done = _job("track()"), 0
        self._tell(job, done)
        for item in self._items:
            yield item
            done += 1
            self._tell(job, done)

    async def __aiter__(self) -> AsyncIterator[T]:
        if not isinstance(self._items, AsyncIterable):
            raise BadValue(f"track({type(self._items).__name__}): iterate it with a plain `for`")
        job, done = _job("track()"), 0
        self._tell(job, done)
        async for item in self._items:
            yield item
            done += 1
            self._tell(job, done)

    def _tell(self, job: RunningJob, done: int) -> None:
        pad = _pad(job, "track()")
        pad.progress(Reached(done, self._total, self._note), now_ms(), anew=True)
        job.told()


def _job(who: str) -> RunningJob:
    job = get_current()
    if job is None:
        raise SideworkError(
            f"{who} was called outside a job: a plain call of a task runs none, and a thread that a job "
            "starts has to be given its context (asyncio.to_thread does)"
        )
    return job


def _pad(job: RunningJob, who: str) -> Pad:
    pad = job.pad()
    if pad is None:
        raise SideworkError(f"{who}: job {job.id} has ended, or this is a process that it forked")
    return pad


def _check(number: object, name: str) -> None:
    if (
        isinstance(number, bool)
        or not isinstance(number, int | float)
        or not 0 <= number < math.inf
    ):
        raise BadValue(f"progress({name}={number!r}): expected a number from 0")
