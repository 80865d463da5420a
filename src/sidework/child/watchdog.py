"""Sees what cannot report itself: a blocked event loop, a thread past its deadline.

A blocked loop is told within a second, with its stack. While native code holds the GIL no Python
runs, this thread included: for that the interpreter's own C-level timer dumps the stacks.
"""

from __future__ import annotations

import faulthandler
import os
import sys
import threading
import traceback

from ..clock import monotonic
from ..logs import fields
from ..outcome import clean
from ..wire import Blocked, Warn
from .link import Link
from .loop import Loop
from .threads import Threads

_LOOK_SECONDS = 0.25
# Each leaves room below the second within which it is to be told: a loop blocked right after it has
# answered is asked at the next look, and told at the second one after that (0.75 s in all).
_BLOCKED_SECONDS = 0.4
_HELD_SECONDS = 0.75


class Watchdog:
    """A daemon thread of the child."""

    def __init__(
        self, loop: Loop, threads: Threads, link: Link, main: int, *, own_process: bool
    ) -> None:
        self._loop, self._threads, self._link, self._main = loop, threads, link, main
        # The timer is one per process: inside a user's program it is not ours to set. It writes to a
        # copy of stderr as it was: jobs may close it, or put something without a descriptor there.
        self._errors = _copy_of_stderr() if own_process else -1
        self._arm()
        self._answered = monotonic()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="sidework-watchdog", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """End the thread."""
        self._stop.set()
        self._thread.join()
        if self._errors >= 0:
            faulthandler.cancel_dump_traceback_later()

    def _arm(self) -> None:
        if self._errors >= 0:
            faulthandler.dump_traceback_later(_HELD_SECONDS, exit=False, file=self._errors)

    def _answer(self) -> None:
        self._answered = monotonic()
        self._loop.sweep()

    def _run(self) -> None:
        told_loop = False
        told: set[int] = set()
        asked = self._answered
        while not self._stop.wait(_LOOK_SECONDS):
            self._arm()
            now = monotonic()
            if self._answered >= asked:
                if told_loop:
                    self._link.send(Blocked(False))
                asked, told_loop = now, False
                try:
                    self._loop.loop.call_soon_threadsafe(self._answer)
                except RuntimeError:
                    return  # the loop is closed: the child ends
            elif now - asked > _BLOCKED_SECONDS and not told_loop:
                told_loop = True
                line = "the event loop is blocked; coroutines of this child wait"
                self._link.send(Blocked(True), Warn(line, self._stack(self._main)))
            for seq, (attempt, ident) in list(self._threads.running.items()):
                deadline = attempt.running.deadline
                if deadline is not None and now >= deadline and seq not in told:
                    told.add(seq)
                    attempt.stop("timeout")
                    line = (
                        f"job {attempt.running.id} ({attempt.job.task}) is past its timeout of "
                        f"{attempt.timeout} s in a thread, which cannot be stopped"
                    )
                    self._link.send(Warn(line, self._stack(ident), fields(attempt.running)))
            told &= set(self._threads.running)

    def _stack(self, ident: int) -> str:
        frame = sys._current_frames().get(ident)
        return "" if frame is None else clean("".join(traceback.format_stack(frame)), 16_000)


def _copy_of_stderr() -> int:
    try:
        return os.dup(2)
    except OSError:
        return -1  # started without one: then there is nobody to tell
