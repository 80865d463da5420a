"""A worker inside the user's own process: the same parts, its one child in a thread.

Jobs that must run alone still get processes of their own. While user code holds the GIL nothing
here runs either; and when the process dies, its jobs are rescued by the next worker.
"""

from __future__ import annotations

import asyncio
import socket
import threading
from types import TracebackType
from typing import TYPE_CHECKING

from ..child.child import Child
from ..child.link import Link
from ..errors import SideworkError
from ..store.opening import open_store
from ..tasks.importing import refuse_at_import
from ..worker.crew import Crew
from ..worker.worker import Worker

if TYPE_CHECKING:
    from .app import Sidework


class EmbeddedWorker:
    """For ``with`` and ``async with``: works inside the block, drains at its end."""

    def __init__(
        self, app: Sidework, queues: tuple[str, ...], threads: int, concurrency: int
    ) -> None:
        self._app = app
        self._queues = queues
        self._threads = threads
        self._concurrency = concurrency
        self._worker: Worker | None = None
        self._running: list[threading.Thread] = []
        self._ready = threading.Event()
        self._error: SideworkError | None = None

    def __enter__(self) -> EmbeddedWorker:
        refuse_at_import("starts a worker")
        if self._worker is not None:
            raise SideworkError("this worker was started already; app.worker() makes another")
        self._app.store  # noqa: B018 - opened here, so that what is wrong is told here
        crew = Crew([self._app.file or self._app.module], 0, 1, self._concurrency, self._threads)
        ours, theirs = socket.socketpair()
        peer = crew.add(ours, None, solo=False)
        worker = Worker(crew, open_store, self._queues, on_ready=self._ready.set)
        worker.watch(peer)
        self._worker = worker
        child = Child(self._app, Link(theirs), self._concurrency, self._threads, own_process=False)
        self._running = [
            threading.Thread(
                target=lambda: asyncio.run(child.serve()), name="sidework-child", daemon=True
            ),
            threading.Thread(target=self._run, args=(worker,), name="sidework-worker", daemon=True),
        ]
        for thread in self._running:
            thread.start()
        self._ready.wait()
        if self._error is not None:
            raise self._error
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._worker is None:
            return
        self._worker.stop()
        for thread in reversed(self._running):
            thread.join()

    async def __aenter__(self) -> EmbeddedWorker:
        return await asyncio.to_thread(self.__enter__)

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await asyncio.to_thread(self.__exit__, kind, error, trace)

    def _run(self, worker: Worker) -> None:
        try:
            worker.run()
        except SideworkError as error:
            self._error = error
        finally:
            self._ready.set()
