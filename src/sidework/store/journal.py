"""``store.journal``: what jobs told while they ran, and how each came to where it is.

Written in a worker's turn (``Claims.turn``), under the fence. A place in a job's story is a fence and a
number: of a claim's notes from 1, of its end ``END``, of a settlement 0 (``story.py``).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Protocol

from msgspec import Struct

from ..clock import Millis
from ..job import AttemptRow
from ..note import NoteRow
from ..state import State

CUT = "cut"
"""The kind of the row that says what is not kept (``NoteRow``)."""


class Since(Struct, frozen=True):
    """From where on a job is to be read: behind this place."""

    id: bytes
    fence: int = -1
    number: int = 0


class Chapter(Struct, frozen=True):
    """A job as it stands, without what may be large, and what stands behind a place in its story: its
    attempts of that fence or a higher one, and its notes."""

    id: bytes
    task: str
    lane: str
    state: State
    attempt: int
    fence: int
    inserted_at: Millis
    started_at: Millis | None
    finished_at: Millis | None
    note: str | None
    attempts: tuple[AttemptRow, ...]
    notes: tuple[NoteRow, ...]


class Moved(Struct, frozen=True):
    """Which jobs have moved, and when, oldest first; ``upto``: all before this moment are among them,
    ``None`` when all are; ``now``: the store's time, before it looked."""

    jobs: list[tuple[bytes, Millis]]
    upto: Millis | None
    now: Millis


def moved(
    made: Iterable[tuple[bytes]],
    sources: Iterable[list[tuple[bytes, Millis]]],
    limit: int,
    now: Millis,
) -> Moved:
    """What several sources say, each oldest first and cut at ``limit``, as far as all of them say it.

    ``made`` are ids, in their order: the moment of each is its own. Any other would not rise with them, and
    a cut would leave some behind.
    """
    found = [[(id_, made_at(id_)) for (id_,) in made], *sources]
    upto = min((rows[-1][1] for rows in found if len(rows) >= limit), default=None)
    jobs = {row for rows in found for row in rows if upto is None or row[1] <= upto}
    return Moved(sorted(jobs, key=lambda row: (row[1], row[0])), upto, now)


def first_id(since: Millis) -> bytes:
    """Below every id that was made since a moment (UUIDv7: it begins with its milliseconds)."""
    return max(0, since).to_bytes(6, "big") + bytes(10)


def made_at(job_id: bytes) -> Millis:
    """When an id was made, by the clock of whoever made it; of one that is no UUIDv7, anything."""
    return int.from_bytes(job_id[:6], "big")


class Journal(Protocol):
    """``read`` gives a chapter for each job, ``None`` for one that is not there: nothing in it is newer than
    its state. ``progress`` is the newest of each job, ``cut`` the place up to which its notes may be gone.
    ``moved``: which jobs were made, begun, settled or heard of since a moment, at most ``limit`` of each."""

    def read(self, since: Sequence[Since]) -> list[Chapter | None]: ...
    def progress(self, ids: Sequence[bytes]) -> list[NoteRow | None]: ...
    def cut(self, job_id: bytes) -> tuple[int, int] | None: ...
    def moved(self, since: Millis, limit: int, now: Millis | None = None) -> Moved: ...
