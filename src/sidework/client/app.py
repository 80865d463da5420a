"""``Sidework``, the app: where tasks are declared and jobs are handed over."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Callable, Coroutine, Iterable
from contextlib import AbstractContextManager
from types import FunctionType
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar, Unpack, overload

from ..codec import TypeHooks
from ..duration import Duration, seconds
from ..errors import BadValue
from ..forking import forgets
from ..job import (
    OnCrash,
    OnInputFailure,
    OnPartition,
    Runner,
    UniqueUntil,
    check_whole,
    parse_queues,
)
from ..retry import Backoff
from ..store.opening import absolute, open_store
from ..store.protocol import RETENTION
from ..tasks.declaring import Clock, PeriodicOptions
from ..tasks.following import Callee
from ..tasks.middleware import Around, Middleware
from ..tasks.naming import check_options, module_name
from ..tasks.registry import AppLike, Registry
from ..tasks.signals import Observer, SignalKind, plain_function
from ..tasks.task import Bound, Exceptions, Task, checked_options
from ..tasks.unique import UniqueBy
from .asking import Asking, several
from .calling import Caller
from .declaring import TASK_DEFAULTS, TaskDecorator
from .desk import Desk
from .waiter import Waiter

if TYPE_CHECKING:
    from ..store.protocol import Store
    from .embedded import EmbeddedWorker

P = ParamSpec("P")
R = TypeVar("R")
Span = TypeVar("Span", bound=Callable[[], Any])
T = TypeVar("T")


class Sidework(Asking, AppLike):
    """An app: its tasks and the store of their jobs.

    ``url``: ``sqlite:///jobs.db`` (relative to the folder of the module that makes the app),
    ``sqlite:////absolute/jobs.db`` or a path. Without it ``SIDEWORK_URL`` counts, else
    ``<module>.sidework.db`` beside the module. Nothing is opened before the first use.

    ``app.url`` is that URL, absolute.

    ``keep_completed`` and ``keep_failed`` say how long final jobs are kept (24 h, 30 days).
    """

    def __init__(
        self,
        url: str | None = None,
        *,
        keep_completed: Duration | None = None,
        keep_failed: Duration | None = None,
    ) -> None:
        frame = sys._getframe(1)
        file = frame.f_globals.get("__file__")
        if file is not None and not os.path.exists(file):
            file = None  # typed in, or read from a pipe: there is no module to import
        self.module = module_name(frame.f_globals.get("__name__", "__main__"))
        self.modules = (self.module,)
        self.file = None if file is None else os.path.abspath(file)
        folder = os.getcwd() if self.file is None else os.path.dirname(self.file)
        stem = "app" if self.file is None else os.path.splitext(os.path.basename(self.file))[0]
        if url is not None and not isinstance(url, str):
            raise BadValue(f"Sidework({url!r}): expected a URL or a path, as text")
        self.url = absolute(url or os.environ.get("SIDEWORK_URL") or f"{stem}.sidework.db", folder)
        self.registry = Registry()
        self.hooks = TypeHooks()
        self.around = Around()
        self.retention = dict(RETENTION)
        if keep_completed is not None:
            self.retention["completed_age"] = round(
                seconds(keep_completed, "keep_completed") * 1000
            )
        if keep_failed is not None:
            kept = round(seconds(keep_failed, "keep_failed") * 1000)
            self.retention["cancelled_age"] = self.retention["discarded_age"] = kept
        self._lock = threading.Lock()
        # Where the store and the waiter come from; a test puts its own here (``testing``).
        self._opens: Callable[[str], Store] = open_store
        self._waits: Callable[[Store], Waiter] = Waiter
        self._store: Store | None = None
        self._waiter: Waiter | None = None
        self.desk = Desk(self)
        self.caller = Caller()
        forgets(self)

    def forget_in_child(self) -> None:
        """The waiter's thread is not in a forked child; the store itself reopens what it needs."""
        self._lock = threading.Lock()
        self._waiter = None

    @property
    def store(self) -> Store:
        """The store, opened at its first use; ``StoreError`` when it cannot be."""
        store = self._store
        if store is not None:
            return store
        with self._lock:
            if self._store is None:
                self._store = self._opens(self.url)
            return self._store

    @property
    def waiter(self) -> Waiter:
        """The one place of this process that waits for results."""
        store = self.store
        with self._lock:
            if self._waiter is None:
                self._waiter = self._waits(store)
            return self._waiter

    def close(self) -> None:
        """Close the store; the next use opens it again."""
        with self._lock:
            waiter, self._waiter = self._waiter, None
            store, self._store = self._store, None
        if waiter is not None:
            waiter.close()
        self.caller.close()
        if store is not None:
            store.close()

    # Declaring ----------------------------------------------------------------------------------

    @overload
    def task(
        self, function: Callable[P, Coroutine[Any, Any, R]], /
    ) -> Task[P, R, Coroutine[Any, Any, R]]: ...
    @overload
    def task(self, function: Callable[P, R], /) -> Task[P, R, R]: ...
    @overload
    def task(
        self,
        *,
        name: str | None = None,
        queue: str = "default",
        priority: int = 0,
        retries: int = 0,
        backoff: Backoff = None,
        timeout: Duration | None = None,
        retry_on: Exceptions = Exception,
        discard_on: Exceptions = (),
        on_crash: OnCrash = "rescue",
        on_partition: OnPartition = "run",
        runner: Runner | None = None,
        on_input_failure: OnInputFailure = "cancel",
        on_success: Callee | None = None,
        on_failure: Callee | None = None,
        on_final: Callee | None = None,
        unique: UniqueBy = False,
        unique_until: UniqueUntil | None = None,
    ) -> TaskDecorator: ...

    def task(self, function: Any = None, *, name: str | None = None, **options: Any) -> Any:
        """Declare a task.

        ``queue``: its line of jobs. ``priority``: −100 to 100, higher is more urgent. ``retries``:
        attempts after the first. ``backoff``: the wait before each: exponential with full jitter,
        or a duration, or a function of the attempt. ``timeout``: of one attempt. ``retry_on``,
        ``discard_on``: exception types. ``on_crash``: ``"discard"`` runs a job at most once.
        ``on_partition``: ``"stop"`` ends an attempt whose worker is cut off from the store before
        another may run its job; a thread is only told (``current_job().should_stop``).
        ``runner``: ``"loop"``, ``"thread"`` or ``"process"`` (a process of its own per running job).
        ``on_input_failure``: a job one of whose inputs did not complete is cancelled too, or with
        ``"continue"`` given an ``InputFailed``. ``on_success``, ``on_failure``, ``on_final``: tasks that
        are enqueued when a job ends, with its result, a ``JobFailure`` or a ``JobEnd``.
        ``unique``: what makes a job the only one: a parameter's name, several, a function of the arguments,
        or True for all. While one is there, enqueue gives its handle (``handle.existing``).
        ``unique_until``: ``"final"`` (the default), or ``"started"``: another may be enqueued from then on.
        """
        check_options(options, {*TASK_DEFAULTS, "name"}, "a task")

        def declare(function: Callable[..., Any]) -> Task[Any, Any, Any]:
            made: Task[Any, Any, Any] = Task(
                function,
                name,
                checked_options(function, **{**TASK_DEFAULTS, **options}),
                self.hooks,
                self.desk,
                self.around,
            )
            self.registry.add(made)
            return made

        return declare if function is None else declare(function)

    def periodic(
        self, cron: str | None = None, /, **options: Unpack[PeriodicOptions]
    ) -> Callable[[T], T]:
        """Declare that a task is enqueued by the clock; above or below ``@app.task``, as often as wanted.

        ``cron``: minute, hour, day of month, month, day of week, by the clock on the wall in ``tz`` (UTC);
        or ``every`` so long, counted from ``start``, else from 1970 in UTC. ``args``, ``kwargs``: of the
        task. ``name``: by default the task's and the schedule. ``misfire``: of the ticks that nobody fired
        in time ``"once"`` makes up for the last one, ``"all"`` for each (the last 500), ``"skip"`` for none.
        ``overlap``: while the job of the tick before is live ``"skip"`` leaves a tick out, ``"queue"`` has
        it wait. ``jitter``: a job becomes due up to so much later. ``start``, ``end``: no ticks outside.
        """
        clock = Clock(self.module, cron, options)

        def declare(target: T) -> T:
            self.registry.clock(target, clock)
            return target

        return declare

    def register_type(
        self, kind: type[R], *, encode: Callable[[R], Any], decode: Callable[[Any], R]
    ) -> None:
        """Store values of an own type as ``encode(value)``, read back by ``decode(stored)``."""
        self.hooks.register(kind, encode, decode)

    def lifespan(self, function: Span) -> Span:
        """Declare what is open while jobs run: a generator function with one ``yield``, or a context
        manager of ``contextlib``, sync or async, without arguments. Each child of a worker enters it once
        before its first job and leaves it when it drains. Several are entered in this order."""
        self.registry.add_lifespan(function)
        return function

    def use(self, middleware: Middleware) -> None:
        """Put a ``Middleware`` around handing over and around attempts: the first one used is outermost."""
        self.around.use(middleware)

    def on(self, kind: SignalKind) -> Callable[[Observer], Observer]:
        """Declare an observer of what happens in this process: ``"enqueued"``, and where attempts run
        ``"started"`` and ``"ended"``. It gets a ``Signal``; an error of its own is logged."""

        observers = self.around.signals.of(kind)
        what = f"on({kind!r})"

        def declare(observer: Observer) -> Observer:
            observers.append(plain_function(observer, what))
            return observer

        return declare

    # Handing over -------------------------------------------------------------------------------

    def enqueue_many(self, bound: Iterable[Bound[R]]) -> int:
        """Store many jobs, streamed in chunks of 500, each chunk durable by itself; how many. Those whose
        unique key another job holds are not counted.

        When the id of one is taken (``JobConflict``), the chunks before it and the rest of its own
        are stored, as the error says. Jobs that were bound with a ``connection`` are there when its
        owner commits.
        """
        return self.desk.many(bound)

    async def aenqueue_many(self, bound: Iterable[Bound[R]]) -> int:
        """``enqueue_many`` for coroutines: the event loop goes on between and during chunks."""
        return await self.desk.amany(bound)

    def transaction(self) -> AbstractContextManager[Any]:
        """For ``with``: a connection inside a write transaction of the store's file, for your own tables
        and, by ``options(connection=...)``, for jobs; all of it is stored at the end, or nothing.

        Keep it short: no one else writes to the store meanwhile. ``StoreUnavailable`` when its turn does
        not come.
        """
        return self.store.transaction()

    # Working ------------------------------------------------------------------------------------

    def worker(
        self, *, queues: str | Iterable[str] = (), threads: int = 8, concurrency: int = 100
    ) -> EmbeddedWorker:
        """A worker inside this process, for ``with`` or ``async with``: scripts, tests, small apps.

        Its promises are weaker while your own code holds the GIL: then nothing is claimed.
        """
        from .embedded import EmbeddedWorker

        check_whole(threads, "threads", 1, 1_000)
        check_whole(concurrency, "concurrency", 1, 10_000)
        lanes, widths = parse_queues(several(queues, "queues"))
        return EmbeddedWorker(self, lanes, threads, concurrency, widths)


for _part in Sidework.__mro__[1:-1]:
    for _name, _method in vars(_part).items():
        if isinstance(_method, FunctionType) and not _name.startswith("_"):
            # Python tells a wrong argument by this name: users know the app alone, not the parts of it.
            _method.__qualname__ = f"{Sidework.__name__}.{_name}"
