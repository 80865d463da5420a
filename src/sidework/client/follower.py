"""Whoever follows one job: its events as they come, out of what the waiter reads for all of a process."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterator
from typing import TYPE_CHECKING, Protocol

from ..errors import JobNotFound, PositionPruned
from ..event import BEFORE, Event, Place, place_of, place_text
from ..ids import id_text
from ..state import FINAL
from ..store.journal import Chapter, Since
from ..tasks.context import stop_if_asked, waiting
from ..tasks.importing import refuse_at_import
from ..url import shown
from .calling import on_loop
from .story import events_of

if TYPE_CHECKING:
    from ..store.protocol import Store
    from .waiter import Waiter

MOST_AHEAD = 1_000
"""Events that wait for a slow reader: with more, nothing is read for it until it has caught up."""
_LOOK_SECONDS = 0.25


class Follower:
    """Of one job and one reader: filled by the waiter's thread, emptied by the reader's."""

    def __init__(self, job_id: bytes, place: Place, news: Callable[[], None]) -> None:
        self.job_id = job_id
        self._place = place
        self._news = news
        self._line: deque[Event] = deque()
        self._error: Exception | None = None
        self.gone = False
        """Whether there is no such job."""
        self.over = False
        """Whether the job is final, so that nothing more will come than what is in line."""
        self.behind = False
        """Whether there was more to read than it had room for."""

    @property
    def since(self) -> Since | None:
        """From where on it wants to read; ``None`` when it has enough to do."""
        if len(self._line) >= MOST_AHEAD:
            self.behind = True
            return None
        return Since(self.job_id, *self._place)

    def deliver(self, chapter: Chapter | None) -> None:
        """What was read."""
        found = [] if chapter is None else events_of(chapter, self._place)
        if found:
            self._place = found[-1][0]
            self._line.extend(event for _, event in found)
        self.gone = chapter is None
        self.over = chapter is None or chapter.state in FINAL
        if found or self.over:
            self._news()

    def fail(self, error: Exception) -> None:
        """Nothing more can be read."""
        self._error = error
        self._news()

    def take(self) -> list[Event]:
        """What there is; raises what reading has failed with."""
        taken = []
        while self._line:
            taken.append(self._line.popleft())
        if not taken and self._error is not None:
            raise self._error
        return taken


class Source(Protocol):
    """Where events are read, and who waits for them: an app, or a command with a store alone."""

    @property
    def store(self) -> Store: ...
    @property
    def waiter(self) -> Waiter: ...


class JobEvents:
    """A job's events, for ``for`` and ``async for``: what has happened, then what happens, until it is final.

    Each iteration begins anew, behind ``after``. Raises ``JobNotFound`` when the job is gone,
    ``PositionPruned`` when what stood behind ``after`` is not all kept any more.
    """

    def __init__(self, source: Source, job_id: bytes, after: str | None) -> None:
        self._source = source
        self._id = job_id
        self._after = BEFORE if after is None else place_of(after)

    def __iter__(self) -> Iterator[Event]:
        self._begin()
        self._check()
        came = threading.Event()
        waiter = self._source.waiter  # this one to the end, as for a result
        follower = Follower(self._id, self._after, came.set)
        waiter.follow(follower)
        try:
            while True:
                if not came.is_set():
                    with waiting(blocks=True):
                        while not came.wait(_LOOK_SECONDS):
                            stop_if_asked()
                came.clear()
                over = follower.over  # asked first: what has come by then is taken below
                yield from self._taken(waiter, follower)
                if over:
                    return
        finally:
            waiter.unfollow(follower)

    async def __aiter__(self) -> AsyncIterator[Event]:
        import asyncio

        self._begin()
        if self._after > BEFORE:
            await asyncio.to_thread(self._check)
        came, loop = asyncio.Event(), asyncio.get_running_loop()

        def news() -> None:
            on_loop(loop, came.set)

        waiter = self._source.waiter
        follower = Follower(self._id, self._after, news)
        waiter.follow(follower)
        try:
            while True:
                if not came.is_set():
                    with waiting(blocks=False):
                        await came.wait()
                came.clear()
                over = follower.over  # asked first: what has come by then is taken below
                for event in self._taken(waiter, follower):
                    yield event
                if over:
                    return
        finally:
            waiter.unfollow(follower)

    def _begin(self) -> None:
        refuse_at_import("follows a job")
        self._source.store.outside()

    def _taken(self, waiter: Waiter, follower: Follower) -> list[Event]:
        events = follower.take()
        if follower.gone and not events:
            raise JobNotFound(
                f"there is no job {id_text(self._id)} in {shown(self._source.store.url)}"
            )
        if follower.behind:
            follower.behind = False
            waiter.look_again(follower)
        return events

    def _check(self) -> None:
        if self._after == BEFORE:
            return
        cut = self._source.store.journal.cut(self._id)
        if cut is not None and self._after < cut:
            raise PositionPruned(
                f"after={place_text(self._after)!r}: of job {id_text(self._id)} not all is kept that came "
                f"next, but what is behind {place_text(cut)!r}: begin there, or without a position"
            )
