"""A network that misbehaves on request, between a PostgreSQL server (or pooler) and its clients.

It runs on a thread of its own. What it does is told at run time (``stall``, ``heal``, ``reset``, …) or
drawn from a seed for each request (``Plan``); ``landed`` counts what happened to anybody, ``history``
tells it one by one. ``statements`` counts what clients have run, by their ``application_name``.
"""

from __future__ import annotations

import asyncio
import shutil
import tempfile
import threading
from collections import Counter
from collections.abc import Callable, Coroutine
from contextlib import suppress
from types import TracebackType
from typing import Any, Protocol, TypeVar

from .endpoint import Endpoint
from .home import short_place
from .link import Asked, Direction, Landed, Link
from .plan import Fate, Plan

Which = Callable[[Link], bool]
Got = TypeVar("Got")
WAYS: tuple[Direction, Direction] = ("request", "reply")


class Reached(Protocol):
    """A server or a pooler."""

    @property
    def endpoint(self) -> Endpoint: ...


def named(name: str) -> Which:
    """Connections with this ``application_name``."""
    return lambda link: link.name == name


def everyone(link: Link) -> bool:
    return True


class Proxy:
    """For ``with``. Clients reach it over TCP on loopback, or on a Unix socket."""

    def __init__(self, server: Reached, plan: Plan | None = None, *, unix: bool = False) -> None:
        self.server = server
        self.plan = plan
        self.landed: Counter[str] = Counter()
        self.statements: Counter[str] = Counter()
        self.history: list[Landed] = []
        self.links: set[Link] = set()
        self.latency = 0.0
        self.deaf = False
        self.changed = asyncio.Event()
        self._stalled: list[tuple[Direction, Which]] = []
        self._armed: list[Which] = []
        self._names: Counter[str] = Counter()
        self._failed: list[BaseException] = []
        self._folder = tempfile.mkdtemp(prefix="sw-", dir=short_place()) if unix else None
        self.endpoint = server.endpoint.at(self._folder or "127.0.0.1", 5432 if unix else 0)
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="proxy", daemon=True)

    def __enter__(self) -> Proxy:
        self._thread.start()
        self._wait(self._listen())
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._wait(self._end())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()
        if self._folder is not None:
            shutil.rmtree(self._folder)
        if self._failed:
            raise self._failed[0]

    def url(self, database: str = "postgres", **parameters: str) -> str:
        return self.endpoint.url(database, **parameters)

    # What it does to them: from any thread, in force on return ---------------------------------

    def stall(self, *ways: Direction, only: Which = everyone) -> None:
        """Hold everything, both ways unless told otherwise, of new connections too; also that a side has
        closed. Nothing is lost: after ``heal`` it arrives."""
        self._do(lambda: self._stalled.extend((way, only) for way in ways or WAYS))

    def delay(self, seconds: float) -> None:
        """Each piece takes that much longer, either way."""
        self.latency = seconds

    def deafen(self) -> None:
        """Lose every notification from now on (``landed["unheard"]``); whoever listens is answered all the
        same, and never learns of it."""
        self._do(lambda: setattr(self, "deaf", True))

    def heal(self) -> None:
        """Pass everything from now on, and take connections again. A plan stays in force."""

        async def heal() -> None:
            self._stalled.clear()
            self._armed.clear()
            self.latency = 0.0
            self.deaf = False
            for link in self.links:
                link.budget.clear()
            self._tell()
            if not self._listener.is_serving():
                await self._listen()

        self._wait(heal())

    def reset(self, only: Which = everyone) -> int:
        """RST to those that are connected, and to the server; how many they were."""

        def reset() -> int:
            chosen = [link for link in self.links if only(link)]
            for link in chosen:
                self.landed["reset"] += 1
                self.landed["reset in flight"] += link.in_flight
                link.reset()
            return len(chosen)

        return self._do(reset)

    def refuse(self) -> None:
        """Refuse new connections; those that are there stay."""

        async def refuse() -> None:
            self._listener.close()

        self._wait(refuse())

    def swallow(self, times: int = 1, only: Which = everyone) -> None:
        """Drop the answers to the next so many requests that commit, each with its connection."""
        self._do(lambda: self._armed.extend([only] * times))

    def cut(self, after: int, way: Direction = "reply", only: Which = everyone) -> None:
        """Cut each of those that are connected after so many more bytes that way."""

        def cut() -> None:
            for link in self.links:
                if only(link):
                    link.budget[way] = after

        self._do(cut)

    def follow(self, plan: Plan | None) -> None:
        """Another plan from the next request on."""

        def follow() -> None:
            self.plan = plan
            for link in self.links:
                link.fates = None

        self._do(follow)

    # What the links ask, on the loop ------------------------------------------------------------

    def arrived(self, name: str) -> int:
        """How many of that name came before."""
        self._names[name] += 1
        return self._names[name] - 1

    def stalls(self, link: Link, direction: Direction) -> bool:
        return any(way == direction and only(link) for way, only in self._stalled)

    def armed(self, link: Link) -> bool:
        return any(only(link) for only in self._armed)

    def fate(self, link: Link) -> Fate:
        if self.plan is None:
            return Fate()
        if link.fates is None:
            link.fates = self.plan.fates(link.name, link.nth)
        return next(link.fates)

    def swallows(self, link: Link, asked: Asked, tag: str) -> bool:
        """Whether the answer to this one, which has committed, is swallowed after all."""
        if asked.armed:
            mine = next((only for only in self._armed if only(link)), None)
            if mine is not None:  # else another connection was first
                self._armed.remove(mine)
            return mine is not None
        return self.plan is None or self.plan.tags is None or tag.split()[0] in self.plan.tags

    def land(self, landed: Landed) -> None:
        self.landed[landed.kind] += 1
        self.history.append(landed)

    async def connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        there = self.server.endpoint
        if there.unix:
            return await asyncio.open_unix_connection(there.path)
        return await asyncio.open_connection(there.host, there.port)

    # The thread ---------------------------------------------------------------------------------

    async def _listen(self) -> None:
        here = self.endpoint
        if here.unix:
            self._listener = await asyncio.start_unix_server(self._accept, here.path)
        else:
            self._listener = await asyncio.start_server(self._accept, here.host, here.port)
            self.endpoint = here.at(here.host, self._listener.sockets[0].getsockname()[1])

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.landed["connections"] += 1
        link = Link(self, reader, writer)
        self.links.add(link)
        try:
            await link.run()
        except asyncio.CancelledError:
            pass  # at the end; before Python 3.12 asyncio would log that a stream's task was cancelled
        except Exception as failure:  # noqa: BLE001 - told at the end, on the test's thread
            self._failed.append(failure)
        finally:
            self.links.discard(link)

    async def _end(self) -> None:
        self._listener.close()
        tasks = [link.task for link in self.links if link.task is not None]
        for task in tasks:
            task.cancel()
        for task in tasks:
            with suppress(asyncio.CancelledError):
                await task

    def _tell(self) -> None:
        before, self.changed = self.changed, asyncio.Event()
        before.set()

    def _do(self, act: Callable[[], Got]) -> Got:
        async def done() -> Got:
            got = act()
            self._tell()
            return got

        return self._wait(done())

    def _wait(self, work: Coroutine[Any, Any, Got]) -> Got:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(30)
