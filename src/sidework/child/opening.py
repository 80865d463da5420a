"""Calls what a user wrote to open something: a function, a generator function, or a context manager of
``contextlib``, of either colour. Gives the value and how to close it."""

from __future__ import annotations

import contextlib
import inspect
from collections.abc import Awaitable, Callable
from typing import Any

Get = Callable[[], Any]
Close = Callable[[], object]
AsyncClose = Callable[[], Awaitable[object]]


def needs_loop(get: Get) -> bool:
    """Whether it is to be opened on an event loop: a coroutine function, an async generator function,
    or what ``contextlib.asynccontextmanager`` made of one."""
    function = inspect.unwrap(get)
    return inspect.iscoroutinefunction(function) or inspect.isasyncgenfunction(function)


def opened(get: Get) -> tuple[Any, Close | None]:
    """The value, and how it is closed if it is."""
    made = contextlib.contextmanager(get)() if inspect.isgeneratorfunction(get) else get()
    if contextlib.AbstractContextManager in type(made).__mro__:
        return made.__enter__(), lambda: made.__exit__(None, None, None)
    if inspect.isawaitable(made) or contextlib.AbstractAsyncContextManager in type(made).__mro__:
        raise TypeError("it gives something to be awaited: declare it with async def")
    return made, None


async def aopened(get: Get) -> tuple[Any, AsyncClose | None]:
    """``opened`` for what needs the loop."""
    if inspect.isasyncgenfunction(get):
        made: Any = contextlib.asynccontextmanager(get)()
    else:
        made = get()
        if inspect.isawaitable(made):
            made = await made
    # By what they declare to be: a lock or a connection, too, has __enter__, which means another thing.
    if contextlib.AbstractAsyncContextManager in type(made).__mro__:
        return await made.__aenter__(), lambda: made.__aexit__(None, None, None)
    return made, None
