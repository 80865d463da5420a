"""What a person does by hand to one job or one queue: a statement each."""

from __future__ import annotations

from typing import Any

import apsw

from ...clock import Millis
from ...errors import StoreRefused
from ...ids import id_text
from ..calling import refuse_unread
from . import resolving
from .connection import statement
from .flows import Flows
from .resolving import NOTHING, Followed
from .session import Session

_GOES_ALONG = (
    "DELETE FROM attempts WHERE job_id = ?",
    "DELETE FROM notes WHERE job_id = ?",
    "DELETE FROM edges WHERE child = ?",
)


class Controls:
    """Of one store."""

    def __init__(self, session: Session, flows: Flows) -> None:
        self._session = session
        self._flows = flows

    def cancel(self, job_id: bytes, note: str, now: Millis) -> str | None:
        """The job's state now; ``None`` when it was final."""
        values = {"id": job_id, "note": note, "now": now}

        def work(connection: apsw.Connection) -> tuple[str | None, Followed]:
            row: Any = connection.execute(statement("cancel"), values).fetchone()
            state = None if row is None else row[0]
            over = state == "cancelled"
            return state, resolving.follow(connection, [job_id], now) if over else NOTHING

        state, followed = self._session.write(work)
        self._flows.go_on(followed, now)
        return state

    def retry(self, job_id: bytes, now: Millis) -> bool:
        """Whether the job was final, and is live again; ``StoreRefused`` where its callbacks cannot be
        read."""
        values = {"id": job_id, "now": now}

        def work(connection: apsw.Connection) -> bool:
            _, unread = resolving.call(
                connection, job_id, now
            )  # by an end that nobody has followed yet
            refuse_unread(unread)
            took = connection.execute(statement("retry"), values).fetchone() is not None
            if took:
                resolving.reopen(connection, job_id)
            return took

        return self._session.write(work)

    def delete(self, job_id: bytes, now: Millis) -> bool:
        """Whether the job was final, and is gone with its attempts and notes; ``StoreRefused`` while one
        that is live takes its output."""

        def work(connection: apsw.Connection) -> bool:
            resolving.call(connection, job_id, now)  # by an end that nobody has followed yet
            took = connection.execute(statement("delete"), {"id": job_id}).fetchone() is not None
            if took:
                child = resolving.needed_by(connection, job_id)
                if child is not None:
                    raise StoreRefused(
                        f"job {id_text(job_id)} is an input of job {id_text(child)}, which is live: cancel "
                        "that one first"
                    )
                for sql in _GOES_ALONG:
                    connection.execute(sql, (job_id,))
            return took

        return self._session.write(work)

    def pause(self, queue: str, by: str, why: str, now: Millis) -> None:
        """Close the queue's lanes."""
        self._one("pause", name=queue, by=by, why=why, now=now)

    def resume(self, queue: str) -> bool:
        """Whether the queue was paused, and is open again."""
        return self._one("resume", name=queue) is not None

    def _one(self, verb: str, **values: Any) -> Any:
        """What the verb's one row says; ``None`` when there was nothing to do."""

        def work(connection: apsw.Connection) -> Any:
            row = connection.execute(statement(verb), values).fetchone()
            return None if row is None else row[0]

        return self._session.write(work)
