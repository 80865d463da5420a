"""What a person does by hand to one job or one queue: a statement each."""

from __future__ import annotations

from typing import Any

import apsw

from ...clock import Millis
from .connection import statement
from .session import Session


class Controls:
    """Of one store."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def cancel(self, job_id: bytes, note: str, now: Millis) -> str | None:
        """The job's state now; ``None`` when it was final."""
        state: str | None = self._one("cancel", id=job_id, note=note, now=now)
        return state

    def retry(self, job_id: bytes, now: Millis) -> bool:
        """Whether the job was final, and is available again."""
        return self._one("retry", id=job_id, now=now) is not None

    def delete(self, job_id: bytes) -> bool:
        """Whether the job was final, and is gone with its attempts and notes."""

        def work(connection: apsw.Connection) -> bool:
            took = connection.execute(statement("delete"), {"id": job_id}).fetchone() is not None
            if took:
                connection.execute("DELETE FROM attempts WHERE job_id = ?", (job_id,))
                connection.execute("DELETE FROM notes WHERE job_id = ?", (job_id,))
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
