"""The sandbox: an app with a store of its own for one test, and the test's hands on it.

The app is the real one, and so is the store: an empty SQLite file in a temporary folder, only that nothing
is flushed to the disk. There is no worker, no other process and no waiting.
"""

from __future__ import annotations

import tempfile
from datetime import datetime
from types import TracebackType
from typing import Any, cast

from ..client.app import Sidework
from ..client.handle import Handle
from ..client.waiter import Waiter
from ..duration import Duration, seconds
from ..errors import JobNotFound, SideworkError
from ..handle import JobHandle
from ..ids import parse_id
from ..info import JobInfo
from ..job import JobFilter, JobRow
from ..store.opening import absolute, open_store
from ..store.protocol import Store
from ..tasks.importing import refuse_at_import
from ..tasks.task import Task
from .calls import Call
from .clock import Clock, Timed
from .driver import Driver, Steps, T, on_a_loop
from .faults import Error, Faults
from .waiting import Waiting

MOST_JOBS = 1000
"""Attempts of one ``drain``, if nothing else is said."""
_PAGE = 200


class Sandbox:
    """An app under test, for ``with``: inside, its jobs are kept in a store of their own.

    ``url``: another empty store than a temporary file, where the code under test enqueues on connections
    of its own database. ``leave``: exceptions that end the test, not only the job that raises them.

    ``run``, ``run_next`` and ``drain`` run jobs on the thread of the test; in a coroutine they are ``arun``,
    ``arun_next`` and ``adrain``, which run coroutines on its loop. All else is the same for both.
    """

    def __init__(
        self, app: Sidework, url: str | None = None, leave: tuple[type[BaseException], ...] = ()
    ) -> None:
        if not isinstance(app, Sidework):
            raise TypeError(f"{app!r} is no app: give what Sidework() has made")
        self.app = app
        self._url = url
        self._clock = Clock()
        self._faults = Faults(leave)

    def __enter__(self) -> Sandbox:
        app = self.app
        refuse_at_import("opens a sandbox")
        if app._opens is not open_store:
            raise SideworkError("the app is in a sandbox already: leave that one first")
        self._folder = tempfile.TemporaryDirectory(prefix="sidework-")
        try:
            url = absolute(self._url or "jobs.db", self._folder.name)
            self._store = cast(Store, Timed(open_store(url, durable=False), self._clock))
            self._store.migrate()
            self._driver = Driver(app, self._store, self._clock, self._faults)
        except BaseException:
            self._folder.cleanup()
            raise
        app.close()
        self._before = app.url
        app.url = url
        # The same store each time: code under test may close the app, as web servers do at their end.
        app._opens = lambda url: self._store
        app._waits = lambda store: Waiting(store, self._driver)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        app = self.app
        app.close()
        app.url, app._opens, app._waits = self._before, open_store, Waiter
        self._driver.close()
        self._store.close()
        self._folder.cleanup()

    # Time ---------------------------------------------------------------------------------------

    @property
    def now(self) -> datetime:
        """The store's time, in UTC: it stands still between two moves. Your own code's is the real one."""
        return self._clock.now

    def move(self, duration: Duration) -> datetime:
        """Let so much time pass, like ``"1h 30m"``; the new time. Nothing runs by itself."""
        self._clock.move(duration)
        return self.now

    def move_to(self, moment: datetime) -> datetime:
        """Let time pass until that moment; ``BadValue`` when it is over, or has no zone."""
        self._clock.move_to(moment)
        return self.now

    # Running ------------------------------------------------------------------------------------

    def run_next(self) -> JobInfo:
        """Run the next job that is due; the job after that attempt. ``SideworkError`` when none is."""
        return self._last(self._here(self._driver.next()))

    async def arun_next(self) -> JobInfo:
        """``run_next`` for coroutines."""
        return self._last(await self._there(self._driver.next()))

    def run(self, job: JobHandle[Any]) -> JobInfo:
        """Run what is due, in its order, until this job has ended. ``SideworkError`` when it does not:
        it may be due later, or wait in a paused queue."""
        self._here(self._driver.until(_asked(job)))
        return self._ended(job)

    async def arun(self, job: JobHandle[Any]) -> JobInfo:
        """``run`` for coroutines."""
        await self._there(self._driver.until(_asked(job)))
        return self._ended(job)

    def drain(self, *, within: Duration = 0, limit: int = MOST_JOBS) -> list[JobInfo]:
        """Run jobs until nothing is due, those too that jobs enqueue; each as it stood after its attempt.

        ``within``: let time pass up to so much, from one due job to the next: retries, delays, snoozes.
        ``SideworkError`` after ``limit`` attempts.
        """
        return self._here(self._driver.drain(limit, round(seconds(within, "within") * 1000)))

    async def adrain(self, *, within: Duration = 0, limit: int = MOST_JOBS) -> list[JobInfo]:
        """``drain`` for coroutines."""
        millis = round(seconds(within, "within") * 1000)
        return await self._there(self._driver.drain(limit, millis))

    def fail(self, task: Task[Any, Any, Any], error: Error, *, times: int = 1) -> None:
        """Have the next ``times`` attempts of the task raise this error instead of running."""
        self._faults.plan(task, error, times)

    # Asking -------------------------------------------------------------------------------------

    def enqueued(self, task: Task[Any, Any, Any], *args: Any, **kwargs: Any) -> list[JobInfo]:
        """The jobs of this task with these arguments, oldest first; ``AssertionError`` when there is none.

        Arguments that are left out may be anything; those given are compared with ``==``, in the types
        that the job gets, so that ``unittest.mock.ANY`` and the like work.
        """
        call, rows = Call(task, args, kwargs), self._rows()
        found = [row for row in rows if call.fits(row)]
        if not found:
            raise AssertionError(call.missed(rows))
        return [JobInfo(row) for row in found]

    def not_enqueued(self, task: Task[Any, Any, Any], *args: Any, **kwargs: Any) -> None:
        """``AssertionError`` when there is a job of this task with these arguments."""
        call = Call(task, args, kwargs)
        found = [row for row in self._rows() if call.fits(row)]
        if found:
            raise AssertionError(call.met(found))

    # Inside -------------------------------------------------------------------------------------

    def _rows(self) -> list[JobRow]:
        rows: list[JobRow] = []
        while page := self._store.page(JobFilter(), rows[-1].id if rows else None, _PAGE):
            rows += page
        return rows[::-1]

    def _last(self, ran: bool) -> JobInfo:
        info = self._driver.last()
        if not ran or info is None:
            raise SideworkError(
                f"no job is due at {self.now:%Y-%m-%d %H:%M:%S} UTC: {self._waits()}"
            )
        return info

    def _ended(self, job: JobHandle[Any]) -> JobInfo:
        (row,) = self._store.get([parse_id(job.id)])
        if row is None:
            raise JobNotFound(f"there is no job {job.id} in the sandbox")
        if not self._driver.is_final(row.id):
            raise SideworkError(f"job {job.id} does not end now: {self._waits()}")
        return JobInfo(row)

    def _waits(self) -> str:
        """What there is that does not run now."""
        live = [JobInfo(row) for row in self._rows() if not self._driver.is_final(row.id)]
        told = "; ".join(
            f"{info.task} is {info.state}, due at {info.due_at:%Y-%m-%d %H:%M:%S} UTC"
            for info in live[:3]
        )
        return f"{told}{' …' if len(live) > 3 else ''}" or "none is waiting"

    def _here(self, steps: Steps[T]) -> T:
        if on_a_loop():
            raise SideworkError(
                "this is a coroutine: use await sidework.arun(…), arun_next() or adrain()"
            )
        with self._driver:
            return self._driver.here(steps)

    async def _there(self, steps: Steps[T]) -> T:
        with self._driver:
            return await self._driver.there(steps)


def _asked(job: object) -> bytes:
    if not isinstance(job, Handle):
        raise TypeError(f"{job!r} is no handle of a job: give what enqueue() has returned")
    return job.raw
