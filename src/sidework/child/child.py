"""A child: receives jobs, runs them on its loop and in its threads, sends how they ended."""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Callable

from ..crashpoint import reach
from ..retry import delay_seconds
from ..tasks.registry import AppLike
from ..wire import (
    Cancel,
    Done,
    HandedBack,
    Hello,
    ImportFailed,
    Run,
    Stop,
    TakeBack,
    TaskInfo,
    ToChild,
)
from .capture import Capture
from .executor import Attempt, attempt_of
from .link import Link
from .loop import Loop
from .notebook import Notebook
from .reader import Reader
from .resources import CannotStart, Resources
from .threads import Threads
from .watchdog import Watchdog


def hello(app: AppLike) -> Hello:
    """What the worker must know of this app."""
    tasks = []
    for name in app.registry.names():
        options = app.registry.get(name).task_options
        timeout = None if options.timeout is None else round(options.timeout * 1000)
        fixed = options.backoff is not None and not callable(options.backoff)
        backoff = round(delay_seconds(options.backoff, 1) * 1000) if fixed else None
        tasks.append(TaskInfo(name, timeout, backoff, options.on_partition == "stop"))
    return Hello(app.url, tasks, app.retention, app.declares(), app.registry.limits)


class Child:
    """Serves one worker until told to stop, or until the worker is gone."""

    def __init__(
        self, app: AppLike, link: Link, concurrency: int, threads: int, *, own_process: bool
    ) -> None:
        self._app = app
        self._link = link
        self._concurrency = concurrency
        self._threads_count = threads
        self._own_process = own_process

    async def serve(self) -> None:
        """Run until the end; on return nothing of it runs any more."""
        here = asyncio.get_running_loop()
        resources = Resources(
            lambda coroutine: asyncio.run_coroutine_threadsafe(coroutine, here).result()
        )
        try:
            await resources.abegin(self._app.registry)
        except CannotStart as why:
            self._link.send(ImportFailed(str(why)))
        else:
            await self._work(resources)
        await resources.close()
        self._link.close()

    async def _work(self, resources: Resources) -> None:
        own = self._own_process
        book = Notebook(self._link)
        loop = Loop(self._concurrency, self._link, book, own_process=own)
        threads = Threads(self._threads_count, self._link, book, own_process=own)
        captured = Capture(own_process=own)
        watchdog = Watchdog(loop, threads, self._link, threading.get_ident())
        ended = asyncio.Event()

        def gone() -> None:
            if self._own_process:
                os._exit(1)
            loop.loop.call_soon_threadsafe(ended.set)

        def hear(message: ToChild) -> None:
            self._hear(message, loop, threads, resources, ended)

        Reader(self._link, hear, gone).start()
        self._link.send(hello(self._app))
        await ended.wait()
        await loop.finish()
        await _beside(threads.finish)
        watchdog.close()
        captured.close()
        book.close()

    def _hear(
        self,
        message: ToChild,
        loop: Loop,
        threads: Threads,
        resources: Resources,
        ended: asyncio.Event,
    ) -> None:
        if isinstance(message, Run):
            reach("child: jobs received")
            self._accept(message, loop, threads, resources)
        elif isinstance(message, Cancel):
            for seq in message.seqs:
                loop.loop.call_soon_threadsafe(loop.cancel, seq, message.why)
                threads.cancel(seq, message.why)
        elif isinstance(message, TakeBack):
            self._link.send(HandedBack([*loop.take_back(), *threads.take_back()]))
        elif isinstance(message, Stop):
            loop.loop.call_soon_threadsafe(ended.set)

    def _accept(self, message: Run, loop: Loop, threads: Threads, resources: Resources) -> None:
        for_loop: list[tuple[int, Attempt]] = []
        for seq, job in zip(message.seqs, message.jobs, strict=True):
            attempt = attempt_of(job, self._app.registry, resources)
            if not isinstance(attempt, Attempt):
                self._link.send(Done([seq], [attempt]))
            elif attempt.task.is_coroutine:
                for_loop.append((seq, attempt))
            else:
                threads.accept(seq, attempt)
        if for_loop:
            loop.post(for_loop)


async def _beside(wait: Callable[[], None]) -> None:
    """Run it on a thread that the end of the program does not wait for, as it would for one of the
    loop's own: a job in a thread may last, and nobody can stop it."""
    loop, done = asyncio.get_running_loop(), asyncio.Event()

    def run() -> None:
        wait()
        loop.call_soon_threadsafe(done.set)

    threading.Thread(target=run, name="sidework-finish", daemon=True).start()
    await done.wait()
