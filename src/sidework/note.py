"""What a running job tells: notes, numbered within a claim, the newest of which are kept.

The child numbers them and says which to drop, so that a store does as it is told, by key, and never counts
(``tasks/pad.py``). A note's place in its job's story is the claim's fence and its number.
"""

from __future__ import annotations

from typing import Literal

import msgspec
from msgspec import Struct

from .clock import Millis

NoteKind = Literal["progress", "log", "value"]
NOTE_KINDS: tuple[NoteKind, ...] = ("progress", "log", "value")

MOST_LOGS, LOG_BYTES = 200, 128 * 1024
"""Log records of one attempt that are kept, and bytes of them."""
MOST_VALUES, VALUE_BYTES = 1_000, 1024 * 1024
"""Emitted values of one attempt that are kept, and bytes of them."""
LONGEST_RECORD = 8_000
"""Characters of one log record; of a longer one the middle is left out."""
LARGEST_VALUE = 64 * 1024
"""Bytes of one emitted value when encoded."""
LONGEST_NOTE = 500
"""Characters of the text beside a progress."""


class Note(Struct, array_like=True, frozen=True):
    """One thing told: ``number`` grows within a claim, from 1. ``at`` is by the clock of its machine."""

    number: int
    kind: NoteKind
    at: Millis
    body: bytes


class Notes(Struct, array_like=True, frozen=True):
    """What one claim has told since the last time, by rising number.

    ``drops``: numbers told before that are not kept any more. ``cut``: the highest one that was dropped,
    now or before, and has no newer one in its place; 0 for none. ``first``: nothing of this claim was sent
    before.
    """

    id: bytes
    fence: int
    notes: tuple[Note, ...]
    drops: tuple[int, ...] = ()
    cut: int = 0
    first: bool = False

    @property
    def size(self) -> int:
        """Bytes of it, about."""
        return sum(len(note.body) for note in self.notes)

    def then(self, later: Notes) -> Notes:
        """This, and what was told afterwards, as one."""
        dropped = set(later.drops)
        kept = tuple(note for note in self.notes if note.number not in dropped)
        dropped -= {note.number for note in self.notes}
        return Notes(
            self.id,
            self.fence,
            kept + later.notes,
            (*self.drops, *sorted(dropped)),
            max(self.cut, later.cut),
            self.first or later.first,
        )


class NoteRow(Struct, frozen=True):
    """A note as it stands in the store. One of kind ``cut`` and number 0 says that earlier ones are not
    kept: those of its fence up to the number in ``body``, and those of lower fences."""

    job_id: bytes
    fence: int
    number: int
    kind: str
    at: Millis
    body: bytes


class Reached(Struct, array_like=True, frozen=True):
    """How far a job says it is."""

    done: int | float
    total: int | float | None
    note: str


class Record(Struct, array_like=True, frozen=True):
    """A log record of a job's: the level's name, the logger's, and what it says, a traceback included."""

    level: str
    logger: str
    text: str


encode_note = msgspec.json.Encoder().encode
decode_reached = msgspec.json.Decoder(Reached).decode
decode_record = msgspec.json.Decoder(Record).decode
