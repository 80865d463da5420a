"""A job's story out of its row, its attempts and its notes: nothing of it is stored as such, so that jobs
nobody follows pay nothing for it."""

from __future__ import annotations

from typing import Any

from ..clock import Millis, to_datetime
from ..event import END, Event, EventKind, LogRecord, Place, Progress, place_text
from ..ids import id_text
from ..info import plain
from ..job import AttemptRow
from ..note import NoteRow, decode_reached, decode_record
from ..outcome import decode_failure
from ..state import FINAL, State
from ..store.journal import Chapter


def events_of(chapter: Chapter, after: Place) -> list[tuple[Place, Event]]:
    """What stands in the chapter behind a place, in order."""
    told = _Told(chapter, after)
    told.add((0, 0), "enqueued", chapter.inserted_at)
    final = chapter.state in FINAL
    numbers = {one.fence: one.attempt for one in chapter.attempts}
    last: AttemptRow | None = None
    for one in chapter.attempts:
        if one.fence == chapter.fence and (
            one.outcome != "crashed" or chapter.state is State.RUNNING
        ):
            continue  # written after the job was read: its settlement is in the next chapter
        told.add((one.fence, 0), "started", one.started_at, attempt=one.attempt)
        if final and one.fence + 1 == chapter.fence:
            last = one
        else:
            failure = decode_failure(one.failure)
            told.add(
                (one.fence, END), "retried", one.finished_at, attempt=one.attempt, failure=failure
            )
    claim = {State.RUNNING: chapter.fence, State.COMPLETED: chapter.fence - 1}.get(chapter.state)
    if claim is not None:
        numbers[claim] = chapter.attempt
        told.add((claim, 0), "started", chapter.started_at, attempt=chapter.attempt)
    for note in chapter.notes:
        told.note(note, numbers.get(note.fence))
    if final:
        told.add(
            (chapter.fence, 0), "final", chapter.finished_at,
            attempt=numbers.get(chapter.fence - 1), state=chapter.state, note=chapter.note,
            failure=None if last is None else decode_failure(last.failure),
        )  # fmt: skip
    return sorted(told.events, key=lambda pair: pair[0])


def progress_of(row: NoteRow) -> Progress:
    """A stored progress as it is shown."""
    reached = decode_reached(row.body)
    return Progress(reached.done, reached.total, reached.note, to_datetime(row.at))


class _Told:
    def __init__(self, chapter: Chapter, after: Place) -> None:
        self._chapter = chapter
        self._after = after
        self.events: list[tuple[Place, Event]] = []

    def add(self, place: Place, kind: EventKind, at: Millis | None, **more: Any) -> None:
        if place > self._after and at is not None:
            job = self._chapter
            event = Event(
                kind=kind, id=id_text(job.id), task=job.task, queue=job.lane,
                at=to_datetime(at), position=place_text(place), **more,
            )  # fmt: skip
            self.events.append((place, event))

    def note(self, row: NoteRow, attempt: int | None) -> None:
        place = (row.fence, row.number)
        if row.kind == "progress":
            self.add(place, "progress", row.at, attempt=attempt, progress=progress_of(row))
        elif row.kind == "log":
            told = decode_record(row.body)
            record = LogRecord(told.level, told.logger, told.text)
            self.add(place, "log", row.at, attempt=attempt, log=record)
        elif row.kind == "value":
            self.add(place, "value", row.at, attempt=attempt, value=plain(row.body))
