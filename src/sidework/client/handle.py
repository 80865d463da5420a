"""A job handle: an id and ways to ask about it."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future
from typing import TYPE_CHECKING, Any, Generic, TypeVar, cast

from ..clock import monotonic
from ..codec import decode
from ..duration import Duration, seconds, text_of
from ..errors import BadValue, JobCancelled, JobFailed, JobNotFound, WaitTimeout
from ..event import Progress
from ..ids import id_text
from ..info import AttemptInfo, JobInfo
from ..job import JobRow
from ..outcome import decode_failure
from ..outputs import Output
from ..state import State
from ..tasks.context import stop_if_asked, waiting
from ..tasks.importing import refuse_at_import
from ..tasks.signals import plain_function
from ..url import shown
from .follower import JobEvents
from .story import progress_of

if TYPE_CHECKING:
    from .app import Sidework
    from .waiter import Waiter

R = TypeVar("R")

_LOOK_SECONDS = 0.25


class Handle(Generic[R]):
    """See ``handle.JobHandle``."""

    def __init__(
        self, app: Sidework, raw_id: bytes, returns: Any, *, existing: bool = False
    ) -> None:
        self._app = app
        self.existing = existing
        self.raw = raw_id
        self._returns = returns

    @property
    def id(self) -> str:
        """The job's id, a UUID as text."""
        return id_text(self.raw)

    @property
    def output(self) -> R:
        """Stands for the result among the arguments of other jobs, which wait for it."""
        return cast(R, Output(self.raw, self._app.url))

    def __repr__(self) -> str:
        return f"<job {self.id}>"

    def __eq__(self, other: object) -> bool:
        return (
            isinstance(other, Handle) and other.raw == self.raw and other._app.url == self._app.url
        )

    def __hash__(self) -> int:
        return hash(self.raw)

    def info(self) -> JobInfo:
        """The job as it stands in the store; ``JobNotFound`` when it is gone."""
        (row,) = self._app.store.get([self.raw])
        return JobInfo(self.there(row))

    @property
    def state(self) -> State:
        """The state now."""
        return self.info().state

    def attempts(self) -> list[AttemptInfo]:
        """The attempts that did not complete, oldest first."""
        return [AttemptInfo(row) for row in self._app.store.attempts(self.raw)]

    def wait(self, timeout: Duration | None = None) -> State:
        """Wait until the job is final; its state. ``WaitTimeout`` when that takes too long."""
        return self._final(timeout).state

    def result(self, timeout: Duration | None = None) -> R:
        """Wait for the job and return what its function returned."""
        return self._outcome(self._final(timeout))

    async def await_final(self, timeout: Duration | None = None) -> State:
        """``wait`` for coroutines."""
        return (await self._afinal(timeout)).state

    async def aresult(self, timeout: Duration | None = None) -> R:
        """``result`` for coroutines."""
        import asyncio

        row = await self._afinal(timeout)
        if row.state is State.COMPLETED:
            return self._outcome(row)
        return await asyncio.to_thread(self._outcome, row)  # reads why from the store

    @property
    def progress(self) -> Progress | None:
        """How far it last said it was; ``None`` when it has not."""
        (row,) = self._app.store.journal.progress([self.raw])
        return None if row is None else progress_of(row)

    def events(self, after: str | None = None) -> JobEvents:
        """What has happened to the job and what happens, until it is final."""
        return JobEvents(self._app, self.raw, after)

    def future(self) -> Future[R]:
        """A future of its result; it takes no thread."""
        refuse_at_import("waits for a job")
        result: Future[R] = self._app.waiter.promise(self.raw)

        def settle(row: Future[JobRow | None]) -> None:
            if result.set_running_or_notify_cancel():
                try:
                    result.set_result(self._outcome(self.there(row.result())))
                except BaseException as error:  # noqa: BLE001 - it is the future's
                    result.set_exception(error)

        self._when_final(settle)
        return result

    def add_done_callback(self, callback: Callable[[Handle[R]], object]) -> None:
        """Call it with this handle once the job is final, in this process."""

        def call(row: Future[JobRow | None]) -> None:
            self.there(row.result())  # else it never was final, as is logged
            callback(self)

        refuse_at_import("waits for a job")
        plain_function(callback, "add_done_callback")
        self._when_final(call)

    def _when_final(self, function: Callable[[Future[JobRow | None]], None]) -> None:
        caller = self._app.caller
        self.register(blocks=False)[1].add_done_callback(
            lambda row: caller.call(lambda: function(row))
        )

    def cancel(self) -> bool:
        """Cancel the job, or ask it when it runs; False when it was final."""
        state = self._app.store.cancel(self.raw, "cancelled by hand")
        if state is None:
            self.info()
        return state is not None

    def retry(self) -> bool:
        """Run a final job again; False when it is not final."""
        took = self._app.store.retry(self.raw)
        if not took:
            self.info()
        return took

    def _final(self, timeout: Duration | None) -> JobRow:
        refuse_at_import("waits for a job")
        self._app.store.outside()
        limit = None if timeout is None else seconds(timeout, "timeout")
        waiter, future = self.register()
        try:
            with waiting(blocks=True):
                row = _outlast(future, limit)
        except TimeoutError:
            raise self._late(limit) from None
        finally:
            waiter.forget(self.raw, future)
        return self.there(row)

    async def _afinal(self, timeout: Duration | None) -> JobRow:
        import asyncio

        refuse_at_import("waits for a job")
        self._app.store.outside()
        limit = None if timeout is None else seconds(timeout, "timeout")
        waiter, future = self.register()
        try:
            with waiting(blocks=False):
                row = await asyncio.wait_for(asyncio.wrap_future(future), limit)
        except TimeoutError:
            raise self._late(limit) from None
        finally:
            waiter.forget(self.raw, future)
        return self.there(row)

    def register(self, *, blocks: bool = True) -> tuple[Waiter, Future[JobRow | None]]:
        """A future of its row once it is final, and who waits: the same to the end, for another look would
        reopen a closed app."""
        waiter = self._app.waiter
        return waiter, waiter.register(self.raw, blocks=blocks)

    def there(self, row: JobRow | None) -> JobRow:
        """The row; ``JobNotFound`` when there is none."""
        if row is None:
            raise JobNotFound(f"there is no job {self.id} in {shown(self._app.url)}")
        return row

    def _late(self, limit: float | None) -> WaitTimeout:
        return WaitTimeout(
            f"job {self.id} is not done after {text_of(limit or 0)}; it goes on: is a worker running "
            f"on {shown(self._app.url)}? sidework explain {self.id} tells"
        )

    def _outcome(self, row: JobRow) -> R:
        if row.state is State.COMPLETED:
            try:
                value: R = decode(row.result or b"\x01null", self._returns, self._app.hooks)
            except BadValue as wrong:
                raise BadValue(
                    f"job {self.id} ({row.task}) completed, but its result does not fit the "
                    f"annotation of its task: {wrong}"
                ) from None
            return value
        if row.state is State.CANCELLED:
            raise JobCancelled(self.id, "cancelled", row.note or "cancelled")
        attempts = self._app.store.attempts(self.raw)
        failure = decode_failure(attempts[-1].failure) if attempts else None
        if failure is None:
            raise JobFailed(self.id, "discarded", row.note or "no reason was kept")
        raise JobFailed(self.id, failure.kind, failure.message, failure.traceback)


def _outlast(future: Future[JobRow | None], limit: float | None) -> JobRow | None:
    """The future's result, as by ``result``; a job that waits here still hears that it is to stop."""
    end = None if limit is None else monotonic() + limit
    while True:
        left = _LOOK_SECONDS if end is None else min(_LOOK_SECONDS, end - monotonic())
        try:
            return future.result(max(0.0, left))
        except TimeoutError:
            stop_if_asked()
            if end is not None and monotonic() >= end:
                raise
