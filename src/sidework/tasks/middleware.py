"""Middleware: what an app puts around handing jobs over and around running them.

One shape for plain and coroutine code: a generator that yields once, where the work is done. So it waits
for nothing by itself (what has to be awaited is a resource's), and the same lines serve ``enqueue`` and
``aenqueue``, threads and event loops.
"""

from __future__ import annotations

import logging
from collections.abc import Generator, Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Any, Generic, TypeVar

import msgspec
from msgspec.structs import replace

from ..errors import BadValue, SideworkError
from ..ids import id_text
from ..job import NewJob
from .signals import Signal, Signals

if TYPE_CHECKING:
    from .context import RunningJob

log = logging.getLogger("sidework.app")

MOST_CONTEXT = 8_000
"""Characters of a job's context as JSON: it is stored with each job, and travels with each claim."""

T = TypeVar("T")
Steps = Generator[None, Any, None]


class HandedJob:
    """A job that is being handed over, for middleware to look at."""

    __slots__ = ("_job",)

    def __init__(self, job: NewJob) -> None:
        self._job = job

    @property
    def id(self) -> str:
        """The job's id, a UUID as text."""
        return id_text(self._job.id)

    @property
    def task(self) -> str:
        """The task's name."""
        return self._job.task

    @property
    def queue(self) -> str:
        """The queue that it will stand in."""
        return self._job.lane

    @property
    def priority(self) -> int:
        """-100 to 100, higher is more urgent."""
        return self._job.priority

    @property
    def tags(self) -> tuple[str, ...]:
        """As given at enqueue."""
        return self._job.tags


class Handover:
    """One handing over: a single job, or a chunk of ``enqueue_many``. ``context`` is what all its jobs
    carry along, names and texts; whoever runs them reads it as ``current_job().context``."""

    __slots__ = ("context", "jobs")

    def __init__(self, jobs: Sequence[NewJob]) -> None:
        self.jobs = tuple(map(HandedJob, jobs))
        self.context: dict[str, str] = {}


class Middleware:
    """Override one of the two, or both. Each is a generator that yields exactly once: what stands before
    the ``yield`` runs before the work, what stands behind it afterwards.

    An error of the work is raised at the ``yield``. It cannot be swallowed, only replaced by another one.
    """

    def enqueue(self, handover: Handover) -> Steps:
        """Around storing jobs. An error before the ``yield`` is the caller's, and nothing is stored; one
        behind it is logged, for the jobs are stored."""
        yield

    def attempt(self, job: RunningJob) -> Steps:
        """Around the task's function; the ``yield`` gives what it returned. An error on either side of it
        is the attempt's, as if the function had raised it."""
        yield


class Around:
    """What one app has put around its work: first used, outermost."""

    def __init__(self) -> None:
        self.signals = Signals()
        self._enqueue: list[Middleware] = []
        self._attempt: list[Middleware] = []

    def use(self, middleware: Middleware) -> None:
        """Put it inside those that are there; ``BadValue`` for what is no middleware."""
        if not isinstance(middleware, Middleware):
            raise BadValue(
                f"use({middleware!r}): expected an object of a class derived from sidework.Middleware"
            )
        kind = type(middleware)
        if kind.enqueue is not Middleware.enqueue:
            self._enqueue.append(middleware)
        if kind.attempt is not Middleware.attempt:
            self._attempt.append(middleware)

    @property
    def enqueues(self) -> bool:
        """Whether anything is around handing over."""
        return bool(self._enqueue) or self.signals.wants("enqueued")

    @property
    def attempts(self) -> bool:
        """Whether anything is around running."""
        return bool(self._attempt)

    def handing(self, jobs: list[NewJob]) -> Handing:
        """For ``with``, around storing these jobs; gives them as they are to be stored."""
        return Handing(self._enqueue, self.signals, jobs)

    def running(self, job: RunningJob) -> Running:
        """For ``with``, around the function of an attempt; give its value to ``returned``."""
        return Running(self._attempt, job)


class _Layers(Generic[T]):
    """Generators that have been begun, outermost first."""

    def __init__(self, layers: Sequence[tuple[str, Steps]]) -> None:
        self._layers = layers
        self._open: list[tuple[str, Steps]] = []

    def begin(self) -> None:
        """Up to every yield; an error of one is told to those outside it, then raised."""
        for name, steps in self._layers:
            try:
                if not isinstance(steps, Generator):
                    raise SideworkError(
                        f"{name} is no generator: it has to be a plain def with one yield"
                    )
                next(steps)
            except StopIteration:
                self._unwind(SideworkError(f"{name} did not yield: there it has to, once"))
            except BaseException as error:  # noqa: BLE001 - raised, once those outside know of it
                self._unwind(error)
            self._open.append((name, steps))

    def _unwind(self, error: BaseException) -> None:
        raise self.end(error, None) or error

    def end(self, error: BaseException | None, value: Any) -> BaseException | None:
        """Past every yield, innermost first; the error that is left, if any."""
        while self._open:
            name, steps = self._open.pop()
            try:
                if error is None:
                    steps.send(value)
                else:
                    steps.throw(error)
            except StopIteration:
                continue
            except BaseException as raised:  # noqa: BLE001 - it goes on to those outside
                # Python makes a RuntimeError of a StopIteration that passes through a generator.
                error = error if raised.__cause__ is error and error is not None else raised
                continue
            steps.close()
            error = SideworkError(f"{name} yielded twice: once is where the work is done")
        return error


class Handing:
    """See ``Around.handing``."""

    def __init__(
        self, middleware: Sequence[Middleware], signals: Signals, jobs: list[NewJob]
    ) -> None:
        self._jobs = jobs
        self._signals = signals
        self._handover = handover = Handover(jobs)
        self._layers = _Layers[None](
            [(f"{type(one).__qualname__}.enqueue", one.enqueue(handover)) for one in middleware]
        )

    def __enter__(self) -> list[NewJob]:
        self._layers.begin()
        context = self._handover.context
        if not context:
            return self._jobs
        try:
            text = checked_context(context)
        except BadValue as wrong:
            raise self._layers.end(wrong, None) or wrong from None
        return [replace(job, context=text) for job in self._jobs]

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:  # fmt: skip
        left = self._layers.end(error, None)
        if error is None:
            if left is not None:
                log.error("an error behind the yield of a middleware; the jobs are stored",
                          exc_info=left)  # fmt: skip
            if self._signals.wants("enqueued"):
                for job in self._jobs:
                    self._signals.send(Signal("enqueued", id_text(job.id), job.task, job.lane))
        elif left is not None and left is not error:
            raise left


class Running:
    """See ``Around.running``."""

    def __init__(self, middleware: Sequence[Middleware], job: RunningJob) -> None:
        self._value: Any = None
        self._layers = _Layers[Any](
            [(f"{type(one).__qualname__}.attempt", one.attempt(job)) for one in middleware]
        )

    def returned(self, value: Any) -> Any:
        """What the function returned, for those that ask."""
        self._value = value
        return value

    def __enter__(self) -> Running:
        self._layers.begin()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:  # fmt: skip
        left = self._layers.end(error, self._value)
        if left is not None and left is not error:
            raise left


def checked_context(context: dict[str, str]) -> str:
    """The context as it is stored; ``BadValue`` for what is no name and text, or too much."""
    for name, text in context.items():
        if not isinstance(name, str) or not isinstance(text, str):
            raise BadValue(f"context[{name!r}]={text!r}: a job's context takes texts by name alone")
    stored = msgspec.json.encode(context).decode()
    if len(stored) > MOST_CONTEXT:
        raise BadValue(
            f"a job's context takes {MOST_CONTEXT:,} characters as JSON; this has {len(stored):,}"
        )
    return stored
