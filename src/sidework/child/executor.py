"""One attempt as a pipeline of total steps: find, decode, run, encode; each end is an ``Outcome``.

It decides and writes nothing: the worker records.
"""

from __future__ import annotations

import asyncio
import logging
import os
from contextvars import Token
from typing import Any

from ..clock import monotonic
from ..codec import encode
from ..duration import seconds
from ..errors import BadValue, NotCommitted, NotOpened
from ..ids import id_text
from ..inputs import InputLost, InputsNotReady
from ..job import Claimed
from ..outcome import (
    Discard,
    Outcome,
    Retry,
    Snooze,
    clean,
    encode_failure,
    failure_of,
    message_of,
)
from ..retry import delay_seconds
from ..tasks.context import RunningJob, Stopped, reset_current, set_current
from ..tasks.registry import Registry
from ..tasks.signals import Signal, SignalKind
from ..tasks.task import Task
from .resources import Resources

log = logging.getLogger("sidework.app")

UNKNOWN_TASK_WAIT = 5_000
"""Milliseconds until a job whose task this program does not know is offered again: long enough not
to spin, short enough for a rolling deploy."""

INPUT_WAIT = 1.0
"""Seconds until a job is offered again one of whose inputs was retried and runs."""

_NOTE_CAP = 300
_ROLLED_BACK = (
    "the job returned, but the transaction that it had finished in (finish_in) was rolled back or "
    "never committed"
)
_OURS = os.path.dirname(os.path.dirname(__file__))


class Lost(BaseException):
    """Stands for an attempt that was cancelled by others before its first line."""

    def __init__(self) -> None:
        super().__init__("cancelled by other code on its event loop before it began")


class Attempt:
    """One execution of a claimed job."""

    def __init__(self, job: Claimed, task: Task[Any, Any, Any], resources: Resources) -> None:
        self.job = job
        self.task = task
        self._resources = resources
        self.timeout = job.timeout / 1000 if job.timeout is not None else task.task_options.timeout
        self.running = RunningJob(job, task)
        self.alone = False  # whether nothing else runs in this process
        self.begun = False
        self.stopped_why = ""  # why the worker had it end; empty when user code cancelled itself

    def run(self) -> Outcome:
        """Run a plain function here; total."""
        token = self._begin()
        try:
            args, kwargs = self.task.signature.unbind(self.job.args, self.job.inputs)
        except Exception as error:  # noqa: BLE001 - decoding calls foreign code (hooks, models)
            reset_current(token)
            return self._told(self._unfit(error))
        try:
            if self.task.around.attempts:
                with self.task.around.running(self.running) as around:
                    value = around.returned(self._called(args, kwargs))
            else:
                value = self._called(args, kwargs)
            return self._told(self._completed(value))
        except BaseException as error:  # noqa: BLE001 - whatever user code raises becomes a value
            return self._told(self.failed(error))
        finally:
            reset_current(token)

    async def run_coroutine(self) -> Outcome:
        """Run a coroutine function on this loop, cancelled at its deadline; total."""
        token = self._begin()
        try:
            args, kwargs = self.task.signature.unbind(self.job.args, self.job.inputs)
        except Exception as error:  # noqa: BLE001 - decoding calls foreign code (hooks, models)
            reset_current(token)
            return self._told(self._unfit(error))
        try:
            if self.task.around.attempts:
                with self.task.around.running(self.running) as around:
                    value = around.returned(await self._in_time(args, kwargs))
            elif self.timeout is None and not self.task.signature.injected:
                value = await self.task.function(*args, **kwargs)
            else:
                value = await self._in_time(args, kwargs)
            return self._told(self._completed(value))
        except TimeoutError as error:
            late = self.running.deadline is not None and monotonic() >= self.running.deadline
            return self._told(self.failed(Stopped("timeout") if late else error))
        except BaseException as error:  # noqa: BLE001 - whatever user code raises becomes a value
            return self._told(self.failed(error))
        finally:
            reset_current(token)

    def _called(self, args: list[Any], kwargs: dict[str, Any]) -> Any:
        if wanted := self.task.signature.injected:
            kwargs.update(self._resources.values(wanted))
        return self.task.function(*args, **kwargs)

    async def _in_time(self, args: list[Any], kwargs: dict[str, Any]) -> Any:
        async with asyncio.timeout(self.timeout):
            if wanted := self.task.signature.injected:
                kwargs.update(await self._resources.avalues(wanted))
            return await self.task.function(*args, **kwargs)

    def stop(self, why: str) -> None:
        """Raise its flag, and keep why."""
        self.stopped_why = why
        self.running.ask_to_stop()

    def _begin(self) -> Token[RunningJob | None]:
        self.begun = True
        # Only now: what waited in the child for its turn has not used any of its time.
        if self.timeout is not None:
            self.running.deadline = monotonic() + self.timeout
        token = set_current(self.running)
        if self.task.around.signals.wants("started"):
            self._signal("started", None)
        return token

    def _told(self, outcome: Outcome) -> Outcome:
        if self.task.around.signals.wants("ended"):
            self._signal("ended", outcome.kind)
        return outcome

    def _signal(self, kind: SignalKind, outcome: str | None) -> None:
        """Total, as an attempt is: what an observer raises must not keep its end from being told."""
        job = self.job
        signal = Signal(kind, id_text(job.id), job.task, job.lane, job.attempt, outcome)
        try:
            self.task.around.signals.send(signal)
        except BaseException as error:
            if isinstance(error, Stopped) and self.alone:
                raise  # the SIGTERM for this job, which is its runner's
            log.exception("an observer of %r failed; job %s goes on", kind, signal.id)

    def _completed(self, value: Any) -> Outcome:
        job = self.job
        if self.running.finished:
            # Its end is in the transaction, whatever it returned. This one lands only if nothing came
            # of that: completed, it would be a job without its effects.
            return self._retried(NotCommitted(_ROLLED_BACK), None)
        try:
            raw = encode(value, self.task.hooks, f"the result of {job.task}")
        except BadValue as error:
            return self._unfit(error)
        held = self.running.in_transaction
        return Outcome(job.id, job.fence, job.attempt, "completed", raw, in_transaction=held)

    def _unfit(self, error: Exception) -> Outcome:
        """Arguments or result that no further attempt can make fit."""
        if isinstance(error, InputsNotReady):
            return self._ended("snoozed", None, INPUT_WAIT, note=str(error))
        if isinstance(error, InputLost):
            return self._ended("cancelled", None, note=str(error))
        return self._ended("discarded", error)

    def failed(self, error: BaseException) -> Outcome:
        """What becomes of the job after this error; total: an outcome that nobody hears of would
        leave the job running for ever, and its place taken."""
        try:
            return self._decide(error)
        except Stopped:
            raise
        except BaseException as wrong:  # noqa: BLE001 - deciding asks user code: see below
            wrong.__context__ = error
            return self._retried(wrong, delay_seconds(None, self.job.attempt))

    def _decide(self, error: BaseException) -> Outcome:
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
            return self._stopped(error, getattr(error, "why", "") or self.stopped_why)
        if isinstance(error, Lost):
            return self._ended("crashed", error, note=str(error))
        if self.stopped_why == "partition":
            # Whatever a job raises that was told to stop: it did not fail by itself.
            return self._stopped(error, self.stopped_why)
        if isinstance(error, NotOpened):
            return self._retried(error, None)
        if isinstance(error, options.discard_on) or not isinstance(error, options.retry_on):
            return self._ended("discarded", error)
        return self._retried(error, None)

    def _stopped(self, error: BaseException, why: str) -> Outcome:
        if why == "released":
            return self._ended("released", None, note="its worker stopped")
        if why == "partition":
            once = self.job.on_crash == "discard" and self.begun
            kind, cause = ("crashed", error) if once else ("released", None)
            return self._ended(kind, cause, note="its worker was cut off from the store")
        if why == "cancelled":
            return self._ended("cancelled", error, note="cancelled by hand")
        if why == "timeout":
            late = TimeoutError(f"did not end within its timeout of {self.timeout} s")
            return self._retried(late, None)
        if _cancelled_from_outside():
            # Other code on this loop cancelled the task, perhaps all tasks: no fault of this job
            # if it was in company. It counts as a crash: bounded, and alone next.
            return self._ended("crashed", error, note="cancelled by other code on its event loop")
        return self._retried(error, None)

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
            job.id,
            job.fence,
            job.attempt,
            kind,
            None,
            round(delay * 1000),
            failure,
            None if note is None else clean(note, _NOTE_CAP),
            self.alone,
            self.running.in_transaction,
        )


def _cancelled_from_outside() -> bool:
    try:
        task = asyncio.current_task()
    except RuntimeError:
        return False
    return task is not None and task.cancelling() > 0


def attempt_of(job: Claimed, registry: Registry, resources: Resources) -> Attempt | Outcome:
    """The attempt for a claimed job; an ``Outcome`` at once when its task is not known here."""
    task = registry.find(job.task)
    if task is None:
        note = f"task {job.task!r} is not known to the worker that claimed it"
        return Outcome(
            job.id, job.fence, job.attempt, "snoozed", None, UNKNOWN_TASK_WAIT, None, note
        )
    return Attempt(job, task, resources)
