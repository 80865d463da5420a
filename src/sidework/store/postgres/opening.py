"""A connection on its way, on a thread of its own: whoever needs it waits as long as his patience lasts,
and the next one goes on waiting where he left.

So a worker's loop is never held by a network that says nothing, or by a name server; and a server that is
only slow is reached in the end, since no attempt is thrown away for being somebody's last moment.
"""

from __future__ import annotations

import threading

from .connection import Opened, open_connection
from .place import CONNECT_SECONDS, Place
from .sqlstate import error_of


class Opening:
    """Begins at once."""

    def __init__(self, place: Place) -> None:
        self._place = place
        self._lock = threading.Lock()
        self._ended = threading.Event()
        self._abandoned = False
        self._opened: Opened | None = None
        self._error: BaseException | None = None
        threading.Thread(target=self._run, name="sidework-connect", daemon=True).start()

    @property
    def failed(self) -> bool:
        """Whether it has come to nothing."""
        return self._error is not None

    def _run(self) -> None:
        try:
            opened = open_connection(self._place, CONNECT_SECONDS)
        except BaseException as error:  # noqa: BLE001 - raised where it is waited for
            self._error = error
        else:
            with self._lock:
                self._opened = opened
                if self._abandoned:
                    opened.connection.close()
        self._ended.set()

    def wait(self, seconds: float) -> Opened:
        """The connection; ``StoreUnavailable`` when it is not there in time."""
        if not self._ended.wait(seconds):
            raise error_of(None, f"no connection within {seconds:.2g} s", self._place.shown)
        if self._error is not None:
            raise self._error
        assert self._opened is not None
        return self._opened

    def abandon(self) -> None:
        """Nobody wants it any more."""
        with self._lock:
            self._abandoned = True
            if self._opened is not None:
                self._opened.connection.close()
