"""The tasks of an app, by name, its lifespans, and what makes an object an app."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeGuard

from ..errors import BadTask, BadValue, TaskNotFound
from ..periodic import Declaration, Periodic
from .declaring import Clock, Ticking
from .resources import name_of, without_arguments
from .task import Task


class Registry:
    """Every task that the app's modules have declared, what the clock enqueues of them, and what is open
    while they run."""

    def __init__(self) -> None:
        self._tasks: dict[str, Task[Any, Any, Any]] = {}
        self.limits: dict[str, int] = {}
        """How many jobs of a queue run at a time, as declared (``app.queue``)."""
        self._ticking: dict[str, Ticking] = {}
        self._clocks: list[tuple[Any, Clock]] = []  # of functions that are no tasks yet
        self.lifespans: list[Callable[[], Any]] = []
        """Entered by each child in this order before its first job, left the other way round."""

    def add(self, task: Task[Any, Any, Any]) -> None:
        """Declare a task; ``BadTask`` when another function has its name."""
        known = self._tasks.get(task.name)
        if known is not None and not _same_source(known, task):
            raise BadTask(f"two tasks are called {task.name!r}: give one of them name='...'")
        self._tasks[task.name] = task
        clocks = [clock for function, clock in self._clocks if function is task.function]
        self._clocks = [one for one in self._clocks if one[0] is not task.function]
        for clock in clocks:
            self._tick(clock.of(task))

    def clock(self, target: object, clock: Clock) -> None:
        """Declare a periodic of a task, or of a function that becomes one."""
        if not isinstance(target, Task):
            if not callable(target):
                raise BadTask(f"{target!r} has @app.periodic and is no function")
            self._clocks.append((target, clock))
        elif self._tasks.get(target.name) is not target:
            raise BadTask(f"{target.name} has @app.periodic of an app of which it is no task")
        else:
            self._tick(clock.of(target))

    def _tick(self, made: Ticking) -> None:
        known = self._ticking.get(made.name)
        if known is not None and (
            known.task is made.task or not _same_source(known.task, made.task)
        ):
            raise BadTask(f"two periodics are called {made.name!r}: give one of them name='...'")
        self._ticking[made.name] = made

    def periodics(self) -> list[Periodic]:
        """What the clock enqueues, by name; ``BadTask`` when one cannot be stored after all."""
        for function, _ in self._clocks:
            named = getattr(function, "__qualname__", repr(function))
            raise BadTask(f"{named} has @app.periodic and is no task: write @app.task beside it")
        return [self._ticking[name].entry() for name in sorted(self._ticking)]

    def join(self, other: Registry) -> None:
        """Declare what another one has, too."""
        for name in other.names():
            self.add(other.get(name))
        for queue, most in other.limits.items():
            self.limit(queue, most)
        for made in other._ticking.values():
            self._tick(made)
        self._clocks += other._clocks
        self.lifespans += other.lifespans

    def add_lifespan(self, function: Callable[[], Any]) -> None:
        """Declare one; ``BadTask`` when it takes arguments."""
        self.lifespans.append(without_arguments(function, f"lifespan {name_of(function)}"))

    def limit(self, queue: str, most: int) -> None:
        """Declare a limit; ``BadValue`` when another one was."""
        if self.limits.setdefault(queue, most) != most:
            raise BadValue(
                f"queue {queue} is declared twice, with limit={self.limits[queue]} and limit={most}: "
                "keep one"
            )

    def find(self, name: str) -> Task[Any, Any, Any] | None:
        """The task of that name, if there is one."""
        return self._tasks.get(name)

    def get(self, name: str) -> Task[Any, Any, Any]:
        """The task of that name; ``TaskNotFound`` names those that there are."""
        task = self._tasks.get(name)
        if task is None:
            known = ", ".join(sorted(self._tasks)) or "none"
            raise TaskNotFound(f"no task {name!r} in this app; there are: {known}")
        return task

    def names(self) -> list[str]:
        """All names, sorted."""
        return sorted(self._tasks)


class AppLike:
    """What a worker's child needs of an app. Apps say by inheritance that they are one: an object of
    another library may answer to any attribute, or raise at any."""

    registry: Registry
    retention: dict[str, int]
    url: str
    modules: tuple[str, ...]
    """Which made the app, or the apps."""

    def declares(self) -> Declaration:
        """What the clock enqueues of this app; ``BadTask`` when something cannot be."""
        return Declaration(self.modules, tuple(self.registry.periodics()))


def is_app(value: object) -> TypeGuard[AppLike]:
    """By its real type: a proxy may say of itself that it is anything, or raise when asked."""
    return issubclass(type(value), AppLike)


def _same_source(one: Task[Any, Any, Any], other: Task[Any, Any, Any]) -> bool:
    """The same function again: its module was reloaded, or run as ``__main__`` and then imported."""
    first, second = one.function.__code__, other.function.__code__
    return (first.co_filename, first.co_firstlineno) == (second.co_filename, second.co_firstlineno)
