"""Coroutines that enqueue at the same time share one hop to a thread and one commit.

The store combines callers that are threads; a coroutine per thread would pay for the thread. So what
one event loop hands over while a commit is under way is gathered, and goes with the next.
"""

from __future__ import annotations

import asyncio
import functools
import weakref
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

from ..forking import forgets
from ..job import Inserted, NewJob
from ..store.relating import related

Insert = Callable[[Sequence[NewJob]], list[Inserted]]

_MOST = 500
"""Jobs of one batch: one transaction of the store."""


class Gatherer:
    """One per app; keeps a line for each event loop that enqueues.

    The loop serves the line by callbacks, not by a task: whoever cancels all tasks that he does not
    know would cut off the callers in it.
    """

    def __init__(self, insert: Insert) -> None:
        self._insert = insert
        self._pool: ThreadPoolExecutor | None = None
        forgets(self)
        self._lines: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, _Line] = (
            weakref.WeakKeyDictionary()
        )

    def forget_in_child(self) -> None:
        """The thread is the parent's."""
        self._pool = None

    def _thread(self) -> ThreadPoolExecutor:
        """One of our own: those of the loop may all be taken, by jobs that wait for just this."""
        if self._pool is None:
            self._pool = ThreadPoolExecutor(1, "sidework-gatherer")
        return self._pool

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
        if not line.busy:
            line.busy = True
            loop.call_soon(self._store_next, loop, line)  # with what else this round hands over
        return await answer

    def _store_next(self, loop: asyncio.AbstractEventLoop, line: _Line) -> None:
        if not line.waiting:
            line.busy = False
            return
        batch = [line.waiting.popleft()]
        size = len(batch[0][0])
        # What is refused as a whole is handed over by itself: it is nobody else's error.
        alone = related(batch[0][0])
        while (
            not alone
            and line.waiting
            and size + len(line.waiting[0][0]) <= _MOST
            and not related(line.waiting[0][0])
        ):
            batch.append(line.waiting.popleft())
            size += len(batch[-1][0])
        together = [job for jobs, _ in batch for job in jobs]
        try:
            storing = loop.run_in_executor(self._thread(), self._insert, together)
        except RuntimeError as error:  # the loop is about to end and takes no more work
            _fail(batch, error)
            loop.call_soon(self._store_next, loop, line)
            return
        storing.add_done_callback(functools.partial(self._answer, loop, line, batch))

    def _answer(
        self,
        loop: asyncio.AbstractEventLoop,
        line: _Line,
        batch: list[_Waiting],
        storing: asyncio.Future[list[Inserted]],
    ) -> None:
        error = storing.exception()
        if error is not None:
            _fail(batch, error)
        else:
            done, position = storing.result(), 0
            for jobs, answer in batch:
                if not answer.done():
                    answer.set_result(done[position : position + len(jobs)])
                position += len(jobs)
        self._store_next(loop, line)


_Waiting = tuple[Sequence[NewJob], "asyncio.Future[list[Inserted]]"]


def _fail(batch: list[_Waiting], error: BaseException) -> None:
    for _, answer in batch:
        if not answer.done():
            answer.set_exception(error)


class _Line:
    """What one loop's callers wait for, and whether they are being served."""

    def __init__(self) -> None:
        self.waiting: deque[_Waiting] = deque()
        self.busy = False
