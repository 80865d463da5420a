"""What narrows a queue or holds back a task: its verbs in the protocol's order (what claims make of it:
``taking``)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ...clock import Millis
from ...crashpoint import reach
from ...job import PausedTask
from .. import storable
from .connection import Connection, numbered, rows, statement
from .inserts import MOST_ROWS
from .session import Session


class Limits:
    """Of one store. ``outside`` refuses a thread that is in a transaction; ``ring`` tells workers."""

    def __init__(
        self, session: Session, outside: Callable[[], None], ring: Callable[[], None]
    ) -> None:
        self._session = session
        self._schema = session.place.schema
        self._outside = outside
        self._ring = ring

    def limit(self, queue: str, most: int | None) -> None:
        """So many jobs of the queue run at a time; those that run count, and end."""
        storable.check_name(queue, "queue")
        storable.check_most(most)
        self._between_turns("limit", name=queue, most=most)

    def declare(self, queue: str, most: int) -> bool:
        """``limit``, if it is not what was declared last; whether it was not."""
        storable.check_name(queue, "queue")
        storable.check_most(most)
        # Looked at first: a worker that starts stops no turn of others to say what is known.
        sql = numbered("SELECT declared FROM sidework.queues WHERE name = :name", self._schema)
        said = self._session.one(sql, [queue], again=True)
        return said != [(most,)] and self._between_turns("declare", name=queue, most=most) > 0

    def running(self, queue: str) -> int:
        """How many jobs of the queue run now."""
        storable.check_name(queue, "queue")
        ((found,),) = self._session.one(statement("running", self._schema), [queue], again=True)
        return int(found)

    def pause(self, task: str, by: str, why: str, now: Millis | None = None) -> None:
        """Start nothing more of the task; what runs ends."""
        storable.check_name(task, "task")
        by, why = storable.readable(by), storable.readable(why)
        self._change("pause_task", name=task, by=by, why=why, now=now)

    def resume(self, task: str) -> bool:
        """Open the task again, and bring back what was set aside; False when it was not paused."""
        storable.check_name(task, "task")
        took = self._change("resume_task", name=task) > 0
        reach("resume: committed")
        while self._bring_back(task, MOST_ROWS) == MOST_ROWS:
            pass
        return took

    def paused(self) -> list[PausedTask]:
        """The tasks that are paused, by name."""
        sql = numbered(
            "SELECT name, at, by, why FROM sidework.paused_tasks ORDER BY name", self._schema
        )
        return [PausedTask(*row) for row in self._session.one(sql, [], again=True)]

    def bring_back(self, limit: int) -> int:
        """Of open tasks, make what was set aside available, at most so many; how many."""
        storable.check_limit(limit)
        back = 0
        for (task,) in self._session.one(statement("aside", self._schema), [], again=True):
            if back < limit:
                back += self._bring_back(task, min(MOST_ROWS, limit - back))
        return back

    def _bring_back(self, task: str, limit: int) -> int:
        return self._change("bring_back", task=task, limit=limit)

    def _change(self, verb: str, **values: Any) -> int:
        """How many rows the verb changed."""
        self._outside()
        sql = statement(verb, self._schema)
        return self._told(len(self._session.one(sql, sql.values(values))))

    def _between_turns(self, verb: str, **values: Any) -> int:
        """The same while no turn claims (``gate.sql``)."""
        self._outside()

        def work(connection: Connection) -> int:
            rows(connection, statement("gate", self._schema), [])
            sql = statement(verb, self._schema)
            return len(rows(connection, sql, sql.values(values)))

        return self._told(self._session.write(work))

    def _told(self, changed: int) -> int:
        if changed:
            self._ring()
        return changed
