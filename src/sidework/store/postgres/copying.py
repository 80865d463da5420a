"""Whole jobs out of the database and into it, with their attempts and notes, as they are."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

import msgspec

from ...clock import Millis
from ...crashpoint import reach
from ...errors import StoreRefused
from ...ids import id_text
from ...job import AttemptRow, Copied, Edge, Verdict
from ...note import NoteRow
from ...state import State
from .. import storable
from ..copies import DUMP_BYTES
from . import resolving
from .arrays import BigInts, Bools, Bytes, Column, Id, Ints, Texts, Uuids
from .connection import Connection, numbered, rows, statement
from .long import Long
from .rows import (
    ATTEMPT_COLUMNS,
    EDGE_COLUMNS,
    JOB_COLUMNS,
    NOTE_COLUMNS,
    attempt_row,
    edge_row,
    job_row,
)
from .session import Session

_JOB: dict[str, type[Column]] = {
    "id": Uuids, "task": Texts, "lane": Texts, "state": Texts, "runner": Texts, "priority": Ints,
    "attempt": Ints, "max_attempts": Ints, "fence": BigInts, "crashes": Ints,
    "cancel_requested": Bools, "inserted_at": BigInts, "due_at": BigInts, "started_at": BigInts,
    "finished_at": BigInts, "expires_at": BigInts, "timeout": BigInts, "on_crash": Texts,
    "worker": BigInts, "note": Texts, "tags": Texts, "args": Bytes, "result": Bytes,
    "pending": Ints, "callbacks": Bytes, "unique_key": Texts, "unique_until": Texts, "context": Texts,
    "backoff": BigInts,
}  # fmt: skip
_ATTEMPT: dict[str, type[Column]] = {
    "job_id": Uuids, "attempt": Ints, "fence": BigInts, "outcome": Texts, "worker": BigInts,
    "started_at": BigInts, "finished_at": BigInts, "failure": Bytes,
}  # fmt: skip
_NOTE: dict[str, type[Column]] = {
    "job_id": Uuids, "fence": BigInts, "number": Ints, "kind": Texts, "at": BigInts, "body": Bytes,
}  # fmt: skip
_TYPES: dict[type[Column], str] = {
    Uuids: "uuid", Texts: "text", Ints: "integer", BigInts: "bigint", Bools: "boolean", Bytes: "bytea",
}  # fmt: skip


class Copies:
    """Of one store; ``long`` is for what may take a while. Who waits for work or for these jobs is told."""

    def __init__(
        self,
        session: Session,
        long: Long,
        outside: Callable[[], None],
        moved: Callable[[list[bytes]], None],
        ring_done: Callable[[Iterable[bytes]], None],
    ) -> None:
        self._session = session
        self._schema = session.place.schema
        self._long = long
        self._outside = outside
        self._moved = moved
        self._ring_done = ring_done

    def dump(self, after: bytes | None, limit: int) -> list[Copied]:
        """Whole jobs by rising id, above ``after``."""
        storable.check_limit(limit)
        if after is not None:
            storable.check_id(after)
        return self._long.read(lambda c: dump(c, self._schema, after, limit))

    def load(self, jobs: Sequence[Copied]) -> list[Verdict]:
        """Store jobs as another store had them; a verdict for each."""
        self._outside()
        storable.check_copied(jobs)
        verdicts = load(self._session, self._schema, jobs)
        if "stored" in verdicts:
            self._moved([one.job.id for one in jobs])
        return verdicts

    def disown(self, jobs: Sequence[Copied], note: str, now: Millis | None = None) -> list[bool]:
        """Cancel what waits and was not touched since another store read it; which of them."""
        storable.check_copied(jobs)
        note = storable.readable(note)
        self._outside()
        took = self._session.write(lambda c: disown(c, self._schema, jobs, note, now))
        if any(took):
            self._ring_done([one.job.id for one in jobs])
        return took


def dump(connection: Connection, schema: str, after: bytes | None, limit: int) -> list[Copied]:
    """The next jobs above ``after``: at most ``limit``, fewer when they are large."""
    # One snapshot: a job with the attempts that it had at that moment.
    connection.execute(b"BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
    sizes = numbered(
        "SELECT id, length(args) + coalesce(length(result), 0) + coalesce((SELECT sum(length(failure)) "
        "FROM sidework.attempts WHERE job_id = id), 0) + coalesce((SELECT sum(length(body)) "
        "FROM sidework.notes WHERE job_id = id), 0) FROM sidework.jobs "
        f"WHERE {'true' if after is None else 'id > :after::uuid'} ORDER BY id LIMIT :limit::bigint",
        schema,
    )
    ids: list[bytes] = []
    size = 0
    given = {"after": Id(after or b""), "limit": limit}
    for id_, bytes_ in rows(connection, sizes, sizes.values(given)):
        ids.append(id_)
        size += bytes_
        if size >= DUMP_BYTES:
            break
    found = _read(connection, schema, ids)
    connection.execute(b"COMMIT")
    return [found[id_] for id_ in ids]


def load(session: Session, schema: str, jobs: Sequence[Copied]) -> list[Verdict]:
    """Store what is not there, in one transaction; a verdict for each."""
    for copied in jobs:
        if copied.job.state is State.RUNNING:
            raise StoreRefused(
                f"job {id_text(copied.job.id)} runs: it cannot be loaded, a claim holds in its own "
                "store only"
            )
    if not jobs:
        return []

    def work(connection: Connection) -> list[Verdict]:
        there = _read(connection, schema, [one.job.id for one in jobs])
        # Of one id the first counts, as if they were stored one after the other.
        new = {one.job.id: one for one in reversed(jobs) if one.job.id not in there}
        stored = _store(connection, schema, list(new.values()))
        if len(stored) < len(new):  # some came in between, or another job holds their unique key
            there |= _read(connection, schema, [id_ for id_ in new if id_ not in stored])
        reach("load: before commit")
        verdicts: list[Verdict] = []
        for one in jobs:
            if one.job.id in stored:
                stored.discard(one.job.id)
                there[one.job.id] = one
                verdicts.append("stored")
            elif (found := there.get(one.job.id)) is not None:
                verdicts.append(one.verdict(found))
            else:
                verdicts.append("conflict")
        return verdicts

    return session.write(work, again=True)


def disown(
    connection: Connection, schema: str, jobs: Sequence[Copied], note: str, now: Millis | None
) -> list[bool]:
    """Cancel each job that waits and has the fence it was read with."""
    sql = statement("disown", schema)
    values = {
        "id": Uuids(one.job.id for one in jobs),
        "fence": BigInts(one.job.fence for one in jobs),
        "note": note,
        "now": now,
    }
    took = {row[0] for row in rows(connection, sql, sql.values(values))}
    told = []
    for one in jobs:
        told.append(one.job.id in took)
        took.discard(one.job.id)  # said twice, it was done once
    return told


def _read(connection: Connection, schema: str, ids: Sequence[bytes]) -> dict[bytes, Copied]:
    jobs = numbered(
        f"SELECT {JOB_COLUMNS}, backoff FROM sidework.jobs WHERE id = ANY (:id::uuid[])", schema
    )
    told = numbered(
        f"SELECT {ATTEMPT_COLUMNS} FROM sidework.attempts WHERE job_id = ANY (:id::uuid[]) "
        "ORDER BY job_id, fence",
        schema,
    )
    attempts: dict[bytes, list[AttemptRow]] = {}
    for row in rows(connection, told, [Uuids(ids)]):
        attempts.setdefault(row[0], []).append(attempt_row(row))
    waits = numbered(
        f"SELECT {EDGE_COLUMNS} FROM sidework.edges WHERE child = ANY (:id::uuid[]) "
        "ORDER BY child, parent",
        schema,
    )
    edges: dict[bytes, list[Edge]] = {}
    for row in rows(connection, waits, [Uuids(ids)]):
        edges.setdefault(row[1], []).append(edge_row(row))
    said = numbered(
        f"SELECT {NOTE_COLUMNS} FROM sidework.notes WHERE job_id = ANY (:id::uuid[]) "
        "ORDER BY job_id, fence, number",
        schema,
    )
    notes: dict[bytes, list[NoteRow]] = {}
    for row in rows(connection, said, [Uuids(ids)]):
        notes.setdefault(row[0], []).append(NoteRow(*row))
    return {
        row[0]: Copied(
            job_row(row[:-1]),
            row[-1],
            tuple(attempts.get(row[0], ())),
            tuple(notes.get(row[0], ())),
            tuple(edges.get(row[0], ())),
        )
        for row in rows(connection, jobs, [Uuids(ids)])
    }


def _store(connection: Connection, schema: str, jobs: Sequence[Copied]) -> set[bytes]:
    """Which of them are stored now."""
    columns = {name: [getattr(one.job, name) for one in jobs] for name in _JOB if name != "backoff"}
    columns["backoff"] = [one.backoff for one in jobs]
    columns["state"] = [str(state) for state in columns["state"]]
    columns["tags"] = [msgspec.json.encode(tags).decode() for tags in columns["tags"]]
    sql = numbered(_insert("jobs", _JOB, "DO NOTHING RETURNING id"), schema)
    given = [kind(columns[name]) for name, kind in _JOB.items()]
    stored = {row[0] for row in rows(connection, sql, given)}
    attempts = {
        (row.job_id, row.fence): row for one in jobs if one.job.id in stored for row in one.attempts
    }.values()
    if attempts:
        changes = ", ".join(f"{name} = excluded.{name}" for name in _ATTEMPT)
        sql = numbered(
            _insert("attempts", _ATTEMPT, f"(job_id, fence) DO UPDATE SET {changes}"), schema
        )
        values = [kind(getattr(row, name) for row in attempts) for name, kind in _ATTEMPT.items()]
        rows(connection, sql, values)
    edges = [edge for one in jobs if one.job.id in stored for edge in one.edges]
    resolving.store(connection, schema, edges)
    notes = [note for one in jobs if one.job.id in stored for note in one.notes]
    if notes:
        sql = numbered(_insert("notes", _NOTE, "(job_id, fence, number) DO NOTHING"), schema)
        rows(
            connection,
            sql,
            [kind(getattr(row, name) for row in notes) for name, kind in _NOTE.items()],
        )
    return stored


def _insert(table: str, columns: dict[str, type[Column]], conflict: str) -> str:
    names = ", ".join(columns)
    arrays = ", ".join(f":{name}::{_TYPES[kind]}[]" for name, kind in columns.items())
    return (
        f"INSERT INTO sidework.{table} ({names}) SELECT {names} FROM unnest({arrays}) "
        f"AS new ({names}) ON CONFLICT {conflict}"
    )
