"""A Django task as the function that a child runs: signals around it, database connections tended to as
around a request, the context given to those that take it."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import Any

from asgiref.sync import sync_to_async
from django.db import close_old_connections

from ...tasks.context import current_job
from .border import base, signals
from .results import ended, failed, running

_close = sync_to_async(close_old_connections, thread_sensitive=True)


def runs(task: Any) -> Callable[..., Any]:
    """The function; its arguments are stored as Django has them, some by position and some by name."""
    if inspect.iscoroutinefunction(task.func):
        run: Any = _coroutine(task)
    else:
        run = _plain(task)
    # Not functools.wraps: its signature would be the task's own.
    functools.update_wrapper(
        run, task.func, ("__module__", "__name__", "__qualname__", "__doc__"), ()
    )
    del run.__wrapped__
    run.django_task = task
    return run  # type: ignore[no-any-return]


def _plain(task: Any) -> Callable[..., Any]:
    def run(*args: Any, **kwargs: Any) -> Any:
        job, sender = current_job(), type(task.get_backend())
        close_old_connections()
        result = running(task.backend, task, job, args, kwargs)
        signals.task_started.send(sender=sender, task_result=result)
        try:
            value = _value(task.func(*_given(task, result), **result.kwargs))
            ended(result, value)
            return value
        except BaseException as error:
            failed(result, error, job)
            raise
        finally:
            signals.task_finished.send(sender=sender, task_result=result)
            close_old_connections()

    return run


def _coroutine(task: Any) -> Callable[..., Any]:
    async def run(*args: Any, **kwargs: Any) -> Any:
        job, sender = current_job(), type(task.get_backend())
        await _close()
        result = running(task.backend, task, job, args, kwargs)
        await signals.task_started.asend(sender=sender, task_result=result)
        try:
            value = _value(await task.func(*_given(task, result), **result.kwargs))
            ended(result, value)
            return value
        except BaseException as error:
            failed(result, error, job)
            raise
        finally:
            await signals.task_finished.asend(sender=sender, task_result=result)
            await _close()

    return run


def _given(task: Any, result: Any) -> list[Any]:
    context = [base.TaskContext(task_result=result)] if task.takes_context else []
    return [*context, *result.args]


def _value(returned: Any) -> Any:
    """As Django has results: plain JSON, else ``TypeError``."""
    return base.normalize_json(returned)
