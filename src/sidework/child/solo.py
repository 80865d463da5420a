"""A solo child: one job at a time, on the main thread of a process of its own.

There a signal can reach it: SIGTERM raises in the job's code, which may clean up; a job that does
not end then is killed with its process, and only it.
"""

from __future__ import annotations

import asyncio
import os
import queue
import signal
import threading
from types import FrameType

from ..job import Claimed
from ..outcome import Outcome
from ..tasks.finding import AppLike
from ..wire import Cancel, Done, HandedBack, Hold, Ping, Pong, Run, Started, Stop, TakeBack
from .child import hello
from .executor import Attempt, Stopped, attempt_of
from .life import hold
from .link import Link


class Solo:
    """Serves one worker, a job at a time."""

    def __init__(self, app: AppLike, link: Link) -> None:
        self._app = app
        self._link = link
        self._jobs: queue.SimpleQueue[tuple[int, Claimed] | None] = queue.SimpleQueue()
        self._why: dict[int, str] = {}
        self._current: int | None = None

    def serve(self) -> None:
        """Run jobs until told to stop."""
        signal.signal(signal.SIGTERM, self._terminated)
        threading.Thread(target=self._read, name="sidework-reader", daemon=True).start()
        self._link.send(hello(self._app))
        while True:
            item = self._jobs.get()
            if item is None:
                self._link.close()
                return
            seq, job = item
            self._link.send(Done([seq], [self._run(seq, job)]))

    def _run(self, seq: int, job: Claimed) -> Outcome:
        attempt = attempt_of(job, self._app.registry)
        if not isinstance(attempt, Attempt):
            return attempt
        self._link.send(Started([seq]))
        try:
            self._current = seq
            if attempt.task.is_coroutine:
                return asyncio.run(attempt.run_coroutine())
            return attempt.run()
        except Stopped as stopped:
            # The signal came in the few lines around the attempt: it counts all the same.
            return attempt.failed(stopped)
        finally:
            self._current = None

    def _terminated(self, signum: int, frame: FrameType | None) -> None:
        if self._current is not None:
            raise Stopped(self._why.get(self._current, "timeout"))

    def _read(self) -> None:
        for message in self._link.receive():
            if isinstance(message, Run):
                for item in zip(message.seqs, message.jobs, strict=True):
                    self._jobs.put(item)
            elif isinstance(message, Cancel):
                self._why.update(dict.fromkeys(message.seqs, message.why))
            elif isinstance(message, TakeBack):
                self._link.send(HandedBack(self._drop()))
            elif isinstance(message, Ping):
                self._link.send(Pong())
            elif isinstance(message, Hold):
                hold(message.path, message.number)
            elif isinstance(message, Stop):
                self._jobs.put(None)
                return
        os._exit(1)  # the worker is gone without a word

    def _drop(self) -> list[int]:
        dropped: list[int] = []
        while True:
            try:
                item = self._jobs.get_nowait()
            except queue.Empty:
                return dropped
            if item is not None:
                dropped.append(item[0])
