"""The one place of a process that waits for results and follows jobs: one socket and one thread
for a thousand waiters. A bell names the jobs that moved, and only those are read. Without bells a changed
version of the store, looked at four times a second, has all read that are waited for (promise I10)."""

from __future__ import annotations

import os
import select
import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any, TypeVar

from ..clock import monotonic
from ..errors import StoreError, StoreUnavailable
from ..forking import forgets
from ..job import JobRow
from ..state import FINAL
from ..store.protocol import Listener, Store
from .follower import Follower

_SAFETY_SECONDS = 0.25
_SHARE = 10
"""A look at everything is followed by a pause of so many times its length at least."""
AWAY_SECONDS = 30.0
"""A store that is away for longer is told to whoever waits, who raises it."""
_AGAIN_SECONDS = 0.5
_CHUNK = 500
_ID_BYTES = 16

Waited = Future[JobRow | None]
W = TypeVar("W")


class Waiter:
    """Hands each final job to whoever registered for it, and what jobs tell to whoever follows them."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._lock = threading.Lock()
        self._waiting: dict[bytes, list[Waited]] = {}
        self._followed: dict[bytes, list[Follower]] = {}
        self._watching: set[Callable[[], None]] = set()
        self._fresh: list[bytes] = []
        self._wake_read, self._wake_write = os.pipe()
        os.set_blocking(self._wake_write, False)
        os.set_blocking(self._wake_read, False)
        self._bell: Listener | None = None
        self._closed = False
        self._thread: threading.Thread | None = None
        self._version = -1
        self._owed = False
        """Whether a bell said "look at everything" since that was last done."""
        self._due = 0.0
        self._away_since: float | None = None
        forgets(self)

    def register(self, job_id: bytes, *, blocks: bool = True) -> Waited:
        """A future of the job's row once it is final; ``None`` when there is no such job. ``blocks``: whoever
        asks does nothing else until then, which is refused in a test (``testing``)."""
        future: Waited = Future()
        with self._lock:
            if self._closed:
                future.set_exception(_closed())
                return future
            self._waiting.setdefault(job_id, []).append(future)
            self._begin(job_id)
        return future

    def follow(self, follower: Follower) -> None:
        """Read its job for it, now and whenever the job has moved."""
        with self._lock:
            if self._closed:
                follower.fail(_closed())
                return
            self._followed.setdefault(follower.job_id, []).append(follower)
            self._begin(follower.job_id)

    def look_again(self, follower: Follower) -> None:
        """It has room again for what it left out."""
        with self._lock:
            if follower in self._followed.get(follower.job_id, ()) and not self._closed:
                self._begin(follower.job_id)

    def unfollow(self, follower: Follower) -> None:
        """Stop; harmless when it was never begun."""
        with self._lock:
            _leave(self._followed, follower.job_id, follower)

    def promise(self, job_id: bytes) -> Future[Any]:
        """The future that ``job.future()`` gives, open yet."""
        return Future()

    def watch(self, news: Callable[[], None]) -> None:
        """Call it whenever anything in the store may have moved."""
        with self._lock:
            if self._closed:
                raise _closed()
            self._watching.add(news)
            self._begin(None)

    def check(self) -> None:
        """``StoreError`` when it was closed: a watcher looks at the store by itself, and would open it."""
        if self._closed:
            raise _closed()

    def unwatch(self, news: Callable[[], None]) -> None:
        """Stop."""
        with self._lock:
            self._watching.discard(news)

    def _begin(self, job_id: bytes | None) -> None:
        """Under the lock: somebody is there to look for."""
        if self._thread is None:
            thread = threading.Thread(target=self._run, name="sidework-waiter", daemon=True)
            thread.start()
            self._thread = thread
        if job_id is not None:
            self._fresh.append(job_id)
        self._wake()

    def forget(self, job_id: bytes, future: Waited) -> None:
        """Stop waiting; harmless when it was answered."""
        with self._lock:
            _leave(self._waiting, job_id, future)

    def close(self) -> None:
        """End the thread; whoever still waits is told that the store was closed."""
        with self._lock:
            if self._closed:
                return
            self._closed = True
            self._wake()
            thread = self._thread
        if thread is not None:
            thread.join()
        self._close_pipe()

    def forget_in_child(self) -> None:
        """The thread is the parent's, and so are its descriptors: the copies go, as the bell's do by itself.
        The app has its next waiter made when somebody waits."""
        self._lock = threading.Lock()
        if not self._closed:
            self._closed = True
            self._close_pipe()

    def _close_pipe(self) -> None:
        # Under the lock nobody writes to a number that may be another file's by now.
        with self._lock:
            os.close(self._wake_read)
            os.close(self._wake_write)

    def _wake(self) -> None:
        try:
            os.write(self._wake_write, b"x")
        except BlockingIOError:
            pass  # full: already woken

    def _run(self) -> None:
        try:
            self._bell = bell = self._store.listen("done")  # before the first look: none is missed
            poll = select.poll()
            poll.register(self._wake_read, select.POLLIN)
            if bell.fileno() >= 0:
                poll.register(bell.fileno(), select.POLLIN)
            while not self._closed:
                # With nobody waiting there is nothing to check: sleep until someone comes.
                waits = self._waiting or self._followed or self._watching
                poll.poll(max(0.0, self._due - monotonic()) * 1000 if waits else None)
                self._turn(bell)
            bell.close()
        except Exception as error:  # noqa: BLE001 - told to everyone who waits; the next begins anew
            with self._lock:
                self._thread = None
            self._fail(error)
        if self._closed:
            self._fail(_closed())

    def _turn(self, bell: Listener) -> None:
        try:
            os.read(self._wake_read, 4096)
        except BlockingIOError:
            pass
        with self._lock:
            look, self._fresh = set(self._fresh), []
        rung = bell.read()
        for payload in rung:
            named = {payload[at : at + _ID_BYTES] for at in range(0, len(payload), _ID_BYTES)}
            look |= {id_ for id_ in named if id_ in self._waiting or id_ in self._followed}
            self._owed = self._owed or not payload
        try:
            self._look(look)
            if rung:
                self._tell_watchers()
            if (self._waiting or self._followed or self._watching) and monotonic() >= self._due:
                self._look_at_all()
            self._away_since = None
        except StoreUnavailable as error:
            self._look_again_or_fail(error)
        except Exception as error:  # noqa: BLE001 - told to everyone who waits, who raises it
            self._fail(error)

    def _look_again_or_fail(self, error: StoreUnavailable) -> None:
        """A server that restarts is no reason to give up: jobs go on after it, and so do those who wait."""
        now = monotonic()
        self._away_since = now if self._away_since is None else self._away_since
        if now - self._away_since < AWAY_SECONDS:
            self._owed, self._due = True, now + _AGAIN_SECONDS
        else:
            self._away_since = None
            self._fail(error)

    def _look_at_all(self) -> None:
        """If anything has changed since the last time. Bells for other jobs do not hasten it."""
        began = monotonic()
        version = self._store.version()
        if self._owed or version != self._version:
            self._owed, self._version = False, version
            with self._lock:
                waited = {*self._waiting, *self._followed}
            self._look(waited)
            self._tell_watchers()
        ended = monotonic()
        self._due = ended + max(_SAFETY_SECONDS, self._store.pace(), (ended - began) * _SHARE)

    def _look(self, jobs: set[bytes]) -> None:
        self._look_at_ends(sorted(jobs & self._waiting.keys()))
        with self._lock:
            followers = [one for id_ in jobs for one in self._followed.get(id_, ())]
        wanting = [(one, since) for one in followers if (since := one.since) is not None]
        for start in range(0, len(wanting), _CHUNK):
            chunk = wanting[start : start + _CHUNK]
            chapters = self._store.journal.read([since for _, since in chunk])
            for (one, _), chapter in zip(chunk, chapters, strict=True):
                one.deliver(chapter)

    def _tell_watchers(self) -> None:
        with self._lock:
            watching = list(self._watching)
        for news in watching:
            news()

    def _look_at_ends(self, ids: list[bytes]) -> None:
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
            followers = [one for several in self._followed.values() for one in several]
            self._followed.clear()
        self._tell_watchers()
        for follower in followers:
            follower.fail(error)
        for future in futures:
            if future.set_running_or_notify_cancel():
                future.set_exception(error)


def _leave(those: dict[bytes, list[W]], job_id: bytes, one: W) -> None:
    left = [other for other in those.get(job_id, ()) if other is not one]
    if left:
        those[job_id] = left
    else:
        those.pop(job_id, None)


def _closed() -> StoreError:
    return StoreError("the app was closed while a result or events were waited for")
