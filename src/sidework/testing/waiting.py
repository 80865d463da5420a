"""Who waits for a job in a test is answered at once, where a program would wait for a worker.

A final job's result is there. Outside a job nothing else can come of waiting: the test that waits is the
one that would have to run it. Inside a job, what it waits for runs now, in its place.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any, NoReturn, cast

from ..client.follower import Follower
from ..client.waiter import Waiter
from ..clock import to_datetime
from ..errors import SideworkError
from ..event import BEFORE
from ..ids import id_text
from ..job import JobRow
from ..state import FINAL, State
from ..store.journal import Since
from ..store.protocol import Store
from ..tasks.context import RunningJob, current_job
from .driver import Driver, on_a_loop

Waited = Future[JobRow | None]


class _Promise(Future[Any]):
    """A job's future: who waits for it is answered as by ``job.result()``."""

    def __init__(self, ask: Callable[[], Waited]) -> None:
        super().__init__()
        self._ask = ask

    def result(self, timeout: float | None = None) -> Any:
        self._refuse()
        return super().result(timeout)

    def exception(self, timeout: float | None = None) -> BaseException | None:
        self._refuse()
        return super().exception(timeout)

    def _refuse(self) -> None:
        if not self.done():
            asked = self._ask()
            if asked.done() and (why := asked.exception()) is not None:
                raise why


class Waiting(Waiter):
    """The app's waiter, but for who would be blocked."""

    def __init__(self, store: Store, driver: Driver) -> None:
        super().__init__(store)
        self._driver = driver
        self._lines: dict[tuple[str, int], asyncio.Lock] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    def register(self, job_id: bytes, *, blocks: bool = True) -> Waited:
        """A future of the job's row once it is final; ``None`` when there is no such job."""
        if not blocks:
            return super().register(job_id, blocks=False)
        future: Waited = Future()
        (row,) = self._store.get([job_id])
        if row is None or row.state in FINAL:
            future.set_result(row)
            return future
        try:
            waits = current_job()
        except SideworkError:
            future.set_exception(SideworkError(self._nobody(row)))
            return future
        if on_a_loop():
            task = asyncio.create_task(self._drive(job_id, future, waits))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        else:
            with waits.parked():
                self._driver.here(self._driver.until(job_id))
            self._answer(job_id, future, waits)
        return future

    def promise(self, job_id: bytes) -> Future[Any]:
        """The future that ``job.future()`` gives, open yet."""
        return _Promise(lambda: self.register(job_id))

    def watch(self, news: Callable[[], None]) -> NoReturn:
        """Refused: whoever follows all jobs waits without an end."""
        raise SideworkError(
            "app.events() has no end, and nobody runs jobs while the test follows them: let them run first, "
            "by sidework.drain(), and ask each by job.events()"
        )

    def forget(self, job_id: bytes, future: Waited) -> None:
        """Stop waiting; harmless when it was answered."""
        future.cancel()
        super().forget(job_id, future)

    def follow(self, follower: Follower) -> None:
        """What its job has told by now. Inside a job, what is followed runs now, to its end."""
        job_id = follower.job_id

        def deliver(_: Waited | None = None) -> None:
            follower.deliver(self._store.journal.read([Since(job_id, *BEFORE)])[0])

        future = self.register(job_id)
        if future.done() and future.exception() is not None:
            follower.fail(cast(Exception, future.exception()))
        else:
            future.add_done_callback(deliver)

    def look_again(self, follower: Follower) -> None:
        """Nothing was left out."""

    def unfollow(self, follower: Follower) -> None:
        """Nothing is kept of it."""

    async def _drive(self, job_id: bytes, future: Waited, waits: RunningJob) -> None:
        # One job of a waiting job's at a time, however many it waits for: a test goes the same way each time.
        async with self._lines.setdefault((waits.id, waits.fence), asyncio.Lock()):
            if not future.cancelled():
                await self._driver.there(self._driver.until(job_id))
        self._answer(job_id, future, waits)

    def _answer(self, job_id: bytes, future: Waited, waits: RunningJob) -> None:
        if not future.set_running_or_notify_cancel():
            return
        (row,) = self._store.get([job_id])
        if row is None or row.state in FINAL:
            future.set_result(row)
        else:
            why = f"nothing else can run meanwhile, so job {waits.id} ({waits.task}) would wait for ever"
            future.set_exception(SideworkError(f"{_stands(row)}: {why}"))

    def _nobody(self, row: JobRow) -> str:
        return (
            f"{_stands(row)}, and nobody runs it while the test waits: let it run first, by "
            "sidework.run(job) or sidework.drain(), in a coroutine arun or adrain"
        )


def _stands(row: JobRow) -> str:
    due = row.state in (State.SCHEDULED, State.RETRYABLE)
    when = f", due at {to_datetime(row.due_at):%Y-%m-%d %H:%M:%S} UTC" if due else ""
    return f"job {id_text(row.id)} ({row.task}) is {row.state}{when}"
