"""Coroutines on the child's event loop: at most ``concurrency`` at a time, outcomes in batches."""

from __future__ import annotations

import asyncio
import contextvars
import functools
import os
from collections import deque
from collections.abc import Sequence

from ..outcome import Outcome
from ..tasks.context import Stopped
from ..wire import Done, HandedBack, Parked, Started
from .executor import Attempt, Lost
from .life import vital
from .link import Link
from .notebook import Notebook


class Loop:
    """Lives on one event loop; only ``post`` and ``take_back`` are called from other threads."""

    def __init__(self, concurrency: int, link: Link, book: Notebook, *, own_process: bool) -> None:
        self._concurrency = concurrency
        self._book = book
        self._own_process = own_process
        self._pid = os.getpid()
        self._link = link
        self._waiting: deque[tuple[int, Attempt]] = deque()
        self._running: dict[int, tuple[Attempt, asyncio.Task[None]]] = {}
        self._unwanted: set[int] = set()
        self._parked = 0
        self._seqs: list[int] = []
        self._outcomes: list[Outcome] = []
        self._flushing = False
        self._context = contextvars.copy_context()
        self.loop = asyncio.get_running_loop()
        self._empty = asyncio.Event()
        self._empty.set()

    def post(self, items: Sequence[tuple[int, Attempt]]) -> None:
        """Accept attempts, from any thread."""
        for seq, attempt in items:
            attempt.running.parks_by(functools.partial(self._park, seq))
            attempt.running.writes_in(self._book, seq)
        self._waiting.extend(items)
        self.loop.call_soon_threadsafe(self._start)

    def take_back(self) -> list[int]:
        """What has not been started; from any thread (a deque's pop is atomic)."""
        taken = []
        while True:
            try:
                taken.append(self._waiting.pop()[0])
            except IndexError:
                return taken

    def cancel(self, seq: int, why: str) -> None:
        """Cancel one that runs; call it on the loop."""
        found = self._running.get(seq)
        if found is not None:
            attempt, task = found
            attempt.stop(why)
            if attempt.begun:  # else it looks at its flag when it begins: asyncio would end a task
                task.cancel()  # that has not begun without running any line of it
        elif any(seq == waiting for waiting, _ in list(self._waiting)):
            self._unwanted.add(seq)  # else it has ended already

    async def finish(self) -> None:
        """Wait until nothing runs."""
        await self._empty.wait()
        self._flush()

    def _start(self) -> None:
        started = []
        while len(self._running) - self._parked < self._concurrency:
            try:
                seq, attempt = self._waiting.popleft()
            except IndexError:
                break
            if seq in self._unwanted:
                self._unwanted.discard(seq)
                self._link.send(HandedBack([seq]))
                continue
            # A context of its own: what one job sets, no other sees.
            context = self._context.copy()
            task = self.loop.create_task(self._run(seq, attempt), context=context)
            self._running[seq] = (attempt, task)
            started.append(seq)
        if started:
            self._empty.clear()
            # A task made here runs in a later turn of the loop: this is sent before its first line.
            self._link.send(Started(started))

    def sweep(self) -> None:
        """Tell of tasks that ended without a word: cancelled by others before their first step."""
        for seq, (attempt, task) in list(self._running.items()):
            if task.done():
                attempt.begun = True
                self._ended(seq, attempt.failed(Lost()))

    def _park(self, seq: int, parked: bool) -> None:
        if os.getpid() != self._pid:
            return  # a process that a job forked: the places are its parent's
        self._link.send(Parked(seq, parked))
        # From any thread: a coroutine may wait for a job in `asyncio.to_thread`.
        self.loop.call_soon_threadsafe(self._count_parked, parked)

    def _count_parked(self, parked: bool) -> None:
        self._parked += 1 if parked else -1
        self._start()

    async def _run(self, seq: int, attempt: Attempt) -> None:
        if attempt.stopped_why:
            self._ended(seq, attempt.failed(Stopped(attempt.stopped_why)))
        else:
            self._ended(seq, await attempt.run_coroutine())

    def _ended(self, seq: int, outcome: Outcome) -> None:
        attempt, _ = self._running.pop(seq)
        if attempt.running.opened is not None:
            self._book.end(attempt.running)
        self._seqs.append(seq)
        self._outcomes.append(outcome)
        if not self._flushing:
            self._flushing = True
            # Whatever else ends in this turn of the loop goes out with it.
            self.loop.call_soon(self._flush, context=self._context)

    def _flush(self) -> None:
        with vital(self._own_process):
            self._tell()

    def _tell(self) -> None:
        self._flushing = False
        if self._seqs:
            seqs, self._seqs = self._seqs, []
            outcomes, self._outcomes = self._outcomes, []
            self._link.send(Done(seqs, outcomes))
        if self._waiting:
            self._start()
        if not self._running:  # what waited may all have been cancelled
            self._empty.set()
