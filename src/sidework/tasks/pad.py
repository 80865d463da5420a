"""What one attempt has told and not sent yet: of each kind the newest, bounded in number and bytes.

A flood costs no more than what is kept of it: progress that was overtaken, and records beyond the bound,
are never sent.
"""

from __future__ import annotations

import threading
from collections import deque

from ..clock import Millis
from ..errors import BadValue
from ..note import (
    LOG_BYTES,
    MOST_LOGS,
    MOST_VALUES,
    VALUE_BYTES,
    Note,
    NoteKind,
    Notes,
    Reached,
    encode_note,
)


class Pad:
    """Of one attempt; used from any of its threads."""

    def __init__(self, job_id: bytes, fence: int) -> None:
        self._id = job_id
        self._fence = fence
        self._lock = threading.Lock()
        self._number = 0
        self._unsent: dict[int, Note] = {}
        self._drops: list[int] = []
        self._cut = 0
        self._first = True
        self._kept = {
            "log": _Kept(MOST_LOGS, LOG_BYTES),
            "value": _Kept(MOST_VALUES, VALUE_BYTES),
        }
        self._reached: tuple[int, Reached, Millis] | None = None  # not sent yet
        self._done: float = 0
        self._told = 0  # the number of the progress that was sent last
        self.closed = False
        """Whether the attempt has ended: what is still told goes nowhere."""

    def progress(self, reached: Reached, at: Millis, *, anew: bool) -> None:
        """How far it is. ``BadValue`` when it was further before, unless it begins ``anew``."""
        with self._lock:
            if reached.done < self._done and not anew:
                raise BadValue(
                    f"progress({reached.done}): the job was at {self._done} before, and progress does not "
                    "go back; for another round use track(...), or count on"
                )
            self._done = reached.done
            self._number += 1
            self._reached = (self._number, reached, at)

    def add(self, kind: NoteKind, body: bytes, at: Millis) -> None:
        """A log record or a value."""
        with self._lock:
            self._number += 1
            self._unsent[self._number] = Note(self._number, kind, at, body)
            for number in self._kept[kind].add(self._number, len(body)):
                self._cut = max(self._cut, number)
                if self._unsent.pop(number, None) is None:
                    self._drops.append(number)

    def take(self) -> Notes | None:
        """What is to be sent now; ``None`` when there is nothing."""
        with self._lock:
            if self._reached is not None:
                number, reached, at = self._reached
                self._unsent[number] = Note(number, "progress", at, encode_note(reached))
                if self._told:
                    self._drops.append(self._told)
                self._told, self._reached = number, None
            if not self._unsent:
                return None
            notes = tuple(self._unsent[number] for number in sorted(self._unsent))
            taken = Notes(self._id, self._fence, notes, tuple(self._drops), self._cut, self._first)
            self._unsent, self._drops, self._first = {}, [], False
            return taken


class _Kept:
    """The numbers of one kind that are kept, with their sizes."""

    def __init__(self, most: int, most_bytes: int) -> None:
        self._most, self._most_bytes = most, most_bytes
        self._line: deque[tuple[int, int]] = deque()
        self._bytes = 0

    def add(self, number: int, size: int) -> list[int]:
        """Keep one more; which are too many now. The newest is never one of them."""
        self._line.append((number, size))
        self._bytes += size
        gone = []
        while len(self._line) > self._most or self._bytes > self._most_bytes:
            dropped, freed = self._line.popleft()
            self._bytes -= freed
            gone.append(dropped)
        return gone
