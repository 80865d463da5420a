"""Errors that a test plans for a task, and what must leave a job for the test itself."""

from __future__ import annotations

import copy
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from ..child.executor import Attempt
from ..errors import BadValue
from ..tasks.task import Task

Error = BaseException | type[BaseException]


class Faults:
    """What the next attempts of a task raise instead of running."""

    def __init__(self, leave: tuple[type[BaseException], ...]) -> None:
        self._leave: tuple[type[BaseException], ...] = (KeyboardInterrupt, *leave)
        self._planned: dict[str, deque[Error]] = {}
        self._left: BaseException | None = None

    def plan(self, task: Task[Any, Any, Any], error: Error, times: int) -> None:
        """Have the next ``times`` attempts raise this error; ``BadValue`` for one that cannot be."""
        kind = error if isinstance(error, type) else type(error)
        if not issubclass(kind, BaseException):
            raise BadValue(f"fail({task.name}, {error!r}): expected an exception to raise")
        if isinstance(times, bool) or not isinstance(times, int) or times < 1:
            raise BadValue(f"times={times!r}: expected a whole number from 1")
        self._planned.setdefault(task.name, deque()).extend([error] * times)

    def prepare(self, attempt: Attempt) -> Attempt:
        """The attempt, which from here on meets its planned error, and lets go what is the test's."""
        planned = self._planned.get(attempt.task.name)
        error = planned.popleft() if planned else None
        task = copy.copy(attempt.task)
        task.function = (
            self._coroutine(task, error) if task.is_coroutine else self._plain(task, error)
        )
        attempt.task = task
        return attempt

    def reraise(self) -> None:
        """Raise what a job has raised for the test: its end is recorded by now."""
        left, self._left = self._left, None
        if left is not None:
            raise left

    def _plain(self, task: Task[Any, Any, Any], planned: Error | None) -> Any:
        function = task.function

        def run(*args: Any, **kwargs: Any) -> Any:
            with self._meeting(planned):
                return function(*args, **kwargs)

        return run

    def _coroutine(self, task: Task[Any, Any, Any], planned: Error | None) -> Any:
        function = task.function

        async def run(*args: Any, **kwargs: Any) -> Any:
            with self._meeting(planned):
                return await function(*args, **kwargs)

        return run

    @contextmanager
    def _meeting(self, planned: Error | None) -> Iterator[None]:
        try:
            if planned is not None:
                raise planned
            yield
        except self._leave as error:
            self._left = error  # an attempt makes a value of whatever is raised in it
            raise
