"""What a person does by hand to one job or one queue: a statement each."""

from __future__ import annotations

from typing import Any

from ...clock import Millis
from ...errors import StoreRefused
from ...ids import id_text
from ..calling import refuse_unread
from . import resolving
from .arrays import Id
from .connection import Connection, rows, statement
from .flows import Flows
from .resolving import NOTHING, Followed
from .session import Session


class Controls:
    """Of one store."""

    def __init__(self, session: Session, flows: Flows) -> None:
        self._session = session
        self._flows = flows
        self._schema = session.place.schema

    def cancel(self, job_id: bytes, note: str, now: Millis | None) -> str | None:
        """The job's state now; ``None`` when it was final."""

        def work(connection: Connection) -> tuple[str | None, Followed]:
            found = self._ask(connection, "cancel", id=Id(job_id), note=note, now=now)
            state = found[0][0] if found else None
            if state != "cancelled":
                return state, NOTHING
            return state, resolving.follow(connection, self._schema, [job_id], now)

        state, followed = self._session.write(work)
        self._flows.go_on(followed, now)
        return state

    def retry(self, job_id: bytes, now: Millis | None) -> bool:
        """Whether the job was final, and is live again; ``StoreRefused`` where its callbacks cannot be
        read."""

        def work(connection: Connection) -> tuple[bool, Followed]:
            # Before the callbacks are looked at: else it might end in between, and they would be lost.
            self._ask(connection, "hold", id=Id(job_id))
            # By an end that nobody has followed yet.
            refuse_unread(resolving.call(connection, self._schema, [job_id], now).unread)
            if not self._ask(connection, "retry", id=Id(job_id), now=now):
                return False, NOTHING
            parents = resolving.reopen(connection, self._schema, job_id)
            # Once more: one of them may have ended meanwhile.
            return True, resolving.follow(connection, self._schema, parents, now)

        took, followed = self._session.write(work)
        self._flows.go_on(followed, now)
        return took

    def delete(self, job_id: bytes) -> bool:
        """Whether the job was final, and is gone with its attempts; ``StoreRefused`` while one that is
        live takes its output."""

        def work(connection: Connection) -> bool:
            self._ask(connection, "hold_whole", id=Id(job_id))  # as for a retry
            # By an end that nobody has followed yet.
            resolving.call(connection, self._schema, [job_id], None)
            if not self._ask(connection, "delete", id=Id(job_id)):
                return False
            child = resolving.needed_by(connection, self._schema, job_id)
            if child is not None:
                raise StoreRefused(
                    f"job {id_text(job_id)} is an input of job {id_text(child)}, which is live: cancel "
                    "that one first"
                )
            return True

        return self._session.write(work)

    def pause(self, queue: str, by: str, why: str, now: Millis | None) -> None:
        """Close the queue's lanes."""
        self._one("pause", name=queue, by=by, why=why, now=now)

    def resume(self, queue: str) -> bool:
        """Whether the queue was paused, and is open again."""
        return self._one("resume", name=queue) is not None

    def _ask(self, connection: Connection, verb: str, **values: Any) -> list[tuple[Any, ...]]:
        sql = statement(verb, self._schema)
        return rows(connection, sql, sql.values(values))

    def _one(self, verb: str, **values: Any) -> Any:
        """What the verb's one row says; ``None`` when there was nothing to do."""
        sql = statement(verb, self._schema)
        found = self._session.one(sql, sql.values(values))
        return found[0][0] if found else None
