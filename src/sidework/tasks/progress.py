"""What a job's code tells of itself while it runs: ``progress``, ``track`` and ``emit``.

They find their job as ``current_job()`` does: in coroutines, in threads that were given its context
(``asyncio.to_thread``, ``contextvars.copy_context().run``), and not in a plain ``threading.Thread``.
"""

from __future__ import annotations

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

_MOST = 1e300
"""Past anything that a job counts, and still a number that can be written down."""


def progress(done: float, total: float | None = None, note: str = "") -> None:
    """Say how far the job that runs here is: ``done`` of ``total``, in units of its own, and a text.

    Cheap enough for every turn of a loop: sent on ten times a second at most, the newest wins, and the
    last one is stored with the job's end. ``BadValue`` for what is no number from 0, or less than before;
    ``SideworkError`` outside a job.
    """
    job = _job("progress()")
    pad = _pad(job, "progress()")
    reached = Reached(
        _number(done, "progress(done"),
        None if total is None else _number(total, "progress(total"),
        _text(note, "progress(note"),
    )
    pad.progress(reached, now_ms(), anew=False)
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
        if not isinstance(iterable, Iterable | AsyncIterable):
            raise BadValue(f"track({iterable!r}): expected something to iterate over")
        self._items = iterable
        if total is None and hasattr(iterable, "__len__"):
            total = len(cast(Any, iterable))
        self._total = None if total is None else _number(total, "track(total")
        self._note = _text(note, "track(note")

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


def _number(given: float, what: str) -> float:
    """As it is stored, of a plain type: whoever sends it finds nothing left that could be wrong with it."""
    number = isinstance(given, int | float) and not isinstance(given, bool)
    if number and abs(given) > _MOST:
        # Not shown: an int of over 4,300 digits has no repr (``ValueError``).
        raise BadValue(f"{what}): expected a number from 0 to {_MOST:g}")
    if not number or not given >= 0:
        raise BadValue(f"{what}={given!r}): expected a number from 0")
    return float(given) if isinstance(given, float) else int(given)


def _text(given: str, what: str) -> str:
    if not isinstance(given, str):
        raise BadValue(f"{what}={given!r}): expected a text")
    return clean(given, LONGEST_NOTE)
