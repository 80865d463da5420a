"""Handles in the order in which their jobs end."""

from __future__ import annotations

import queue
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from concurrent.futures import Future
from functools import partial
from typing import Any, Generic, TypeVar

from ..clock import monotonic
from ..duration import Duration, seconds, text_of
from ..errors import BadValue, WaitTimeout
from ..handle import JobHandle
from ..job import JobRow
from ..tasks.context import stop_if_asked, waiting
from ..tasks.importing import refuse_at_import
from .calling import on_loop
from .handle import Handle
from .waiter import Waiter

R = TypeVar("R")

_LOOK_SECONDS = 0.25

Done = tuple[Handle[Any], Future[JobRow | None]]


class as_completed(Generic[R]):
    """The handles as their jobs end, for ``for`` and ``async for``; those that are final come first.
    One given twice comes twice.

    ``WaitTimeout`` when not all have ended ``timeout`` after the iteration began. It says nothing of how they
    ended: ask ``handle.result()``.
    """

    def __init__(self, handles: Iterable[JobHandle[R]], timeout: Duration | None = None) -> None:
        self._handles: list[Handle[Any]] = []
        if isinstance(handles, Handle):
            raise BadValue(
                f"as_completed({handles!r}): expected several handles, in a list or the like"
            )
        for one in handles:
            if not isinstance(one, Handle):
                raise BadValue(f"as_completed: {one!r} is not the handle of a job")
            self._handles.append(one)
        self._limit = None if timeout is None else seconds(timeout, "timeout")

    def __iter__(self) -> Iterator[JobHandle[R]]:
        done: queue.SimpleQueue[Done] = queue.SimpleQueue()
        with _Registered(self._handles, done.put):
            end = None if self._limit is None else monotonic() + self._limit
            for left in range(len(self._handles), 0, -1):
                with waiting(blocks=True):
                    one = None
                    while one is None:
                        pause = (
                            _LOOK_SECONDS if end is None else min(_LOOK_SECONDS, end - monotonic())
                        )
                        try:
                            one = done.get(timeout=max(0.0, pause))
                        except queue.Empty:
                            stop_if_asked()
                            if end is not None and monotonic() >= end:
                                raise self._late(left) from None
                yield _ended(one)

    async def __aiter__(self) -> AsyncIterator[JobHandle[R]]:
        import asyncio

        loop = asyncio.get_running_loop()
        done: asyncio.Queue[Done] = asyncio.Queue()

        def put(one: Done) -> None:
            on_loop(loop, done.put_nowait, one)

        with _Registered(self._handles, put):
            end = None if self._limit is None else monotonic() + self._limit
            for left in range(len(self._handles), 0, -1):
                try:
                    with waiting(blocks=False):
                        async with asyncio.timeout(None if end is None else end - monotonic()):
                            one = await done.get()
                except TimeoutError:
                    raise self._late(left) from None
                yield _ended(one)

    def _late(self, left: int) -> WaitTimeout:
        return WaitTimeout(
            f"{left} of {len(self._handles)} jobs are not done after {text_of(self._limit or 0)}; they go on"
        )


class _Registered:
    """For ``with``: handles that are waited for, all of them forgotten at the end."""

    def __init__(self, handles: list[Handle[Any]], done: Callable[[Done], None]) -> None:
        self._handles = handles
        self._done = done
        self._waited: list[tuple[Waiter, Handle[Any], Future[JobRow | None]]] = []

    def __enter__(self) -> None:
        refuse_at_import("waits for a job")
        for handle in self._handles:
            waiter, future = handle.register()
            self._waited.append((waiter, handle, future))
            future.add_done_callback(partial(self._ended, (handle, future)))

    def _ended(self, one: Done, _: Future[JobRow | None]) -> None:
        self._done(one)

    def __exit__(self, *_: object) -> None:
        for waiter, handle, future in self._waited:
            waiter.forget(handle.raw, future)


def _ended(one: Done) -> JobHandle[Any]:
    """The handle; or what waiting for it has failed with, and ``JobNotFound``."""
    handle, future = one
    handle.there(future.result())
    return handle
