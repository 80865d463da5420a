"""What jobs tell: written by a worker's turn, read by whoever follows them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ...clock import Millis
from ...job import AttemptRow
from ...note import NoteRow, Notes
from ...state import FINAL, State
from .. import storable
from ..journal import CUT, Chapter, Moved, Since, first_id, moved
from .arrays import BigInts, Bytes, Id, Ints, Texts, Uuids
from .connection import Connection, ask, numbered, rows, statement
from .rows import ATTEMPT_COLUMNS, NOTE_COLUMNS, attempt_row
from .session import Session

_CHAPTER = (
    "SELECT id, task, lane, state, attempt, fence, inserted_at, started_at, finished_at, note "
    "FROM sidework.jobs WHERE id = ANY (:id::uuid[])"
)
_ATTEMPTS = (
    f"SELECT {ATTEMPT_COLUMNS} FROM unnest(:id::uuid[], :fence::bigint[], :most::bigint[]) "
    "AS since (id, least, most) JOIN sidework.attempts ON job_id = since.id AND fence >= least "
    "AND fence <= most ORDER BY job_id, fence"
)
_NOTES = (
    f"SELECT {NOTE_COLUMNS} FROM unnest(:id::uuid[], :fence::bigint[], :number::integer[], "
    ":most::bigint[]) AS since (id, least, after, most) JOIN sidework.notes ON job_id = since.id "
    "AND (fence, number) > (least, after) AND fence <= most AND number > 0 ORDER BY job_id, fence, number"
)
_MADE = "SELECT id FROM sidework.jobs WHERE id >= :id::uuid ORDER BY id LIMIT :limit::bigint"
_BEGUN = (
    "SELECT id, started_at FROM sidework.jobs WHERE state = 'running' AND worker IS NOT NULL "
    "AND started_at >= :since::bigint ORDER BY started_at LIMIT :limit::bigint"
)
_SETTLED = (
    "SELECT id, finished_at FROM sidework.jobs WHERE state = '{}' AND finished_at IS NOT NULL "
    "AND finished_at >= :since::bigint ORDER BY finished_at LIMIT :limit::bigint"
)
_TRIED = (
    "SELECT job_id, finished_at FROM sidework.attempts WHERE finished_at >= :since::bigint "
    "ORDER BY finished_at LIMIT :limit::bigint"
)
_HEARD = "SELECT job_id, at FROM sidework.notes WHERE at >= :since::bigint ORDER BY at LIMIT :limit::bigint"
MOVED = (_MADE, _BEGUN, *(_SETTLED.format(state) for state in sorted(FINAL)), _TRIED, _HEARD)
"""Where it is seen that jobs have moved, an index each."""


class Journal:
    """Of one store; see ``journal.Journal``."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._schema = session.place.schema

    def read(self, since: Sequence[Since]) -> list[Chapter | None]:
        """What stands behind each place."""
        storable.check_ids([one.id for one in since])
        return self._session.read(lambda c: _chapters(c, self._schema, since))

    def progress(self, ids: Sequence[bytes]) -> list[NoteRow | None]:
        """The newest of each job."""
        storable.check_ids(ids)
        columns = NOTE_COLUMNS.replace("job_id", "note.job_id")
        sql = numbered(
            f"SELECT {columns} FROM unnest(:id::uuid[]) AS asked (id), LATERAL (SELECT * FROM "
            "sidework.notes WHERE job_id = asked.id AND kind = 'progress' "
            "ORDER BY fence DESC, number DESC LIMIT 1) AS note",
            self._schema,
        )
        found = self._session.read(
            lambda c: {row[0]: NoteRow(*row) for row in rows(c, sql, [Uuids(ids)])}
        )
        return [found.get(id_) for id_ in ids]

    def cut(self, job_id: bytes) -> tuple[int, int] | None:
        """The place up to which notes of the job may be gone."""
        storable.check_id(job_id)
        sql = numbered(
            "SELECT fence, body FROM sidework.notes WHERE job_id = :id::uuid AND number = 0 "
            "ORDER BY fence DESC LIMIT 1",
            self._schema,
        )
        found = self._session.read(lambda c: rows(c, sql, [Id(job_id)]))
        return (found[0][0], int(found[0][1])) if found else None

    def moved(self, since: Millis, limit: int, now: Millis | None = None) -> Moved:
        """Which jobs have moved since a moment."""
        storable.check_moment(since, "since")
        storable.check_limit(limit)
        values = {"since": since, "limit": limit, "id": Id(first_id(since)), "now": now}

        def work(connection: Connection) -> Moved:
            asked = [numbered(sql, self._schema) for sql in ("SELECT :now", *MOVED)]
            answers = [ask(connection, sql, sql.values(values)) for sql in asked]
            ((at,),), made, *found = [answer() for answer in answers]
            return moved(made, found, limit, at)

        return self._session.read(work)


def write(connection: Connection, schema: str, told: Sequence[Notes]) -> None:
    """Store what running jobs told, and drop what they say; of a lost claim nothing. Nothing of it is
    waited for: it fails with the transaction."""
    # Of one claim as one: what its later words drop of the earlier ones is never stored.
    claims: dict[tuple[bytes, int], Notes] = {}
    for one in told:
        earlier = claims.get((one.id, one.fence))
        claims[one.id, one.fence] = one if earlier is None else earlier.then(one)
    told = list(claims.values())
    first = [one for one in told if one.first]
    if first:
        sql = statement("note_forget", schema)
        begun = {
            "id": Uuids(one.id for one in first),
            "fence": BigInts(one.fence for one in first),
            "at": max((note.at for one in first for note in one.notes), default=0),
        }
        ask(connection, sql, sql.values(begun))
    drops = [(one.id, one.fence, number) for one in told for number in one.drops]
    if drops:
        sql = statement("note_drop", schema)
        ids, fences, numbers = zip(*drops, strict=True)
        gone = {"id": Uuids(ids), "fence": BigInts(fences), "number": Ints(numbers)}
        ask(connection, sql, sql.values(gone))
    new: dict[tuple[bytes, int, int], tuple[str, int, bytes]] = {}
    for one in told:
        for note in one.notes:
            new.setdefault((one.id, one.fence, note.number), (note.kind, note.at, note.body))
        if one.cut:
            at = one.notes[-1].at if one.notes else 0
            new[one.id, one.fence, 0] = (CUT, at, b"%d" % one.cut)
    if new:
        sql = statement("note", schema)
        # In the order of their keys, as all that lock several rows do.
        line = sorted(new.items())
        values: dict[str, Any] = {
            "id": Uuids(key[0] for key, _ in line),
            "fence": BigInts(key[1] for key, _ in line),
            "number": Ints(key[2] for key, _ in line),
            "kind": Texts(note[0] for _, note in line),
            "at": BigInts(note[1] for _, note in line),
            "body": Bytes(note[2] for _, note in line),
        }
        ask(connection, sql, sql.values(values))


def _chapters(connection: Connection, schema: str, since: Sequence[Since]) -> list[Chapter | None]:
    # First the jobs, then the rest, none of it newer: whatever a fence was raised with is there by then.
    sql = numbered(_CHAPTER, schema)
    jobs = {row[0]: row for row in rows(connection, sql, [Uuids(one.id for one in since)])}
    known = {one.id: one for one in since if one.id in jobs}
    values = {
        "id": Uuids(known),
        "fence": BigInts(one.fence for one in known.values()),
        "number": Ints(one.number for one in known.values()),
        "most": BigInts(jobs[id_][5] for id_ in known),
    }
    attempts: dict[bytes, list[AttemptRow]] = {}
    notes: dict[bytes, list[NoteRow]] = {}
    if known:
        sql = numbered(_ATTEMPTS, schema)
        for row in rows(connection, sql, sql.values(values)):
            attempts.setdefault(row[0], []).append(attempt_row(row))
        sql = numbered(_NOTES, schema)
        for row in rows(connection, sql, sql.values(values)):
            notes.setdefault(row[0], []).append(NoteRow(*row))

    def chapter(row: tuple[Any, ...]) -> Chapter:
        id_, task, lane, state, attempt, fence, inserted, started, finished, note = row
        return Chapter(
            id_, task, lane, State(state), attempt, fence, inserted, started, finished, note,
            tuple(attempts.get(id_, ())), tuple(notes.get(id_, ())),
        )  # fmt: skip

    return [chapter(jobs[one.id]) if one.id in jobs else None for one in since]
