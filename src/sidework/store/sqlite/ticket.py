"""The write ticket: whose turn it is, among the processes on one file, to write.

SQLite's own ``busy_timeout`` polls and starves; here a writer takes an ``flock`` on a separate file
first. It never opens the database, whose locks it would drop.
"""

from __future__ import annotations

import fcntl
import os
import threading
from typing import Self

from ...clock import monotonic
from ...errors import StoreUnavailable

_LOOK_SECONDS = 0.25
TICKET_SECONDS = 30.0
"""How long a writer stands in line; far beyond the worst wait among writers that move."""


class Ticket:
    """A lock between processes on the file ``path``, as a context manager.

    Not reentrant. ``lock`` is the line within this process. ``close()`` must come before a fork, since
    parent and child would share one ``flock`` and both believe to hold it. ``timeout`` is in seconds and
    counts for whoever waits already, too. Entering raises ``StoreUnavailable``.
    """

    def __init__(self, path: str, timeout: float = TICKET_SECONDS) -> None:
        self._path = path
        self.timeout = timeout
        self.lock = threading.RLock()
        self._fd = -1

    def __enter__(self) -> Self:
        self._stand_in_line()
        try:
            self._take()
        except BaseException:
            self.lock.release()
            raise
        return self

    def _stand_in_line(self) -> None:
        if self.lock.acquire(blocking=False):
            return
        began = monotonic()
        while not self.lock.acquire(timeout=_LOOK_SECONDS):
            if monotonic() - began >= self.timeout:
                raise StoreUnavailable(
                    f"the store is busy: another thread of this process has written to it, or waited to "
                    f"write, for over {self.timeout:g} s ({self._path})"
                )

    def _take(self) -> None:
        try:
            if self._fd < 0:
                self._fd = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
            try:
                fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                self._wait()
        except OSError as error:
            raise StoreUnavailable(
                f"cannot take the write ticket {self._path}: {error.strerror}; "
                "is its folder there, writable and on a local disk?"
            ) from error

    def __exit__(self, *_: object) -> None:
        try:
            # Unlocked by name, not by closing: a descriptor that a fork copied would keep the lock.
            if self._fd >= 0:  # else a fork came in between, which closed it
                fcntl.flock(self._fd, fcntl.LOCK_UN)
        finally:
            self.lock.release()

    def close(self) -> None:
        """Close the file; the next entry opens it again."""
        fd, self._fd = self._fd, -1
        if fd >= 0:
            os.close(fd)

    def _wait(self) -> None:
        """Block in ``flock`` on a thread: the call takes no timeout, and polling is unfair."""
        wait = _Wait(self._fd)
        wait.start()
        try:
            began = monotonic()
            while not wait.ended.wait(_LOOK_SECONDS) and monotonic() - began < self.timeout:
                continue
        finally:  # also on KeyboardInterrupt: the thread may get the lock at any later time
            if abandoned := wait.abandon():
                self._fd = -1  # the thread's now: a second lock on it would be undone by its unlock
        if abandoned:
            raise StoreUnavailable(
                f"the store is busy: another process holds the write ticket of {self._path} "
                f"for over {self.timeout:g} s; is it stopped?"
            )
        if wait.error is not None:
            raise wait.error


class _Wait(threading.Thread):
    def __init__(self, fd: int) -> None:
        super().__init__(name="sidework-ticket", daemon=True)
        self.ended = threading.Event()
        self.error: OSError | None = None
        self._fd = fd
        self._decision = threading.Lock()
        self._abandoned = False

    def run(self) -> None:
        try:
            fcntl.flock(self._fd, fcntl.LOCK_EX)
        except OSError as error:
            self.error = error
        # Under the lock either the waiter sees `ended` or this thread sees `_abandoned`: a ticket
        # that comes in the moment of giving up is never left with nobody.
        with self._decision:
            if not self._abandoned:
                self.ended.set()
                return
        try:
            fcntl.flock(self._fd, fcntl.LOCK_UN)
        finally:
            os.close(self._fd)

    def abandon(self) -> bool:
        """True when the lock had not come and, should it come, is to be given back."""
        with self._decision:
            self._abandoned = not self.ended.is_set()
            return self._abandoned
