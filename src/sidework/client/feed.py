"""The events of all jobs of an app, as they come: found by what has moved since the last look, so that
whoever writes pays nothing for those who read."""

from __future__ import annotations

import threading
from collections.abc import AsyncIterator, Iterator
from datetime import datetime
from uuid import UUID

from msgspec.structs import replace

from ..clock import Millis, now_ms, to_millis
from ..errors import BadValue
from ..event import BEFORE, EVENT_KINDS, Event, Place, place_of, place_text
from ..ids import id_text
from ..store.journal import Moved, Since
from ..tasks.context import stop_if_asked, waiting
from ..tasks.importing import refuse_at_import
from .calling import on_loop
from .follower import Source
from .story import events_of

OVERLAP_MS = 2_000
"""How much later than its own time something may be committed and still be told."""
MOST = 1_000
_LOOK_SECONDS = 0.25
_REST_SECONDS = 0.05
"""Between two looks at least."""

Key = tuple[Millis, bytes, Place]


class AppEvents:
    """The events of an app's jobs, for ``for`` and ``async for``, without an end. See ``Sidework.events``."""

    def __init__(
        self,
        source: Source,
        tasks: tuple[str, ...],
        queues: tuple[str, ...],
        kinds: tuple[str, ...],
        since: datetime | str | None,
    ) -> None:
        for kind in kinds:
            if kind not in EVENT_KINDS:
                raise BadValue(f"kinds={kind!r}: expected some of {', '.join(EVENT_KINDS)}")
        self._source = source
        self._tasks, self._queues, self._kinds = tasks, queues, kinds
        self._after = None if since is None else _after(since)

    def __iter__(self) -> Iterator[Event]:
        refuse_at_import("follows jobs")
        self._source.store.outside()
        look, waiter, came = self._look(), self._source.waiter, threading.Event()
        waiter.watch(came.set)
        try:
            while True:
                came.clear()
                waiter.check()
                yield from filter(self._wants, look.turn())
                if not look.more:
                    with waiting(blocks=True):
                        came.wait(_LOOK_SECONDS)
                        threading.Event().wait(_REST_SECONDS)
                    stop_if_asked()
        finally:
            waiter.unwatch(came.set)

    async def __aiter__(self) -> AsyncIterator[Event]:
        import asyncio

        refuse_at_import("follows jobs")
        self._source.store.outside()
        look, waiter, came = self._look(), self._source.waiter, asyncio.Event()
        loop = asyncio.get_running_loop()

        def news() -> None:
            on_loop(loop, came.set)

        waiter.watch(news)
        try:
            while True:
                came.clear()
                waiter.check()
                for event in await asyncio.to_thread(look.turn):
                    if self._wants(event):
                        yield event
                if not look.more:
                    with waiting(blocks=False):
                        try:
                            await asyncio.wait_for(came.wait(), _LOOK_SECONDS)
                        except TimeoutError:
                            continue
                        await asyncio.sleep(_REST_SECONDS)
        finally:
            waiter.unwatch(news)

    def _look(self) -> _Look:
        return _Look(self._source, self._after or (now_ms(), b"", BEFORE))

    def _wants(self, event: Event) -> bool:
        return (
            (not self._kinds or event.kind in self._kinds)
            and (not self._queues or event.queue in self._queues)
            and (not self._tasks or any(_is(event.task, task) for task in self._tasks))
        )


class _Look:
    """What one reader has seen."""

    def __init__(self, source: Source, after: Key) -> None:
        self._source = source
        self._after = after
        self._from = after[0] - OVERLAP_MS
        self._most = MOST
        self._seen: set[tuple[bytes, Millis]] = set()
        self._places: dict[bytes, tuple[Place, Millis]] = {}
        self.more = False
        """Whether the next look finds something at once."""

    def turn(self) -> list[Event]:
        """What has come since the last time, each job's events in order."""
        journal = self._source.store.journal
        found = journal.moved(self._from, self._most)
        fresh = [row for row in found.jobs if row not in self._seen]
        # Seen again is what was found now, if anything: all else is before the next look, or behind its cut.
        self._seen = set(found.jobs)
        self._go_on(found)
        events: list[tuple[Key, Event]] = []
        ids = list(dict.fromkeys(job_id for job_id, _ in fresh))
        places = [self._places.get(job_id, (BEFORE, 0)) for job_id in ids]
        wanted = [Since(job_id, *place) for job_id, (place, _) in zip(ids, places, strict=True)]
        for (since, at), chapter in zip(places, journal.read(wanted), strict=True):
            if chapter is None:
                continue
            for place, event in events_of(chapter, since):
                # Of one job in order, also where a machine's clock and the store's differ.
                at = max(at, to_millis(event.at))
                key = (at, chapter.id, place)
                if key > self._after:
                    position = f"{at}/{id_text(chapter.id)}/{place_text(place)}"
                    events.append((key, replace(event, position=position)))
                self._places[chapter.id] = (place, at)
        self._forget()
        return [event for _, event in sorted(events, key=lambda pair: pair[0])]

    def _go_on(self, found: Moved) -> None:
        """From where on the next look is: what is committed late is found as long as its moment is looked at,
        so that a moment is left behind only when it is whole and ``OVERLAP_MS`` ago."""
        # What lies ahead of the store's time is by an id of another clock, or by none: the moments before it
        # are whole. With a cut there is nothing to look for at once; those behind it are found as time goes
        # on, or when they begin.
        upto = None if found.upto is None or found.upto > found.now else found.upto
        line = found.now - OVERLAP_MS
        self.more = upto is not None
        if upto is None:
            self._most = max(MOST, self._most // 2)
        elif not self._from < upto <= line:
            # What is looked at again and again is more than a look: it would never get beyond.
            self._most *= 2
        self._from = max(self._from, line if upto is None else min(line, upto))

    def _forget(self) -> None:
        """What is too old to be found again."""
        line = self._from - OVERLAP_MS
        if len(self._places) > MOST:
            gone = [id_ for id_, (_, at) in self._places.items() if at < line]
            for id_ in gone:
                # What it tells later is newer than all of this.
                del self._places[id_]
            if gone:
                self._after = max(self._after, (line, b"", BEFORE))


def _after(since: datetime | str) -> Key:
    if isinstance(since, datetime):
        try:
            return to_millis(since), b"", BEFORE
        except ValueError as wrong:
            raise BadValue(f"since: {wrong}") from None
    try:
        at, job_id, place = since.split("/")
        return int(at), UUID(job_id).bytes, place_of(place)
    except (ValueError, AttributeError):
        raise BadValue(
            f"since={since!r}: expected a datetime, or the position of an event of app.events()"
        ) from None


def _is(name: str, asked: str) -> bool:
    """Whether a task is meant, by its whole name or without the module."""
    return name == asked or (":" not in asked and name.endswith(f":{asked}"))
