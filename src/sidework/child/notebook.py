"""The child's notebook: what its attempts tell, sent on ten times a second at most.

The first word goes out at once; whatever is told meanwhile goes with the next. What an attempt has told is
sent before its end is, so that the worker stores both in that order.
"""

from __future__ import annotations

import os
import threading

from ..job import Claimed
from ..tasks.context import RunningJob
from ..tasks.pad import Pad
from ..wire import Noted
from .link import Link

SEND_SECONDS = 0.1
"""Between two sendings of a child."""
MOST_NOTES = 200
"""Of one sending, about: whoever is left comes first the next time."""


class Notebook:
    """Of one child. Its thread is started by the first word."""

    def __init__(self, link: Link) -> None:
        self._link = link
        self._pid = os.getpid()
        self._lock = threading.Lock()
        self._sending = threading.Lock()
        """Held while something is taken and until it is sent: the end of an attempt waits for it."""
        self._news: dict[int, Pad] = {}
        self._wake = threading.Event()
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None

    def pad(self, job: RunningJob, claim: Claimed) -> Pad | None:
        """Where a running job writes, which is about to; ``None`` when it cannot any more."""
        if os.getpid() != self._pid:
            return None  # a process that a job forked: the pipe is its parent's
        pad = job.opened
        if pad is None:
            with self._lock:
                pad = job.opened = job.opened or Pad(claim.id, claim.fence)
        return None if pad.closed else pad

    def told(self, job: RunningJob) -> None:
        """There is something to send. Said after it was written: whoever takes it now has it all."""
        if job.seq in self._news or job.opened is None:
            return
        with self._lock:
            self._news[job.seq] = job.opened
            if self._thread is None:
                self._thread = threading.Thread(
                    target=self._run, name="sidework-notebook", daemon=True
                )
                self._thread.start()
        self._wake.set()

    def end(self, job: RunningJob) -> None:
        """Send what an attempt has told that has ended; then its end may be sent."""
        pad = job.opened
        if pad is None:
            return
        with self._sending:
            pad.closed = True
            with self._lock:
                self._news.pop(job.seq, None)
            notes = pad.take()
            if notes is not None:
                self._link.send(Noted([job.seq], [notes]))

    def close(self) -> None:
        """End the thread."""
        with self._lock:
            thread = self._thread
        self._stop.set()
        self._wake.set()
        if thread is not None:
            thread.join()

    def _run(self) -> None:
        while not self._stop.is_set():
            self._wake.wait()
            self._wake.clear()
            self._send()
            self._stop.wait(SEND_SECONDS)

    def _send(self) -> None:
        with self._sending:
            seqs, told, count = [], [], 0
            while count < MOST_NOTES:
                # Out of the list before it is emptied: what is written from here on puts it there again.
                with self._lock:
                    if not self._news:
                        break
                    seq = next(iter(self._news))
                    pad = self._news.pop(seq)
                notes = pad.take()
                if notes is not None:
                    seqs.append(seq)
                    told.append(notes)
                    count += len(notes.notes)
            if seqs:
                self._link.send(Noted(seqs, told))
        if self._news:
            self._wake.set()
