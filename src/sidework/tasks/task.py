"""A task: a function with its options, ready to be called here or enqueued."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any, Generic, ParamSpec, TypedDict, TypeVar, Unpack, cast
from uuid import UUID

from msgspec import Struct
from msgspec.structs import astuple, replace

from ..callbacks import Callback, When, encode_callbacks
from ..clock import to_millis
from ..codec import TypeHooks
from ..duration import Duration, seconds
from ..errors import BadTask, BadValue
from ..handle import Enqueuer, JobHandle
from ..ids import id_text, new_id, parse_id
from ..job import (
    DEFAULT_QUEUE,
    HIGHEST_PRIORITY,
    LOWEST_PRIORITY,
    MAX_RETRIES,
    RUNNERS,
    NewJob,
    OnCrash,
    OnInputFailure,
    OnPartition,
    Runner,
    UniqueUntil,
    check_queue,
    check_whole,
)
from ..outputs import Output
from ..retry import Backoff, check_backoff
from .following import FOR_ONE_JOB, Callee, callbacks_of, check_given, check_policy, parents_of
from .middleware import Around
from .naming import check_options, checked_name, task_name
from .signature import Signature
from .unique import Unique, UniqueBy

P = ParamSpec("P")
R = TypeVar("R")
C = TypeVar("C")

Exceptions = type[BaseException] | tuple[type[BaseException], ...]


class TaskOptions(Struct, frozen=True):
    """What the decorator sets; see ``Sidework.task``."""

    queue: str = DEFAULT_QUEUE
    priority: int = 0
    retries: int = 0
    backoff: Backoff = None
    timeout: float | None = None
    retry_on: Exceptions = Exception
    discard_on: Exceptions = ()
    on_crash: OnCrash = "rescue"
    on_partition: OnPartition = "run"
    runner: Runner = "thread"
    on_input_failure: OnInputFailure = "cancel"
    on_success: Callee | None = None
    on_failure: Callee | None = None
    on_final: Callee | None = None
    unique: UniqueBy = False
    unique_until: UniqueUntil | None = None


class EnqueueOptions(TypedDict, total=False):
    """What may be set for one job; each wins over the task's own."""

    delay: Duration
    run_after: datetime
    priority: int
    queue_name: str
    retries: int
    backoff: Duration
    timeout: Duration
    expires: Duration | datetime
    id: str | UUID
    tags: Sequence[str]
    unique: UniqueBy
    unique_until: UniqueUntil
    connection: Any
    after: Sequence[JobHandle[Any] | Bound[Any]]
    on_input_failure: OnInputFailure
    on_success: Callee | None
    on_failure: Callee | None
    on_final: Callee | None


class Bound(Generic[R]):
    """A task with its arguments, not yet stored."""

    def __init__(self, task: Task[Any, R, Any], job: NewJob, connection: Any = None) -> None:
        self.task = task
        self.job = job
        self.connection = connection

    @property
    def id(self) -> str:
        """The id that the job will have, as text."""
        return id_text(self.job.id)

    @property
    def output(self) -> R:
        """Stands for the result among the arguments of other jobs (``JobHandle.output``): they may be
        bound with it and enqueued together with this one, or after it."""
        return cast(R, Output(self.job.id, self.task.app.url))


class Task(Generic[P, R, C], Callee):
    """A function that can be enqueued. ``P`` its parameters, ``R`` the job's result, ``C`` what a
    plain call returns (for a coroutine function, the coroutine)."""

    def __init__(
        self,
        function: Callable[P, C],
        name: str | None,
        options: TaskOptions,
        hooks: TypeHooks,
        desk: Enqueuer,
        around: Around,
    ) -> None:
        self.function = function
        self.name = task_name(function) if name is None else checked_name(name)
        self.task_options = options
        self.is_coroutine = inspect.iscoroutinefunction(function)
        self.signature = Signature(function, self.name, hooks)
        self.hooks = hooks
        self.desk = desk
        self.around = around
        try:
            self.unique({})
        except BadValue as wrong:
            raise BadTask(str(wrong)) from None
        self._plain: Enqueue[P, R] = Enqueue(self, {})
        self.__name__ = getattr(function, "__name__", self.name)
        self.__doc__ = function.__doc__
        self.__module__ = function.__module__
        self.__wrapped__ = function

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> C:
        """Run the function here and now; nothing is stored. What a job would be given (``Resource``) is
        passed, else ``TypeError``."""
        self.signature.check_given(args, kwargs)
        return self.function(*args, **kwargs)

    def __repr__(self) -> str:
        return f"<task {self.name}>"

    def enqueue(self, *args: P.args, **kwargs: P.kwargs) -> JobHandle[R]:
        """Store a job; durable when this returns. ``TypeError`` for a wrong call, ``BadValue`` for
        arguments that cannot be stored, ``StoreError`` when the store cannot; then nothing is."""
        return self._plain.enqueue(*args, **kwargs)

    async def aenqueue(self, *args: P.args, **kwargs: P.kwargs) -> JobHandle[R]:
        """``enqueue`` for coroutines."""
        return await self._plain.aenqueue(*args, **kwargs)

    def bind(self, *args: P.args, **kwargs: P.kwargs) -> Bound[R]:
        """The task with these arguments, for ``app.enqueue_many``."""
        return self._plain.bind(*args, **kwargs)

    def options(self, **options: Unpack[EnqueueOptions]) -> Enqueue[P, R]:
        """This task with options for one job: ``delay, run_after, priority, queue_name, retries,
        backoff, timeout, expires, id, tags, unique, unique_until, connection, after, on_input_failure,
        on_success, on_failure, on_final`` (``EnqueueOptions``)."""
        check_options(options, EnqueueOptions.__annotations__, self.name)
        return Enqueue(self, options)

    @property
    def returns(self) -> Any:
        """The annotated type of the result, as far as it can be read yet; ``None``: without one."""
        return self.signature.hint("return", None)

    def callback(self, when: When, of: Callee) -> Callback:
        """What is enqueued of it when a job of another task ends."""
        return self._plain.callback(when, of)

    def unique(self, options: EnqueueOptions) -> Unique | None:
        """How the jobs get their unique keys; ``BadValue`` for what makes no sense."""
        own = self.task_options
        by = options.get("unique", own.unique)
        until = options.get("unique_until", own.unique_until)
        if by is False:
            if "unique_until" in options or (own.unique is False and until is not None):
                raise BadValue(
                    f"{self.name}: unique_until needs unique, which says what the key is"
                )
            return None
        return Unique(self.name, self.signature, self.hooks, by, until or "final")

    def template(self, options: EnqueueOptions, *, calls: bool = True) -> NewJob:
        """The job as it is handed over, but for its id and arguments; ``BadValue`` for options that
        make no sense. Without ``calls`` it has no callbacks."""
        own = self.task_options
        if "delay" in options and "run_after" in options:
            raise BadValue("delay and run_after cannot both be given: choose one")
        retries = check_retries(options.get("retries", own.retries))
        backoff = options.get("backoff")
        if callable(backoff):
            raise BadValue("backoff as a function belongs on the task; for one job give a duration")
        timeout = options.get("timeout")
        expires = options.get("expires")
        due = options.get("run_after")
        tags = options.get("tags", ())
        if isinstance(tags, str) or not all(
            isinstance(tag, str) and tag.isprintable() for tag in tags
        ):
            raise BadValue(f"tags={tags!r}: expected a list of printable texts")
        return NewJob(
            id=parse_id(options["id"]) if "id" in options else b"",
            task=self.name,
            args=b"",
            lane=check_queue(options.get("queue_name", own.queue), "queue_name"),
            runner=own.runner,
            priority=check_priority(options.get("priority", own.priority)),
            due_at=None if due is None else _moment(due, "run_after"),
            delay=_millis(options.get("delay", 0), "delay"),
            max_attempts=retries + 1,
            backoff=None if backoff is None else _millis(backoff, "backoff"),
            timeout=None if timeout is None else _millis_of_an_attempt(timeout),
            expires_at=_moment(expires, "expires") if isinstance(expires, datetime) else None,
            expires_in=None
            if expires is None or isinstance(expires, datetime)
            else _millis(expires, "expires"),
            on_crash=own.on_crash,
            tags=tuple(tags),
            parents=parents_of(options.get("after", ()), self.app.url),
            policy=check_policy(options.get("on_input_failure", own.on_input_failure)),
            callbacks=encode_callbacks(callbacks_of(self, own, options)) if calls else None,
        )


class Enqueue(Generic[P, R], Callee):
    """A task with options for the jobs made through it."""

    def __init__(self, task: Task[P, R, Any], options: EnqueueOptions) -> None:
        self._task = task
        self.desk = task.desk
        self._options = options
        self._connection = options.get("connection")
        template = task.template(options)
        self._id = template.id
        self._unique = task.unique(options)
        self._rest = astuple(template)[3:]

    @property
    def returns(self) -> Any:
        """The annotated type of the result, as far as it can be read yet; ``None``: without one."""
        return self._task.returns

    def callback(self, when: When, of: Callee) -> Callback:
        """What is enqueued of it when a job of another task ends; ``BadValue`` for options that are for one
        job, ``BadTask`` when it cannot take what it would be given."""
        wrong = sorted(FOR_ONE_JOB & set(self._options))
        if wrong:
            raise BadValue(
                f"on_{when}={self._task!r}: {wrong[0]} is for one job, not for a callback"
            )
        job = self._task.template(self._options, calls=False)
        only = self._task.signature.only
        kind = self._task.signature.hint(only, Any)
        check_given(self._task, repr(only), kind, when, of)
        return Callback(
            when, only, job.task, job.lane, job.runner, job.priority, job.delay,
            job.max_attempts, job.backoff, job.timeout, job.on_crash, job.tags,
        )  # fmt: skip

    def bind(self, *args: P.args, **kwargs: P.kwargs) -> Bound[R]:
        """The task with arguments and options, not yet stored."""
        return Bound(self._task, self._job(args, kwargs), self._connection)

    def enqueue(self, *args: P.args, **kwargs: P.kwargs) -> JobHandle[R]:
        """Store a job; on ``connection`` it is there when the caller commits."""
        task, job = self._task, self._job(args, kwargs)
        return task.desk.submit(job, task.signature.returns, self._connection)

    async def aenqueue(self, *args: P.args, **kwargs: P.kwargs) -> JobHandle[R]:
        """``enqueue`` for coroutines."""
        task, job = self._task, self._job(args, kwargs)
        return await task.desk.asubmit(job, task.signature.returns, self._connection)

    def _job(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> NewJob:
        raw, outputs = self._task.signature.bind(args, kwargs)
        job = NewJob(self._id or new_id(), self._task.name, raw, *self._rest)
        if outputs:
            parents = (*parents_of(outputs, self._task.app.url), *job.parents)
            job = replace(job, parents=tuple(dict.fromkeys(parents)))
        if self._unique is None or (key := self._unique.key(args, kwargs)) is None:
            return job
        return replace(job, unique_key=key, unique_until=self._unique.until)


def check_retries(retries: object) -> int:
    """The number as given, or ``BadValue``."""
    return check_whole(retries, "retries", 0, MAX_RETRIES)


def check_priority(priority: object) -> int:
    """The number as given, or ``BadValue``."""
    return check_whole(priority, "priority", LOWEST_PRIORITY, HIGHEST_PRIORITY)


def check_exceptions(given: object, name: str) -> Exceptions:
    """One exception type or several, as ``except`` takes them; else ``BadTask``."""
    several: tuple[Any, ...] = (given,)
    if isinstance(given, list | tuple | set | frozenset):
        several = tuple(given)
    if not all(isinstance(one, type) and issubclass(one, BaseException) for one in several):
        raise BadTask(f"{name}={given!r}: expected an exception type, or a tuple of them")
    return several


def runner_of(function: Callable[..., Any], runner: str | None) -> Runner:
    """Where the function runs: as asked, else the loop for coroutines and threads for the rest."""
    if inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function):
        raise BadTask(
            f"{getattr(function, '__qualname__', function)} cannot be a task: it is a generator, which "
            "has no result to store; return a list, or enqueue a job for each part"
        )
    coroutine = inspect.iscoroutinefunction(function)
    if runner is None:
        return "loop" if coroutine else "thread"
    if runner not in RUNNERS:
        raise BadTask(f"runner={runner!r}: expected one of {', '.join(RUNNERS)}")
    if (runner == "loop") != coroutine and runner != "process":
        kind = "a coroutine function" if coroutine else "a plain function"
        raise BadTask(f"runner={runner!r} does not fit {kind}")
    return runner


def checked_options(function: Callable[..., Any], **given: Any) -> TaskOptions:
    """The decorator's options, each checked."""
    timeout = given.pop("timeout")
    options = TaskOptions(
        queue=check_queue(given.pop("queue")),
        priority=check_priority(given.pop("priority")),
        retries=check_retries(given.pop("retries")),
        backoff=check_backoff(given.pop("backoff")),
        timeout=None if timeout is None else _millis_of_an_attempt(timeout) / 1000,
        runner=runner_of(function, given.pop("runner")),
        retry_on=check_exceptions(given.pop("retry_on"), "retry_on"),
        discard_on=check_exceptions(given.pop("discard_on"), "discard_on"),
    )
    if given["on_crash"] not in ("rescue", "discard"):
        raise BadTask(f"on_crash={given['on_crash']!r}: expected 'rescue' or 'discard'")
    if given["on_partition"] not in ("run", "stop"):
        raise BadTask(f"on_partition={given['on_partition']!r}: expected 'run' or 'stop'")
    check_policy(given["on_input_failure"])
    return replace(options, **given)


def _millis_of_an_attempt(timeout: Duration) -> int:
    millis = _millis(timeout, "timeout")
    if not millis:
        raise BadValue(f"timeout={timeout!r}: expected at least 1ms, or None for no end")
    return millis


def _millis(duration: Duration, name: str) -> int:
    return round(seconds(duration, name) * 1000)


def _moment(moment: object, name: str) -> int:
    if not isinstance(moment, datetime):
        raise BadValue(f"{name}={moment!r}: expected a datetime with a time zone")
    try:
        return to_millis(moment)
    except (ValueError, OverflowError) as wrong:
        raise BadValue(f"{name}: {wrong}") from None
