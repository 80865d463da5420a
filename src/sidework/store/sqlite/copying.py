"""Whole jobs out of the file and into it, with their attempts and notes, as they are."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import apsw
import msgspec

from ...clock import Millis, now_ms
from ...crashpoint import reach
from ...errors import StoreRefused
from ...ids import id_text
from ...job import Copied, Verdict
from ...state import State
from .. import storable
from ..copies import DUMP_BYTES
from .connection import statement
from .reading import attempts, notes
from .rows import ATTEMPT_COLUMNS, EDGE_COLUMNS, JOB_COLUMNS, NOTE_COLUMNS, edge_row, job_row
from .session import Session

_SELECT = f"SELECT {JOB_COLUMNS}, backoff FROM jobs"
_INSERT = (
    f"INSERT INTO jobs ({JOB_COLUMNS}, backoff) "
    f"VALUES ({', '.join('?' * (JOB_COLUMNS.count(',') + 2))}) ON CONFLICT DO NOTHING"
)
_INSERT_ATTEMPT = (
    f"INSERT OR REPLACE INTO attempts ({ATTEMPT_COLUMNS}) "
    f"VALUES ({', '.join('?' * (ATTEMPT_COLUMNS.count(',') + 1))})"
)
_INSERT_NOTE = (
    f"INSERT OR REPLACE INTO notes ({NOTE_COLUMNS}) "
    f"VALUES ({', '.join('?' * (NOTE_COLUMNS.count(',') + 1))})"
)


class Copies:
    """Of one store; ``long`` is for what may take a while. Who waits for work or for these jobs is told."""

    def __init__(
        self,
        session: Session,
        long: Session,
        outside: Callable[[], None],
        ring_work: Callable[[], None],
        ring_done: Callable[[Iterable[bytes]], None],
    ) -> None:
        self._session = session
        self._long = long
        self._outside = outside
        self._ring_work = ring_work
        self._ring_done = ring_done

    def dump(self, after: bytes | None, limit: int) -> list[Copied]:
        """Whole jobs by rising id, above ``after``."""
        storable.check_limit(limit)
        if after is not None:
            storable.check_id(after)
        return self._long.read(lambda c: dump(c, after, limit))

    def load(self, jobs: Sequence[Copied]) -> list[Verdict]:
        """Store jobs as another store had them; a verdict for each."""
        self._outside()
        storable.check_copied(jobs)
        verdicts = load(self._long, jobs)
        self._ring_work()
        return verdicts

    def disown(self, jobs: Sequence[Copied], note: str, now: Millis | None = None) -> list[bool]:
        """Cancel what waits and was not touched since another store read it; which of them."""
        storable.check_copied(jobs)
        note = storable.readable(note)
        self._outside()
        moment = now_ms() if now is None else now
        took = self._session.write(lambda c: disown(c, jobs, note, moment))
        self._ring_done([one.job.id for one in jobs])
        return took


def dump(connection: apsw.Connection, after: bytes | None, limit: int) -> list[Copied]:
    """The next jobs above ``after``: at most ``limit``, fewer when they are large."""
    # While this statement is open, those of the attempts see the same snapshot.
    rows = connection.execute(f"{_SELECT} WHERE id > ? ORDER BY id LIMIT ?", (after or b"", limit))
    page, size = list[Copied](), 0
    try:
        for row in rows:
            page.append(_copied(connection, row))
            size += page[-1].size
            if size >= DUMP_BYTES:
                break
    finally:
        rows.close()
    return page


def load(session: Session, jobs: Sequence[Copied]) -> list[Verdict]:
    """Store what is not there, in one transaction; a verdict for each."""
    for copied in jobs:
        if copied.job.state is State.RUNNING:
            raise StoreRefused(
                f"job {id_text(copied.job.id)} runs: it cannot be loaded, a claim holds in its own "
                "store only"
            )

    def look(connection: apsw.Connection) -> list[Verdict]:
        return [_verdict(connection, one) for one in jobs]

    verdicts = session.read(look)
    missing = [at for at, verdict in enumerate(verdicts) if verdict == "stored"]

    def work(connection: apsw.Connection) -> list[Verdict]:
        done: list[Verdict] = [_store(connection, jobs[at]) for at in missing]
        reach("load: before commit")
        return done

    if missing:  # else nobody waits for a write that writes nothing
        for at, verdict in zip(missing, session.write(work), strict=True):
            verdicts[at] = verdict
    return verdicts


def disown(
    connection: apsw.Connection, jobs: Sequence[Copied], note: str, now: Millis
) -> list[bool]:
    """Cancel each job that waits and has the fence it was read with."""
    took = []
    for copied in jobs:
        values = {"id": copied.job.id, "fence": copied.job.fence, "note": note, "now": now}
        connection.execute(statement("disown"), values)
        took.append(connection.changes() == 1)
        if took[-1]:  # what follows from its end, follows in the other store
            connection.execute("UPDATE edges SET done = 1 WHERE parent = ?", (copied.job.id,))
    return took


def _copied(connection: apsw.Connection, row: Any) -> Copied:
    *job, backoff = row
    waits = connection.execute(
        f"SELECT {EDGE_COLUMNS} FROM edges WHERE child = ? ORDER BY parent", row[:1]
    )
    return Copied(
        job_row(tuple(job)),
        backoff,
        tuple(attempts(connection, row[0])),
        tuple(notes(connection, row[0])),
        tuple(edge_row(one) for one in waits),
    )


def _verdict(connection: apsw.Connection, copied: Copied) -> Verdict:
    """What it is to be, by what is there: ``stored`` when nothing is. Another job that holds its unique key
    is in its way."""
    row: Any = connection.execute(f"{_SELECT} WHERE id = ?", (copied.job.id,)).fetchone()
    if row is not None:
        return copied.verdict(_copied(connection, row))
    held: Any = connection.execute(
        "SELECT 1 FROM jobs INDEXED BY jobs_unique WHERE unique_key = ?", (copied.job.unique_key,)
    ).get
    return "stored" if held is None else "conflict"


def _store(connection: apsw.Connection, copied: Copied) -> Verdict:
    connection.execute(_INSERT, (*_job_values(copied), copied.backoff))
    if connection.changes() == 0:
        return _verdict(connection, copied)  # it came in between
    rows = [msgspec.structs.astuple(one) for one in copied.attempts]
    connection.executemany(_INSERT_ATTEMPT, rows)
    edges = [msgspec.structs.astuple(one) for one in copied.edges]
    connection.executemany(statement("insert_edges"), edges)
    told = [msgspec.structs.astuple(one) for one in copied.notes]
    connection.executemany(_INSERT_NOTE, told)
    return "stored"


def _job_values(copied: Copied) -> tuple[Any, ...]:
    """In the order of ``JOB_COLUMNS``, which is that of ``JobRow``."""
    job = msgspec.structs.asdict(copied.job)
    job["tags"] = msgspec.json.encode(job["tags"]).decode()
    job["state"] = str(job["state"])
    job["cancel_requested"] = int(job["cancel_requested"])
    return tuple(job.values())
