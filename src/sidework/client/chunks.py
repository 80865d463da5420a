"""Many jobs as they go into one transaction each, and what is said when one of them is refused."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from ..errors import BadValue, JobConflict
from ..job import Inserted, NewJob
from ..store.relating import conflict, related
from ..tasks.task import Bound
from ..url import shown

_CHUNK = 500


def in_chunks(bound: Iterable[Bound[Any]], url: str) -> Iterator[tuple[list[NewJob], Any]]:
    """Jobs in the order given, as many as go into one transaction, each with their connection. ``BadValue``
    for one of a task whose app has another store than ``url``: no worker would know it there."""
    if isinstance(bound, str | Bound) or not isinstance(bound, Iterable):
        raise BadValue(
            f"{bound!r}: enqueue_many takes several of task.bind(...), in a list or as they come"
        )
    chunk: list[NewJob] = []
    connection: Any = None
    for one in bound:
        if not isinstance(one, Bound):
            raise BadValue(
                f"{one!r} is not bound: enqueue_many takes task.bind(...), which stores nothing yet"
            )
        if one.task.app.url != url:
            raise BadValue(
                f"{one.task!r} is of {shown(one.task.app.url)}, not of {shown(url)}: "
                "hand its jobs over by its own app"
            )
        if chunk and (len(chunk) == _CHUNK or one.connection is not connection):
            yield chunk, connection
            chunk = []
        connection = one.connection
        chunk.append(one.job)
    if chunk:
        yield chunk, connection


@contextmanager
def telling(chunk: Sequence[NewJob], stored: int) -> Iterator[None]:
    """A conflict among many jobs says what became of the others."""
    try:
        yield
    except JobConflict as wrong:
        others = (
            f"nothing of its chunk is stored, and the {stored} before it are"
            if related(chunk)
            else f"the other jobs of its chunk are stored, and the {stored} before them"
        )
        raise JobConflict(f"{wrong}; {others}") from None


def accepted(inserted: list[Inserted]) -> list[Inserted]:
    """The answers, none of which is a refusal; else ``JobConflict``."""
    for one in inserted:
        if one.verdict == "conflict":
            raise conflict(one.id)
    return inserted


def counted(inserted: list[Inserted]) -> int:
    """How many of them are jobs of their own."""
    return sum(one.verdict != "unique" for one in inserted)
