"""What worker and child say to each other: msgpack messages in length-prefixed frames.

Pure values and framing; the sockets are elsewhere. A claimed job is known between the two by a
``seq``, a small number that is the worker's own and is never used twice for one child.
"""

from __future__ import annotations

import struct
from typing import Literal

import msgspec
from msgspec import Struct

from .job import Claimed
from .note import Notes
from .outcome import Outcome
from .periodic import Declaration

Why = Literal["cancelled", "released", "timeout", "partition"]
"""Why an attempt is to end: asked by a person, its worker stops, its time is over, or its worker is
cut off from the store."""


class TaskInfo(Struct, array_like=True, frozen=True):
    """What the worker must know of a task: its own time limit and wait before a retry, in ms, and
    whether its attempts stop when the worker is cut off from the store."""

    name: str
    timeout: int | None
    backoff: int | None
    stops: bool


# Worker to child ------------------------------------------------------------------------------


class Run(Struct, tag="run", array_like=True, frozen=True):
    """Run these jobs, in this order as places become free."""

    seqs: list[int]
    jobs: list[Claimed]


class Cancel(Struct, tag="cancel", array_like=True, frozen=True):
    """End these; those not started yet are handed back."""

    seqs: list[int]
    why: Why


class TakeBack(Struct, tag="takeback", array_like=True, frozen=True):
    """Hand back whatever has not been started."""


class Hold(Struct, tag="hold", array_like=True, frozen=True):
    """Lock this file's byte for life: whoever finds it free knows that this child is dead."""

    path: str
    number: int


class Ping(Struct, tag="ping", array_like=True, frozen=True):
    """Answer with a ``Pong``; a child that cannot is blocked as a whole (its GIL is held)."""


class Stop(Struct, tag="stop", array_like=True, frozen=True):
    """Nothing more will come; exit when what runs has ended."""


ToChild = Run | Cancel | TakeBack | Hold | Ping | Stop

# Child to worker ------------------------------------------------------------------------------


class Hello(Struct, tag="hello", array_like=True, frozen=True):
    """The child has imported the app: where its store is, which tasks it knows, what is enqueued by the
    clock, and how queues are limited."""

    url: str
    tasks: list[TaskInfo]
    retention: dict[str, int]
    declares: Declaration = Declaration()
    limits: dict[str, int] = {}


class ImportFailed(Struct, tag="importfailed", array_like=True, frozen=True):
    """The app could not be imported, or its lifespan not opened; ``line`` says why, in the user's own
    frame."""

    line: str


class Started(Struct, tag="started", array_like=True, frozen=True):
    """These are about to run: sent before the first line of their code, so that a crash can tell."""

    seqs: list[int]


class Done(Struct, tag="done", array_like=True, frozen=True):
    """How these attempts ended."""

    seqs: list[int]
    outcomes: list[Outcome]


class Noted(Struct, tag="noted", array_like=True, frozen=True):
    """What these attempts tell while they run."""

    seqs: list[int]
    notes: list[Notes]


class HandedBack(Struct, tag="handedback", array_like=True, frozen=True):
    """These were never started."""

    seqs: list[int]


class Parked(Struct, tag="parked", array_like=True, frozen=True):
    """An attempt waits for another job and gives its place back, or takes it again."""

    seq: int
    parked: bool


class Blocked(Struct, tag="blocked", array_like=True, frozen=True):
    """The child's event loop answers nothing, or does so again: it gets no coroutines meanwhile."""

    blocked: bool


class Pong(Struct, tag="pong", array_like=True, frozen=True):
    """The child's threads can run."""


class Warn(Struct, tag="warn", array_like=True, frozen=True):
    """Something a person should see, with a stack where there is one, and the attributes of its record that
    name a job (``logs.fields``)."""

    line: str
    stack: str = ""
    job: dict[str, str | int | None] = {}


ToWorker = (
    Hello | ImportFailed | Started | Done | Noted | HandedBack | Parked | Blocked | Pong | Warn
)

encode_message = msgspec.msgpack.Encoder().encode
decode_to_child = msgspec.msgpack.Decoder(ToChild).decode
decode_to_worker = msgspec.msgpack.Decoder(ToWorker).decode

_LENGTH = struct.Struct("!I")


def frame(message: ToChild | ToWorker) -> bytes:
    """The message with its length in front."""
    body = encode_message(message)
    return _LENGTH.pack(len(body)) + body


class Unframer:
    """Turns a stream's bytes into whole frames, however they were cut."""

    def __init__(self) -> None:
        self._buffer = bytearray()

    def feed(self, data: bytes) -> list[bytes]:
        """All frames that are whole now; the rest waits for more."""
        buffer = self._buffer
        buffer += data
        frames, position = [], 0
        while len(buffer) - position >= 4:
            (length,) = _LENGTH.unpack_from(buffer, position)
            if len(buffer) - position - 4 < length:
                break
            frames.append(bytes(buffer[position + 4 : position + 4 + length]))
            position += 4 + length
        if position:
            del buffer[:position]
        return frames
