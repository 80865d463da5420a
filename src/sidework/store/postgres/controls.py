"""What a person does by hand to one job or one queue: a statement each."""

from __future__ import annotations

from typing import Any

from ...clock import Millis
from .arrays import Id
from .connection import statement
from .session import Session


class Controls:
    """Of one store."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._schema = session.place.schema

    def cancel(self, job_id: bytes, note: str, now: Millis | None) -> str | None:
        """The job's state now; ``None`` when it was final."""
        state: str | None = self._one("cancel", id=Id(job_id), note=note, now=now)
        return state

    def retry(self, job_id: bytes, now: Millis | None) -> bool:
        """Whether the job was final, and is available again."""
        return self._one("retry", id=Id(job_id), now=now) is not None

    def delete(self, job_id: bytes) -> bool:
        """Whether the job was final, and is gone with its attempts."""
        return self._one("delete", id=Id(job_id)) is not None

    def pause(self, queue: str, by: str, why: str, now: Millis | None) -> None:
        """Close the queue's lanes."""
        self._one("pause", name=queue, by=by, why=why, now=now)

    def resume(self, queue: str) -> bool:
        """Whether the queue was paused, and is open again."""
        return self._one("resume", name=queue) is not None

    def _one(self, verb: str, **values: Any) -> Any:
        """What the verb's one row says; ``None`` when there was nothing to do."""
        sql = statement(verb, self._schema)
        found = self._session.one(sql, sql.values(values))
        return found[0][0] if found else None
