"""One client's connection through the proxy, and its twin to the server."""

from __future__ import annotations

import asyncio
import socket
import struct
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from . import wire
from .plan import Fate, Kind

if TYPE_CHECKING:
    from .proxy import Proxy

Direction = Literal["request", "reply"]
CHUNK = 1 << 16


@dataclass(frozen=True)
class Landed:
    """A fault that happened: to which connection (name and how many of that name came before), at its
    which request, and the command tag of the answer if there was one."""

    kind: Kind
    name: str
    nth: int
    request: int
    tag: str = ""


@dataclass(frozen=True, slots=True)
class Asked:
    """A request that the server has not answered in full."""

    number: int
    kind: str
    fate: Fate
    armed: bool = False  # swallowed by word, not by plan


class Link:
    """Lives on the proxy's loop."""

    def __init__(
        self, proxy: Proxy, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        self.proxy = proxy
        self.client = reader, writer
        self.parameters: dict[str, str] = {}
        self.nth = 0
        self.asked: deque[Asked] = deque()
        self.sending = 0
        self.requests = 0
        self.budget: dict[Direction, int] = {}
        self.fates: Iterator[Fate] | None = None
        self.framing = wire.Replies()
        self.writers: dict[Direction, asyncio.StreamWriter] = {"reply": writer}
        self.task = asyncio.current_task()

    @property
    def name(self) -> str:
        return self.parameters.get("application_name", "")

    @property
    def in_flight(self) -> bool:
        """Whether there is a request whose answer the client has not got in full."""
        return bool(self.asked or self.sending)

    async def run(self) -> None:
        """To the end of either side."""
        pumps: list[asyncio.Task[None]] = []
        try:
            await self._passable("request")
            server, self.writers["request"] = await self.proxy.connect()
            for writer in self.writers.values():
                writer.transport.set_write_buffer_limits(high=0)  # drained means sent
            pumps = [
                asyncio.create_task(self._requests(self.client[0])),
                asyncio.create_task(self._replies(server)),
            ]
            await asyncio.wait(pumps, return_when=asyncio.FIRST_COMPLETED)
            for pump in pumps:
                if pump.done():
                    pump.result()
        except OSError:
            pass  # a side is gone, and so is the other
        finally:
            for pump in pumps:
                pump.cancel()
            for writer in self.writers.values():
                writer.close()

    def reset(self) -> None:
        """RST to both sides (on a Unix socket: closed)."""
        for writer in self.writers.values():
            connection: socket.socket = writer.get_extra_info("socket")
            if connection.family != socket.AF_UNIX:
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            writer.transport.abort()

    # From the client ----------------------------------------------------------------------------

    async def _requests(self, client: asyncio.StreamReader) -> None:
        framing = wire.Requests()
        group: list[wire.Message] = []  # of one request, up to the message that asks
        while data := await client.read(CHUNK):
            out = bytearray()
            for message in framing.feed(data):
                group.append(message)
                if message.kind == wire.STARTUP:
                    self.parameters = wire.parameters(message)
                    self.nth = self.proxy.arrived(self.name)
                elif message.kind == wire.NEGOTIATION:
                    self.framing.bare += 1
                if message.kind in wire.RUNNING:
                    self.proxy.statements[self.name] += 1
                if message.kind in wire.ASKING:
                    asked = self._ask(message.kind)
                    if asked.fate.kind == "reset":
                        # What stands before it in `out` goes too: without its Sync it commits nothing.
                        self._land(asked)
                        self.reset()
                        return
                    if asked.fate.kind == "fail":
                        if _may_fail(group):
                            self._land(asked)
                            group = [wire.failing(asked.fate.amount)]
                        else:
                            asked = Asked(asked.number, asked.kind, Fate())
                    self.asked.append(asked)
                if message.kind not in wire.PARTS:
                    out += b"".join(one.raw for one in group)
                    group.clear()
            await self._send("request", out)
        await self._passable("request")  # a client's end is no news on the other side of a stall

    def _ask(self, kind: str) -> Asked:
        self.requests += 1
        if kind == wire.STARTUP:
            return Asked(self.requests, kind, Fate())
        if self.proxy.armed(self):
            return Asked(self.requests, kind, Fate("swallow"), armed=True)
        return Asked(self.requests, kind, self.proxy.fate(self))

    # From the server ----------------------------------------------------------------------------

    async def _replies(self, server: asyncio.StreamReader) -> None:
        held, tag, failed = bytearray(), "", False
        while data := await server.read(CHUNK):
            out = bytearray()
            for message in self.framing.feed(data):
                if message.kind == "A" and self.proxy.deaf:
                    self.proxy.landed["unheard"] += 1
                    continue
                if not self.asked:
                    out += message.raw  # of itself: a notification, a notice, the server's end
                    continue
                head = self.asked[0]
                if message.kind == "G" and head.kind == "S":
                    # COPY takes data from here on and ignores the Sync that asked; another one follows
                    # the data. The client waits for this message.
                    self.asked.popleft()
                    out += held + message.raw
                    held.clear()
                    continue
                if head.fate.holds:
                    held += message.raw
                else:
                    out += message.raw
                if message.kind == "C":
                    tag = wire.tag(message)
                failed |= message.kind == "E"
                if message.kind == "Z":
                    self.asked.popleft()
                    committed = message.body == b"I" and not failed and wire.stores(tag)
                    await self._send("reply", out)
                    out = await self._answer(head, bytes(held), tag, committed)
                    held.clear()
                    tag, failed = "", False
            await self._send("reply", out)
        await self._passable("reply")

    async def _answer(self, asked: Asked, held: bytes, tag: str, committed: bool) -> bytearray:
        """What is left to send of an answer that waited for its fate."""
        fate = asked.fate
        if fate.kind == "swallow" and committed and self.proxy.swallows(self, asked, tag):
            self._land(asked, tag)
            raise ConnectionAbortedError
        if fate.kind == "cut":
            self._land(asked, tag)
            await self._send("reply", held[: int(fate.amount)])
            raise ConnectionAbortedError
        if fate.kind == "delay":
            self._land(asked, tag)
            await asyncio.sleep(fate.amount)
        return bytearray(held)

    # Both ways ----------------------------------------------------------------------------------

    def _land(self, asked: Asked, tag: str = "") -> None:
        self.proxy.land(Landed(asked.fate.kind, self.name, self.nth, asked.number, tag))

    async def _passable(self, direction: Direction) -> None:
        """Wait while this direction is stalled."""
        counted = False
        while self.proxy.stalls(self, direction):
            if not counted:
                self.proxy.landed["stall"] += 1
                counted = True
            await self.proxy.changed.wait()

    async def _send(self, direction: Direction, data: bytes | bytearray) -> None:
        if not data:
            return
        self.sending += 1
        try:
            if self.proxy.latency:
                self.proxy.landed["latency"] += 1
                await asyncio.sleep(self.proxy.latency)
            await self._passable(direction)
            await self._write(direction, data)
        finally:
            self.sending -= 1

    async def _write(self, direction: Direction, data: bytes | bytearray) -> None:
        writer, budget = self.writers[direction], self.budget.get(direction)
        if budget is not None:
            data = data[:budget]
            self.budget[direction] = budget - len(data)
        writer.write(data)
        await writer.drain()
        if budget is not None and not self.budget[direction]:
            self.proxy.landed["cut"] += 1
            raise ConnectionAbortedError


def _may_fail(group: list[wire.Message]) -> bool:
    """Whether all of the request is here still, and it is none that opens, sets or ends something."""
    words = wire.statement(group).split()
    known = bool(words) or any(one.kind == "B" for one in group)
    return known and not (words and words[0].upper() in wire.QUIET)
