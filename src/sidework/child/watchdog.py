"""Sees what cannot report itself: a blocked event loop, a thread past its deadline, a GIL that was held.

A blocked loop is told within a second, with its stack. While native code holds the GIL no Python runs, this
thread included: the worker, which gets no answer, says that at once, and this thread, the moment it runs
again, where the jobs' code stands. (``faulthandler`` could show that meanwhile; it walks through frames of
threads that may be running, and took down children that were only short of processor time: decision 20.)
"""

from __future__ import annotations

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
"""Between two looks; else this thread would have had its turn, which each waits for some ms."""


class Watchdog:
    """A daemon thread of the child."""

    def __init__(self, loop: Loop, threads: Threads, link: Link, main: int) -> None:
        self._loop, self._threads, self._link, self._main = loop, threads, link, main
        self._answered = monotonic()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="sidework-watchdog", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """End the thread."""
        self._stop.set()
        self._thread.join()

    def _answer(self) -> None:
        self._answered = monotonic()
        self._loop.sweep()

    def _run(self) -> None:
        told_loop = False
        told: set[int] = set()
        asked = looked = self._answered
        while not self._stop.wait(_LOOK_SECONDS):
            now = monotonic()
            if now - looked > _HELD_SECONDS:
                self._tell_held(now - looked)
            looked = now
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

    def _tell_held(self, seconds: float) -> None:
        line = f"no other Python code ran for {seconds:.1f} s: its GIL was held, or it got no processor"
        stacks = [
            f"job {attempt.running.id} ({attempt.job.task}) now:\n{self._stack(ident)}"
            for attempt, ident in list(self._threads.running.values())
        ]
        self._link.send(
            Warn(line, "\n".join([*stacks, f"the event loop now:\n{self._stack(self._main)}"]))
        )

    def _stack(self, ident: int) -> str:
        frame = sys._current_frames().get(ident)
        return "" if frame is None else clean("".join(traceback.format_stack(frame)), 16_000)
