"""Plain functions in threads: each thread takes a job, says so, runs it, and says how it ended."""

from __future__ import annotations

import contextvars
import os
import queue
import threading

from ..crashpoint import reach
from ..errors import SideworkError
from ..wire import Done, HandedBack, Parked, Started
from .executor import Attempt
from .life import vital
from .link import Link
from .notebook import Notebook

MOST_PARKED = 500
"""Threads that may wait for other jobs at a time: each costs a stack, and a job that waits for a
job that waits has no bound of its own."""


class Threads:
    """At most ``count`` attempts at a time, those that only wait for other jobs not counted; threads
    are made when first needed."""

    def __init__(self, count: int, link: Link, book: Notebook, *, own_process: bool) -> None:
        self._count = count
        self._book = book
        self._own_process = own_process
        self._pid = os.getpid()
        self._link = link
        self._waiting: queue.SimpleQueue[tuple[int, Attempt] | None] = queue.SimpleQueue()
        self._context = contextvars.copy_context()
        self._lock = threading.Lock()
        self._parked = self._names = 0
        self._made: set[threading.Thread] = set()
        self._ahead: set[int] = set()  # accepted, not begun
        self._unwanted: dict[int, str] = {}
        self.running: dict[int, tuple[Attempt, int]] = {}

    def accept(self, seq: int, attempt: Attempt) -> None:
        """Run it when a thread is free."""
        attempt.running.parks_by(lambda parked: self._park(seq, parked))
        attempt.running.writes_in(self._book, seq)
        with self._lock:
            self._ahead.add(seq)
            self._waiting.put((seq, attempt))
            self._staff()

    def cancel(self, seq: int, why: str) -> None:
        """A thread cannot be stopped: its flag is raised, and its code may ask."""
        with self._lock:
            if seq in self._ahead:
                self._unwanted[seq] = why
                return
        found = self.running.get(seq)
        if found is not None:
            found[0].stop(why)

    def take_back(self) -> list[int]:
        """What has not been started, and now never will be here."""
        taken: list[int] = []
        while True:
            try:
                item = self._waiting.get_nowait()
            except queue.Empty:
                break
            if item is None:
                self._waiting.put(None)
                break
            taken.append(item[0])
        with self._lock:
            self._ahead.difference_update(taken)
        return taken

    def finish(self) -> None:
        """Wait for what runs; then the threads end."""
        self._link.send(HandedBack(self.take_back()))
        with self._lock:
            made = list(self._made)
        for _ in made:
            self._waiting.put(None)
        for thread in made:
            thread.join()

    def _staff(self) -> None:
        """Under the lock: one more thread if something waits for one and there may be one."""
        room = self._count + self._parked - len(self._made)
        # One that has taken a job and not begun it counts as free, and its job as one that waits.
        if len(self._made) - len(self.running) < len(self._ahead) and room > 0:
            name = f"sidework-thread-{self._names}"
            thread = threading.Thread(target=self._work, name=name, daemon=True)
            self._names += 1
            self._made.add(thread)
            thread.start()

    def _park(self, seq: int, parked: bool) -> None:
        if os.getpid() != self._pid:
            return  # a process that a job forked: the places, and what waits for them, are its parent's
        with self._lock:
            if parked and self._parked >= MOST_PARKED:
                raise SideworkError(
                    f"{MOST_PARKED} jobs of this child wait for other jobs already: "
                    "hand the rest over as jobs of their own instead of waiting for them"
                )
            self._parked += 1 if parked else -1
            self._staff()
        self._link.send(Parked(seq, parked))

    def _surplus(self) -> bool:
        """Whether this thread is one too many, since one that waited has gone on; it leaves then."""
        with self._lock:
            if len(self._made) <= self._count + self._parked:
                return False
            self._made.discard(threading.current_thread())
            return True

    def _begin(self, seq: int, attempt: Attempt) -> bool:
        """Whether it is still wanted; from here on a cancel reaches the attempt itself."""
        with self._lock:
            self._ahead.discard(seq)
            self.running[seq] = (attempt, threading.get_ident())
            return self._unwanted.pop(seq, None) is None

    def _work(self) -> None:
        with vital(self._own_process):
            self._serve()

    def _serve(self) -> None:
        done: Done | None = None
        while not self._surplus():
            try:
                item = self._waiting.get_nowait()
            except queue.Empty:
                if done is not None:
                    self._link.send(done)
                    done = None
                item = self._waiting.get()
            if item is None:
                break
            done = self._run(*item, done)
        if done is not None:
            self._link.send(done)

    def _run(self, seq: int, attempt: Attempt, last: Done | None) -> Done | None:
        """Run one; ``last``, how the one before ended, goes out in one piece with this one's start,
        which must be told before the first line of its code."""
        told = [] if last is None else [last]
        done: Done | None = None
        if self._begin(seq, attempt):
            self._link.send(*told, Started([seq]))
            reach("child: started, not run")
            # In a context of its own: what one job sets, no other sees.
            done = Done([seq], [self._context.copy().run(attempt.run)])
            if attempt.running.opened is not None:
                self._book.end(attempt.running)
            reach("child: run, not told")
        else:
            self._link.send(*told, HandedBack([seq]))
        del self.running[seq]
        return done
