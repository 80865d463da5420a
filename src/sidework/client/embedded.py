"""A worker inside the user's own process: the same parts, its one child in a thread.

Jobs that must run alone still get processes of their own. While user code holds the GIL nothing
here runs either; and when the process dies, its jobs are rescued by the next worker.
"""

from __future__ import annotations

import asyncio
import socket
import sys
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
        self,
        app: Sidework,
        queues: tuple[str, ...],
        threads: int,
        concurrency: int,
        widths: dict[str, int],
    ) -> None:
        self._app = app
        self._queues = queues
        self._widths = widths
        self._threads = threads
        self._concurrency = concurrency
        self._worker: Worker | None = None
        self._running: list[threading.Thread] = []
        self._ready = threading.Event()
        self._error: BaseException | None = None

    def __enter__(self) -> EmbeddedWorker:
        refuse_at_import("starts a worker")
        if self._worker is not None:
            raise SideworkError("this worker was started already; app.worker() makes another")
        if self._app._opens is not open_store:
            raise SideworkError(
                "app.worker() has nothing to do in a sandbox: there jobs run when the test says so, by "
                "sidework.drain() or sidework.run(job)"
            )
        self._app.store  # noqa: B018 - opened here, so that what is wrong is told here
        crew = Crew(_specs(self._app), 0, 1, self._concurrency, self._threads)
        ours, theirs = socket.socketpair()
        peer = crew.add(ours, None, solo=False)
        worker = Worker(
            crew,
            open_store,
            self._queues,
            on_ready=self._ready.set,
            waits=False,
            widths=self._widths,
        )
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
        # In a coroutine Control-C arrives as the cancellation of its task.
        interrupted = kind is not None and issubclass(
            kind, KeyboardInterrupt | asyncio.CancelledError
        )
        if interrupted:
            self._worker.stop()  # what runs goes back at once; whoever pressed Control-C wants to leave
        self._running[1].join()
        self._running[0].join(0 if interrupted else None)  # its threads end with the program
        if self._error is not None and error is None:
            raise self._error

    async def __aenter__(self) -> EmbeddedWorker:
        refuse_at_import("starts a worker")
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
        except BaseException as error:  # noqa: BLE001 - raised where the block ends, or begins
            self._error = error
        finally:
            self._ready.set()


def _specs(app: Sidework) -> list[str]:
    """How a solo child finds the app: by a task in each module that has some, since a module may hold
    several apps; else by the module that made it."""
    found: dict[str, str] = {}
    for name in app.registry.names():
        function = app.registry.get(name).function
        module = sys.modules.get(function.__module__)
        if module is not None and getattr(module, function.__qualname__, None) is app.registry.get(
            name
        ):
            place = getattr(module, "__file__", None) or function.__module__
            found.setdefault(place, f"{place}:{function.__qualname__}")
    return list(found.values()) or [app.file or app.module]
