"""Calls what others gave to be called, on a thread of its own: the waiter's must not wait for what they do,
which may be to wait for another job."""

from __future__ import annotations

import logging
import queue
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from ..forking import forgets

if TYPE_CHECKING:
    import asyncio

log = logging.getLogger("sidework.app")


class Caller:
    """Of one app. Its thread is started by the first call, and calls in the order of the ends."""

    def __init__(self) -> None:
        self.forget_in_child()
        forgets(self)

    def forget_in_child(self) -> None:
        """The thread is the parent's, and so is what it was to call."""
        self._lock = threading.Lock()
        self._line: queue.SimpleQueue[Callable[[], object] | None] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None

    def call(self, function: Callable[[], object]) -> None:
        """Call it soon; an error of it is logged."""
        with self._lock:
            if self._thread is None:
                self._thread = threading.Thread(
                    target=self._run, args=(self._line,), name="sidework-callbacks", daemon=True
                )
                self._thread.start()
            self._line.put(function)

    def close(self) -> None:
        """End the thread once all that was given is called; not waited for: it may be what closes."""
        with self._lock:
            if self._thread is not None:
                self._line.put(None)
                self._thread = None

    def _run(self, line: queue.SimpleQueue[Callable[[], object] | None]) -> None:
        while (function := line.get()) is not None:
            try:
                function()
            except BaseException:
                log.exception("a callback of a job failed")


def on_loop(loop: asyncio.AbstractEventLoop, function: Callable[..., object], *given: Any) -> None:
    """Call it soon on a loop of another thread; harmless when that loop is closed, as it may be between a
    look and the call: nobody there listens any more."""
    try:
        loop.call_soon_threadsafe(function, *given)
    except RuntimeError:
        if not loop.is_closed():
            raise
