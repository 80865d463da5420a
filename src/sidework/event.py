"""What happened to a job, told in order: the events of ``job.events()`` and ``app.events()``.

A place in a job's story is a fence and a number: ``(0, 0)`` it was enqueued, ``(f, 0)`` the claim of fence f
began it, ``(f, n)`` what it then told, ``(f, END)`` that attempt failed; and ``(g, 0)`` it was settled for
good by fence g. Places only grow.
"""

from __future__ import annotations

import re
from datetime import datetime
from typing import Any, Literal, get_args

from msgspec import Struct

from .errors import BadValue
from .outcome import Failure
from .state import State

EventKind = Literal["enqueued", "started", "progress", "log", "value", "retried", "final"]
EVENT_KINDS: tuple[EventKind, ...] = get_args(EventKind)

Place = tuple[int, int]
END = 2**31 - 1
"""The number of an attempt's end: behind all its notes."""
BEFORE: Place = (-1, 0)
"""Behind nothing."""


class Progress(Struct, frozen=True):
    """How far a job said it was: ``done`` of ``total`` (``None``: not known), a text, and when."""

    done: int | float
    total: int | float | None
    note: str
    at: datetime


class LogRecord(Struct, frozen=True):
    """What a job logged: the level's name, the logger's, and the text with its traceback."""

    level: str
    logger: str
    text: str


class Event(Struct, frozen=True, kw_only=True):
    """One thing that happened to a job.

    ``kind``: ``enqueued``, ``started``, ``progress``, ``log``, ``value``, ``retried`` (an attempt did not
    complete, and the job lives on) or ``final``. ``position``: whoever has read so far begins behind it.
    ``at``: in UTC. ``attempt``: which execution, where it is one's. What a kind is about stands in
    ``progress``, ``log``, ``value`` (as JSON values), ``failure`` (of ``retried``, and of a ``final`` without
    a result), and ``state`` and ``note`` (of ``final``).
    """

    kind: EventKind
    id: str
    task: str
    queue: str
    at: datetime
    position: str
    attempt: int | None = None
    progress: Progress | None = None
    log: LogRecord | None = None
    value: Any = None
    failure: Failure | None = None
    state: State | None = None
    note: str | None = None


_POSITION = re.compile(r"([0-9]{1,18})\.([0-9]{1,9}|end)")


def place_text(place: Place) -> str:
    """A place as ``event.position`` has it."""
    fence, number = place
    return f"{fence}.{'end' if number == END else number}"


def place_of(position: object) -> Place:
    """The place of a position; ``BadValue`` for what is none."""
    found = _POSITION.fullmatch(position) if isinstance(position, str) else None
    if found is None:
        raise BadValue(f"after={position!r}: expected the position of an event, such as '1.17'")
    return int(found[1]), END if found[2] == "end" else int(found[2])
