"""One attempt as a pipeline of total steps: find, decode, run, encode; each end is an ``Outcome``.

It decides and writes nothing: the worker records.
"""

from __future__ import annotations

import asyncio
import os
from typing import Any

from ..clock import monotonic
from ..codec import encode
from ..duration import seconds
from ..errors import BadTask, BadValue
from ..ids import id_text
from ..job import Claimed
from ..outcome import Discard, Outcome, Retry, Snooze, encode_failure, failure_of, message_of
from ..retry import delay_seconds
from ..tasks.context import RunningJob, reset_current, set_current
from ..tasks.registry import Registry
from ..tasks.task import Task

UNKNOWN_TASK_WAIT = 5_000
"""Milliseconds until a job whose task this program does not know is offered again: long enough not
to spin, short enough for a rolling deploy."""

_OURS = os.path.dirname(os.path.dirname(__file__))


class Stopped(BaseException):
    """Raised in an attempt that must end: its time is over, or someone cancelled it."""

    def __init__(self, why: str) -> None:
        self.why = why
        super().__init__(why)


class Attempt:
    """One execution of a claimed job."""

    def __init__(self, job: Claimed, task: Task[Any, Any, Any]) -> None:
        self.job = job
        self.task = task
        self.timeout = job.timeout / 1000 if job.timeout is not None else task.task_options.timeout
        deadline = None if self.timeout is None else monotonic() + self.timeout
        self.running = RunningJob(
            id_text(job.id), job.task, job.lane, job.attempt, job.max_attempts, job.fence, deadline
        )

    def run(self) -> Outcome:
        """Run a plain function here; total."""
        token = set_current(self.running)
        try:
            args, kwargs = self.task.signature.unbind(self.job.args)
            return self._completed(self.task.function(*args, **kwargs))
        except (BadValue, BadTask) as error:
            return self._unfit(error)
        except BaseException as error:  # noqa: BLE001 - whatever user code raises becomes a value
            return self.failed(error)
        finally:
            reset_current(token)

    async def run_coroutine(self) -> Outcome:
        """Run a coroutine function on this loop, cancelled at its deadline; total."""
        token = set_current(self.running)
        try:
            args, kwargs = self.task.signature.unbind(self.job.args)
            if self.timeout is None:
                return self._completed(await self.task.function(*args, **kwargs))
            async with asyncio.timeout(self.timeout):
                value = await self.task.function(*args, **kwargs)
            return self._completed(value)
        except (BadValue, BadTask) as error:
            return self._unfit(error)
        except TimeoutError as error:
            late = self.running.deadline is not None and monotonic() >= self.running.deadline
            return self.failed(Stopped("timeout") if late else error)
        except BaseException as error:  # noqa: BLE001 - whatever user code raises becomes a value
            return self.failed(error)
        finally:
            reset_current(token)

    def _completed(self, value: Any) -> Outcome:
        job = self.job
        try:
            raw = encode(value, self.task.hooks, f"the result of {job.task}")
        except BadValue as error:
            return self._unfit(error)
        return Outcome(job.id, job.fence, job.attempt, "completed", raw)

    def _unfit(self, error: Exception) -> Outcome:
        """Arguments or result that no further attempt can make fit."""
        return self._ended("discarded", error)

    def failed(self, error: BaseException) -> Outcome:
        """What becomes of the job after this error; total: an outcome that nobody hears of would
        leave the job running for ever, and its place taken."""
        try:
            return self._decided(error)
        except Stopped:
            raise
        except BaseException as wrong:  # noqa: BLE001 - deciding asks user code: see below
            wrong.__context__ = error
            return self._retried(wrong, delay_seconds(None, self.job.attempt))

    def _decided(self, error: BaseException) -> Outcome:
        options = self.task.task_options
        # The attributes of these three are whatever a subclass, or a later line, has made of them.
        if isinstance(error, Snooze):
            wait = seconds(error.duration, "Snooze")
            return self._ended("snoozed", None, wait, note=message_of(error))
        if isinstance(error, Discard):
            return self._ended("discarded", error)
        if isinstance(error, Retry):
            after = error.after
            return self._retried(error, None if after is None else seconds(after, "after"))
        if isinstance(error, asyncio.CancelledError | Stopped):
            why = error.why if isinstance(error, Stopped) else self.stopped_why
            if why == "released":
                return self._ended("released", None, note="its worker stopped")
            if why == "cancelled":
                return self._ended("cancelled", error, note="cancelled by hand")
            if why == "timeout":
                return self._retried(
                    TimeoutError(f"did not end within its timeout of {self.timeout} s"), None
                )
            return self._retried(error, None)
        if isinstance(error, options.discard_on) or not isinstance(error, options.retry_on):
            return self._ended("discarded", error)
        return self._retried(error, None)

    begun: bool = False
    """Whether a coroutine's task has come to its first line."""

    stopped_why: str = ""
    """Why the worker had it cancelled; empty when user code cancelled itself."""

    def _retried(self, error: BaseException, after: float | None) -> Outcome:
        job = self.job
        if job.attempt >= job.max_attempts:
            return self._ended("discarded", error)
        if after is None and job.backoff is not None:
            after = job.backoff / 1000
        if after is None:
            try:
                after = delay_seconds(self.task.task_options.backoff, job.attempt)
            except Exception as wrong:  # noqa: BLE001 - a backoff function is user code
                error.add_note(f"its backoff function failed too: {wrong!r}")
                after = delay_seconds(None, job.attempt)
        return self._ended("retry", error, after)

    def _ended(
        self, kind: Any, error: BaseException | None, delay: float = 0, note: str | None = None
    ) -> Outcome:
        job = self.job
        failure = None if error is None else encode_failure(failure_of(error, _OURS))
        return Outcome(
            job.id, job.fence, job.attempt, kind, None, round(delay * 1000), failure, note
        )


def attempt_of(job: Claimed, registry: Registry) -> Attempt | Outcome:
    """The attempt for a claimed job; an ``Outcome`` at once when its task is not known here."""
    task = registry.find(job.task)
    if task is None:
        note = f"task {job.task!r} is not known to the worker that claimed it"
        return Outcome(
            job.id, job.fence, job.attempt, "snoozed", None, UNKNOWN_TASK_WAIT, None, note
        )
    return Attempt(job, task)
