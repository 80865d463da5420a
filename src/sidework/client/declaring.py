"""What ``@app.task(...)`` takes, and what it is to a type checker."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any, ParamSpec, TypeVar, overload

from ..tasks.task import Task

P = ParamSpec("P")
R = TypeVar("R")


TASK_DEFAULTS: dict[str, Any] = {
    "queue": "default",
    "priority": 0,
    "retries": 0,
    "backoff": None,
    "timeout": None,
    "retry_on": Exception,
    "discard_on": (),
    "on_crash": "rescue",
    "on_partition": "run",
    "runner": None,
    "on_input_failure": "cancel",
    "on_success": None,
    "on_failure": None,
    "on_final": None,
    "unique": False,
    "unique_until": None,
}
"""The options of ``@app.task``, and what each is without a word."""


class TaskDecorator:
    """What ``@app.task(...)`` with options is to a type checker."""

    @overload
    def __call__(
        self, function: Callable[P, Coroutine[Any, Any, R]], /
    ) -> Task[P, R, Coroutine[Any, Any, R]]: ...
    @overload
    def __call__(self, function: Callable[P, R], /) -> Task[P, R, R]: ...
    def __call__(self, function: Any, /) -> Any:
        """Never called: the decorator is a plain function."""
        raise AssertionError
