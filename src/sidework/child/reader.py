"""Reads what the worker says, on a thread of its own, until it says stop or is gone."""

from __future__ import annotations

import threading
import traceback
from collections.abc import Callable

from ..wire import Hold, Ping, Pong, Stop, ToChild
from .life import hold
from .link import Link


class Reader:
    """Answers by itself what concerns the process alone; ``hear`` gets the rest."""

    def __init__(
        self, link: Link, hear: Callable[[ToChild], None], gone: Callable[[], None]
    ) -> None:
        self._link = link
        self._hear = hear
        self._gone = gone
        self._thread = threading.Thread(target=self._run, name="sidework-reader", daemon=True)

    def start(self) -> None:
        """Begin to read."""
        self._thread.start()

    def _run(self) -> None:
        try:
            for message in self._link.receive():
                if isinstance(message, Ping):
                    self._link.send(Pong())
                elif isinstance(message, Hold):
                    hold(message.path, message.number)
                else:
                    self._hear(message)
                if isinstance(message, Stop):
                    return
        except Exception:  # noqa: BLE001 - whatever it is, this child is deaf now
            # A child that hears nothing would keep its jobs for ever: better that it ends, and that
            # they run again elsewhere.
            traceback.print_exc()
        self._gone()  # or the worker is, without a word: nobody can record what still runs here
