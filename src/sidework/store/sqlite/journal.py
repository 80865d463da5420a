"""What jobs tell: written by a worker's turn, read by whoever follows them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import apsw
import msgspec

from ...clock import Millis, now_ms
from ...job import AttemptRow
from ...note import NoteRow, Notes
from ...state import FINAL
from .. import storable
from ..journal import CUT, Chapter, Moved, Since, first_id, moved
from .connection import statement
from .rows import ATTEMPT_COLUMNS, NOTE_COLUMNS, attempt_row, state_of
from .session import Session

_CHAPTER = (
    "SELECT id, task, lane, state, attempt, fence, inserted_at, started_at, finished_at, note "
    "FROM jobs WHERE id = ?"
)
_ATTEMPTS = (
    f"SELECT {ATTEMPT_COLUMNS} FROM attempts WHERE job_id = ? AND fence >= ? AND fence <= ? "
    "ORDER BY fence"
)
_NOTES = (
    f"SELECT {NOTE_COLUMNS} FROM notes WHERE job_id = ? AND (fence, number) > (?, ?) AND fence <= ? "
    "AND number > 0 ORDER BY fence, number"
)


class Journal:
    """Of one store; see ``journal.Journal``."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def read(self, since: Sequence[Since]) -> list[Chapter | None]:
        """What stands behind each place."""
        storable.check_ids([one.id for one in since])
        return self._session.read(lambda c: [_chapter(c, one) for one in since])

    def progress(self, ids: Sequence[bytes]) -> list[NoteRow | None]:
        """The newest of each job."""
        storable.check_ids(ids)
        sql = (
            f"SELECT {NOTE_COLUMNS} FROM notes WHERE job_id = ? AND kind = 'progress' "
            "ORDER BY fence DESC, number DESC LIMIT 1"
        )

        def work(connection: apsw.Connection) -> list[NoteRow | None]:
            found: list[Any] = [connection.execute(sql, (id_,)).fetchone() for id_ in ids]
            return [None if row is None else NoteRow(*row) for row in found]

        return self._session.read(work)

    def cut(self, job_id: bytes) -> tuple[int, int] | None:
        """The place up to which notes of the job may be gone."""
        storable.check_id(job_id)
        sql = "SELECT fence, body FROM notes WHERE job_id = ? AND number = 0 ORDER BY fence DESC"
        row: Any = self._session.read(lambda c: c.execute(sql, (job_id,)).fetchone())
        return None if row is None else (row[0], int(row[1]))

    def moved(self, since: Millis, limit: int, now: Millis | None = None) -> Moved:
        """Which jobs have moved since a moment."""
        storable.check_moment(since, "since")
        storable.check_limit(limit)
        values = {"since": since, "limit": limit, "id": first_id(since)}

        def work(connection: apsw.Connection) -> Moved:
            at = now_ms() if now is None else now
            found: list[Any] = [connection.execute(sql, values).fetchall() for sql in MOVED]
            made, *others = found
            return moved(made, others, limit, at)

        return self._session.read(work)


_MADE = "SELECT id FROM jobs WHERE id >= :id ORDER BY id LIMIT :limit"
_BEGUN = (
    "SELECT id, started_at FROM jobs INDEXED BY jobs_running WHERE state = 'running' "
    "AND started_at >= :since ORDER BY started_at LIMIT :limit"
)
_SETTLED = (
    "SELECT id, finished_at FROM jobs INDEXED BY jobs_final WHERE state = '{}' "
    "AND finished_at IS NOT NULL AND finished_at >= :since ORDER BY finished_at LIMIT :limit"
)
_TRIED = (
    "SELECT job_id, finished_at FROM attempts WHERE finished_at >= :since "
    "ORDER BY finished_at LIMIT :limit"
)
_HEARD = "SELECT job_id, at FROM notes WHERE at >= :since ORDER BY at LIMIT :limit"
MOVED = (_MADE, _BEGUN, *(_SETTLED.format(state) for state in sorted(FINAL)), _TRIED, _HEARD)
"""Where it is seen that jobs have moved, an index each."""

_FORGOTTEN = (
    f"INSERT OR IGNORE INTO notes ({NOTE_COLUMNS}) "
    "SELECT job_id, max(fence), 0, 'cut', :at, x'30' FROM notes WHERE job_id = :id AND fence < :fence"
)


def write(connection: apsw.Connection, told: Sequence[Notes]) -> None:
    """Store what running jobs told, and drop what they say; of a lost claim nothing."""
    for one in told:
        claim = {"id": one.id, "fence": one.fence, "at": one.notes[-1].at if one.notes else 0}
        if one.first:
            connection.execute(statement("note_forget"), claim)
            if connection.changes():
                connection.execute(_FORGOTTEN, claim)
        for number in one.drops:
            connection.execute(statement("note_drop"), {**claim, "number": number})
        for note in one.notes:
            values = {**claim, **msgspec.structs.asdict(note)}
            connection.execute(statement("note"), values)
        if one.cut:
            values = {**claim, "number": 0, "kind": CUT, "body": b"%d" % one.cut}
            connection.execute(statement("note"), values)


def _chapter(connection: apsw.Connection, since: Since) -> Chapter | None:
    # First the job, then the rest, none of it newer: whatever its fence was raised with is there by then.
    row: Any = connection.execute(_CHAPTER, (since.id,)).fetchone()
    if row is None:
        return None
    id_, task, lane, state, attempt, fence, inserted, started, finished, note = row
    attempts: tuple[AttemptRow, ...] = tuple(
        attempt_row(found)
        for found in connection.execute(_ATTEMPTS, (since.id, since.fence, fence))
    )
    place = (since.id, since.fence, since.number, fence)
    notes = tuple(NoteRow(*found) for found in connection.execute(_NOTES, place))
    return Chapter(id_, task, lane, state_of(state), attempt, fence, inserted, started, finished, note,
                   attempts, notes)  # fmt: skip
