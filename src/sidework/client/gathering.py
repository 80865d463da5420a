"""Coroutines that enqueue at the same time share one hop to a thread and one commit.

The store combines callers that are threads; a coroutine per thread would pay for the thread. So what
one event loop hands over while a commit is under way is gathered, and goes with the next.
"""

from __future__ import annotations

import asyncio
import weakref
from collections import deque
from collections.abc import Callable, Sequence

from ..job import Inserted, NewJob

Insert = Callable[[Sequence[NewJob]], list[Inserted]]

_MOST = 500
"""Jobs of one batch: one transaction of the store."""


class Gatherer:
    """One per app; keeps a line for each event loop that enqueues."""

    def __init__(self, insert: Insert) -> None:
        self._insert = insert
        self._lines: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, _Line] = (
            weakref.WeakKeyDictionary()
        )

    async def insert(self, jobs: Sequence[NewJob]) -> list[Inserted]:
        """Store the jobs, together with what others of this loop hand over now.

        A caller that is cancelled while it waits no longer learns whether its jobs were stored.
        """
        loop = asyncio.get_running_loop()
        line = self._lines.get(loop)
        if line is None:
            line = self._lines[loop] = _Line()
        answer: asyncio.Future[list[Inserted]] = loop.create_future()
        line.waiting.append((jobs, answer))
        if line.task is None:
            line.task = loop.create_task(self._serve(line))
        return await answer

    async def _serve(self, line: _Line) -> None:
        try:
            while line.waiting:
                batch = [line.waiting.popleft()]
                size = len(batch[0][0])
                while line.waiting and size + len(line.waiting[0][0]) <= _MOST:
                    batch.append(line.waiting.popleft())
                    size += len(batch[-1][0])
                await self._store(batch)
        finally:
            line.task = None

    async def _store(self, batch: list[_Waiting]) -> None:
        try:
            done = await asyncio.to_thread(self._insert, [job for jobs, _ in batch for job in jobs])
        except BaseException as error:
            for _, answer in batch:
                if not answer.done():
                    answer.set_exception(error)
            if not isinstance(error, Exception):
                raise
            return
        position = 0
        for jobs, answer in batch:
            if not answer.done():
                answer.set_result(done[position : position + len(jobs)])
            position += len(jobs)


_Waiting = tuple[Sequence[NewJob], "asyncio.Future[list[Inserted]]"]


class _Line:
    """What one loop's callers wait for, and the task that serves them while there are any."""

    def __init__(self) -> None:
        self.waiting: deque[_Waiting] = deque()
        self.task: asyncio.Task[None] | None = None
