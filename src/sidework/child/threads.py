"""Plain functions in threads: each thread takes a job, says so, runs it, and says how it ended."""

from __future__ import annotations

import queue
import threading

from ..crashpoint import reach
from ..wire import Done, HandedBack, Started
from .executor import Attempt
from .life import vital
from .link import Link


class Threads:
    """At most ``count`` attempts at a time; threads are made when first needed."""

    def __init__(self, count: int, link: Link, *, own_process: bool) -> None:
        self._count = count
        self._own_process = own_process
        self._link = link
        self._waiting: queue.SimpleQueue[tuple[int, Attempt] | None] = queue.SimpleQueue()
        self._lock = threading.Lock()
        self._idle = 0
        self._made: list[threading.Thread] = []
        self._unwanted: set[int] = set()
        self.running: dict[int, tuple[Attempt, int]] = {}

    def accept(self, seq: int, attempt: Attempt) -> None:
        """Run it when a thread is free."""
        self._waiting.put((seq, attempt))
        with self._lock:
            if self._idle < self._waiting.qsize() and len(self._made) < self._count:
                thread = threading.Thread(
                    target=self._work, name=f"sidework-thread-{len(self._made)}", daemon=True
                )
                self._made.append(thread)
                thread.start()

    def cancel(self, seq: int, why: str) -> None:
        """A thread cannot be stopped: its flag is raised, and its code may ask."""
        self._unwanted.add(seq)
        found = self.running.get(seq)
        if found is not None:
            found[0].stopped_why = why
            found[0].running.ask_to_stop()

    def take_back(self) -> list[int]:
        """What has not been started, and now never will be here."""
        taken: list[int] = []
        while True:
            try:
                item = self._waiting.get_nowait()
            except queue.Empty:
                return taken
            if item is None:
                self._waiting.put(None)
                return taken
            taken.append(item[0])

    def finish(self) -> None:
        """Wait for what runs; then the threads end."""
        self._link.send(HandedBack(self.take_back()))
        for _ in self._made:
            self._waiting.put(None)
        for thread in self._made:
            thread.join()

    def _work(self) -> None:
        with vital(self._own_process):
            self._serve()

    def _serve(self) -> None:
        me = threading.get_ident()
        while True:
            with self._lock:
                self._idle += 1
            item = self._waiting.get()
            with self._lock:
                self._idle -= 1
            done: Done | None = None
            while item is not None:
                seq, attempt = item
                self.running[seq] = (attempt, me)  # before the look: a cancel is seen here or there
                if seq in self._unwanted and not attempt.running.should_stop:
                    self._link.send(*([done] if done else []), HandedBack([seq]))
                    done = None
                else:
                    # The last outcome and the next start in one piece, before the first line of code.
                    self._link.send(*([done] if done else []), Started([seq]))
                    reach("child: started, not run")
                    done = Done([seq], [attempt.run()])
                    reach("child: run, not told")
                self._unwanted.discard(seq)
                del self.running[seq]
                try:
                    item = self._waiting.get_nowait()
                except queue.Empty:
                    break
            if done is not None:
                self._link.send(done)
            if item is None:
                return
