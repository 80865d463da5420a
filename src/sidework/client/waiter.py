"""The one place of a process that waits for results: one socket and one thread for a thousand
waiters. A bell names the jobs that moved; without bells a changed data version, looked at four
times a second, makes it read all that is waited for (promise I10)."""

from __future__ import annotations

import os
import select
import threading
from concurrent.futures import Future

from ..errors import StoreError
from ..job import JobRow
from ..state import FINAL
from ..store.protocol import Store

_SAFETY_SECONDS = 0.25
_CHUNK = 500

Waited = Future[JobRow | None]


class Waiter:
    """Hands each final job to whoever registered for it."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._lock = threading.Lock()
        self._waiting: dict[bytes, list[Waited]] = {}
        self._fresh: list[bytes] = []
        self._wake_read, self._wake_write = os.pipe()
        os.set_blocking(self._wake_write, False)
        os.set_blocking(self._wake_read, False)
        self._closed = False
        self._thread: threading.Thread | None = None

    def register(self, job_id: bytes) -> Waited:
        """A future of the job's row once it is final; ``None`` when there is no such job."""
        future: Waited = Future()
        with self._lock:
            self._waiting.setdefault(job_id, []).append(future)
            self._fresh.append(job_id)
            if self._thread is None:
                self._thread = threading.Thread(
                    target=self._run, name="sidework-waiter", daemon=True
                )
                self._thread.start()
        self._wake()
        return future

    def forget(self, job_id: bytes, future: Waited) -> None:
        """Stop waiting; harmless when it was answered."""
        with self._lock:
            left = [one for one in self._waiting.get(job_id, ()) if one is not future]
            if left:
                self._waiting[job_id] = left
            else:
                self._waiting.pop(job_id, None)

    def close(self) -> None:
        """End the thread; whoever still waits is told that the store was closed."""
        self._closed = True
        self._wake()
        if self._thread is not None:
            self._thread.join()
        os.close(self._wake_read)
        os.close(self._wake_write)

    def _wake(self) -> None:
        try:
            os.write(self._wake_write, b"x")
        except BlockingIOError:
            pass  # full: already woken

    def _run(self) -> None:
        bell = self._store.listen("done")  # before the first look: nothing falls in between
        poll = select.poll()
        poll.register(self._wake_read, select.POLLIN)
        if bell.fileno() >= 0:
            poll.register(bell.fileno(), select.POLLIN)
        version = -1
        while not self._closed:
            # With nobody waiting there is nothing to check: sleep until someone comes.
            poll.poll(_SAFETY_SECONDS * 1000 if self._waiting else None)
            try:
                os.read(self._wake_read, 4096)
            except BlockingIOError:
                pass
            with self._lock:
                look, self._fresh = set(self._fresh), []
                waited = set(self._waiting)
            for payload in bell.read():
                named = {payload[at : at + 16] for at in range(0, len(payload), 16)}
                look |= (named & waited) if payload else waited
            try:
                if not look and waited:
                    current = self._store.version()
                    if current != version:
                        version, look = current, waited
                self._look(sorted(look & waited))
            except Exception as error:  # noqa: BLE001 - told to everyone who waits, who raises it
                self._fail(error)
        bell.close()
        self._fail(StoreError("the app was closed while a result was waited for"))

    def _look(self, ids: list[bytes]) -> None:
        for start in range(0, len(ids), _CHUNK):
            chunk = ids[start : start + _CHUNK]
            for job_id, row in zip(chunk, self._store.get(chunk), strict=True):
                if row is None or row.state in FINAL:
                    with self._lock:
                        futures = self._waiting.pop(job_id, [])
                    for future in futures:
                        if future.set_running_or_notify_cancel():
                            future.set_result(row)

    def _fail(self, error: Exception) -> None:
        with self._lock:
            futures = [future for several in self._waiting.values() for future in several]
            self._waiting.clear()
        for future in futures:
            if future.set_running_or_notify_cancel():
                future.set_exception(error)
