"""A solo child: one job at a time, on the main thread of a process of its own.

There a signal can reach it: SIGTERM raises in the job's code, which may clean up. The reader sends
it once it knows why, so that the reason is never guessed. A job that does not end then, or a process
whose GIL is held, is killed by the worker, and only it.
"""

from __future__ import annotations

import contextvars
import os
import queue
import signal
import threading
from types import FrameType

from ..job import Claimed
from ..outcome import Outcome
from ..tasks.context import Stopped
from ..tasks.registry import AppLike
from ..wire import (
    Cancel,
    Done,
    HandedBack,
    ImportFailed,
    Parked,
    Run,
    Started,
    Stop,
    TakeBack,
    ToChild,
)
from .capture import Capture
from .child import hello
from .executor import Attempt, attempt_of
from .link import Link
from .notebook import Notebook
from .reader import Reader
from .resources import CannotStart, Resources
from .solo_loop import SoloLoop


class Solo:
    """Serves one worker, a job at a time."""

    def __init__(self, app: AppLike, link: Link) -> None:
        self._app = app
        self._link = link
        self._book = Notebook(link)
        self._jobs: queue.SimpleQueue[tuple[int, Claimed] | None] = queue.SimpleQueue()
        self._why: dict[int, str] = {}
        self._current = -1
        self._attempt: Attempt | None = None
        self._pid = os.getpid()
        self._loop = SoloLoop(lambda: self._resources.tasks)
        self._resources = Resources(self._loop.run)

    def serve(self) -> None:
        """Run jobs until told to stop."""
        try:
            self._resources.begin(self._app.registry)
        except CannotStart as why:
            self._link.send(ImportFailed(str(why)))
        else:
            self._work()
        self._loop.run(self._resources.close())
        self._loop.close()
        self._link.close()

    def _work(self) -> None:
        signal.signal(signal.SIGTERM, self._terminated)
        Capture(own_process=True)
        Reader(self._link, self._hear, gone=lambda: os._exit(1)).start()
        self._link.send(hello(self._app))
        while True:
            item = self._jobs.get()
            if item is None:
                return
            seq, job = item
            if self._why.pop(seq, None) is not None:
                self._link.send(HandedBack([seq]))
            else:
                self._link.send(Done([seq], [self._run(seq, job)]))

    def _run(self, seq: int, job: Claimed) -> Outcome:
        attempt = attempt_of(job, self._app.registry, self._resources)
        if not isinstance(attempt, Attempt):
            return attempt
        attempt.alone = True
        attempt.running.parks_by(lambda parked: self._park(seq, parked))
        attempt.running.writes_in(self._book, seq)
        self._link.send(Started([seq]))
        try:
            outcome = self._execute(seq, attempt)
        except Stopped as stopped:
            # The signal came in the few lines around the attempt: it counts all the same. It is
            # sent once for a job, so nothing can raise here again.
            outcome = attempt.failed(stopped)
        self._book.end(attempt.running)
        return outcome

    def _park(self, seq: int, parked: bool) -> None:
        if os.getpid() == self._pid:  # else it is a process that the job forked
            self._link.send(Parked(seq, parked))

    def _execute(self, seq: int, attempt: Attempt) -> Outcome:
        try:
            self._attempt, self._current = attempt, seq
            if seq in self._why:  # asked between the look above and here: no signal was sent
                raise Stopped(self._why[seq])
            context = contextvars.copy_context()
            if attempt.task.is_coroutine:
                outcome: Outcome = self._loop.run(attempt.run_coroutine(), context)
                return outcome
            return context.run(attempt.run)
        finally:
            self._current = -1
            self._why.pop(seq, None)

    def _terminated(self, signum: int, frame: FrameType | None) -> None:
        # Sent for one job, it may arrive when the next has begun: only a job that was named ends.
        if self._current in self._why:
            why = self._why[self._current]
            if self._attempt is not None:
                self._attempt.stop(why)  # kept: the job may answer with an error of its own
            raise Stopped(why)

    def _hear(self, message: ToChild) -> None:
        if isinstance(message, Run):
            for item in zip(message.seqs, message.jobs, strict=True):
                self._jobs.put(item)
        elif isinstance(message, Cancel):
            self._why.update(dict.fromkeys(message.seqs, message.why))
            if self._current in self._why:
                # To the main thread itself: there it ends a blocking call as well.
                signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGTERM)
        elif isinstance(message, TakeBack):
            self._link.send(HandedBack(self._drop()))
        elif isinstance(message, Stop):
            self._jobs.put(None)

    def _drop(self) -> list[int]:
        dropped: list[int] = []
        while True:
            try:
                item = self._jobs.get_nowait()
            except queue.Empty:
                return dropped
            if item is not None:
                dropped.append(item[0])
