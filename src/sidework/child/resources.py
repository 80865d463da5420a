"""What this child has opened: its app's lifespans, before the first job; resources, each when the first
job wants it. Closed when the child ends, the last one first.

Jobs of either colour wait for one future per resource. Whoever comes first opens it: a plain function's
resource on the thread that asks (a coroutine asks on a thread beside the loop), a coroutine's on the loop.
"""

from __future__ import annotations

import asyncio
import logging
import threading
import weakref
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from concurrent.futures import Future
from typing import Any

from ..errors import NotOpened, SideworkError
from ..outcome import clean, message_of
from ..tasks.context import Stopped
from ..tasks.finding import told
from ..tasks.registry import Registry
from ..tasks.resources import Resource, name_of
from .opening import Get, aopened, needs_loop, opened

log = logging.getLogger("sidework.child")

_LINE = 2_000


class CannotStart(SideworkError):
    """A lifespan did not open."""


class Resources:
    """Of one child. ``run`` runs a coroutine on the child's loop, from elsewhere, and waits for it."""

    def __init__(self, run: Callable[[Coroutine[Any, Any, Any]], Any]) -> None:
        self._run = run
        self._lock = threading.Lock()
        self._values: dict[Get, Future[Any]] = {}
        self._open: list[tuple[str, Callable[[], Awaitable[object]]]] = []
        self.tasks: weakref.WeakSet[asyncio.Task[Any]] = weakref.WeakSet()
        """What resources have left running on the loop: it is no job's."""

    # Lifespans ----------------------------------------------------------------------------------

    def begin(self, registry: Registry) -> None:
        """Enter the app's lifespans, off the loop; ``CannotStart`` says which one could not be."""
        for span in registry.lifespans:
            try:
                self._value(span)
            except BaseException as error:
                raise _cannot_start(span, error) from error

    async def abegin(self, registry: Registry) -> None:
        """``begin`` on the loop."""
        for span in registry.lifespans:
            try:
                await self._avalue(span)
            except BaseException as error:
                raise _cannot_start(span, error) from error

    # Resources ----------------------------------------------------------------------------------

    def values(self, wanted: Mapping[str, Resource]) -> dict[str, Any]:
        """What these parameters are given, for a plain function; ``NotOpened``."""
        found: dict[str, Any] = {}
        for name, resource in wanted.items():
            try:
                found[name] = self._value(resource.get)
            except Stopped:
                raise
            except BaseException as error:
                raise _not_opened(resource, error) from error
        return found

    async def avalues(self, wanted: Mapping[str, Resource]) -> dict[str, Any]:
        """``values`` for a coroutine."""
        found: dict[str, Any] = {}
        for name, resource in wanted.items():
            try:
                found[name] = await self._avalue(resource.get)
            except asyncio.CancelledError:
                raise
            except BaseException as error:
                raise _not_opened(resource, error) from error
        return found

    async def close(self) -> None:
        """Close everything, on the loop; what cannot be closed is told, and the rest is closed."""
        while self._open:
            name, leave = self._open.pop()
            try:
                await leave()
            except BaseException as error:  # noqa: BLE001 - of foreign code; there is more to close
                log.error("%s could not be closed: %s", name, clean(repr(error), _LINE))

    # One of them --------------------------------------------------------------------------------

    def _value(self, get: Get) -> Any:
        if needs_loop(get):
            return self._run(self._avalue(get))
        future, first = self._turn(get)
        if first:
            self._open_here(get, future)
        return future.result()

    async def _avalue(self, get: Get) -> Any:
        future, first = self._turn(get)
        if first and needs_loop(get):
            self.tasks.add(asyncio.create_task(self._keep(get, future)))
        elif first:
            asyncio.get_running_loop().run_in_executor(None, self._open_here, get, future)
        if future.done():
            return future.result()
        return await asyncio.wrap_future(future)

    def _turn(self, get: Get) -> tuple[Future[Any], bool]:
        """The future of its value, and whether it is the caller's to open it."""
        future = self._values.get(get)  # after the first job nobody stands in line for this
        if future is not None:
            return future, False
        with self._lock:
            future = self._values.get(get)
            if future is not None:
                return future, False
            future = self._values[get] = Future()
            # So one who is cancelled while it waits cancels its wait, not the others'.
            future.set_running_or_notify_cancel()
            return future, True

    def _open_here(self, get: Get, future: Future[Any]) -> None:
        try:
            value, leave = opened(get)
        except BaseException as error:
            self._failed(get, future, error)
            if isinstance(error, Exception):
                return  # whoever waits for the future raises it
            raise
        if leave is not None:
            self._open.append((name_of(get), _later(leave)))
        future.set_result(value)

    async def _keep(self, get: Get, future: Future[Any]) -> None:
        """Open it, and close it, in one task: what holds a task group demands that."""
        before = asyncio.all_tasks()
        try:
            value, leave = await aopened(get)
        except BaseException as error:  # noqa: BLE001 - told to whoever waits for it
            self._failed(get, future, error)
            return
        self.tasks.update(asyncio.all_tasks() - before)
        if leave is None:
            future.set_result(value)
            return
        ending = asyncio.Event()
        keeper = asyncio.current_task()
        assert keeper is not None

        async def end() -> None:
            ending.set()
            await keeper

        entry = (name_of(get), end)
        self._open.append(entry)
        future.set_result(value)
        try:
            await ending.wait()
        finally:
            # Also when a job has cancelled every task on the loop, or the loop ends: the next job opens
            # it anew.
            self._values.pop(get, None)
            if entry in self._open:
                self._open.remove(entry)
            await leave()

    def _failed(self, get: Get, future: Future[Any], error: BaseException) -> None:
        self._values.pop(get, None)  # the next one tries again
        if isinstance(
            error, StopIteration
        ):  # a coroutine's future would refuse it, and wait for ever
            error = RuntimeError(f"it raised {error!r}")
        future.set_exception(error)


def _later(leave: Callable[[], object]) -> Callable[[], Awaitable[object]]:
    async def end() -> None:
        leave()

    return end


def _cannot_start(span: Get, error: BaseException) -> CannotStart:
    return CannotStart(clean(f"lifespan {name_of(span)} did not open: {told(error)}", _LINE))


def _not_opened(resource: Resource, error: BaseException) -> NotOpened:
    return NotOpened(
        f"the resource {name_of(resource.get)} did not open: {type(error).__name__}: {message_of(error)}"
    )
