"""What narrows a queue or holds back a task: its verbs in the protocol's order (what claims make of it:
``claiming``)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import apsw

from ...clock import Millis, now_ms
from ...crashpoint import reach
from ...job import PausedTask
from .. import storable
from .connection import statement
from .inserts import MOST_ROWS
from .session import Session


class Limits:
    """Of one store. ``outside`` refuses a thread that is in a transaction; ``ring`` tells workers."""

    def __init__(
        self, session: Session, outside: Callable[[], None], ring: Callable[[], None]
    ) -> None:
        self._session = session
        self._outside = outside
        self._ring = ring

    def limit(self, queue: str, most: int | None) -> None:
        """So many jobs of the queue run at a time; those that run count, and end."""
        storable.check_name(queue, "queue")
        storable.check_most(most)
        self._change("limit", name=queue, most=most)

    def declare(self, queue: str, most: int) -> bool:
        """``limit``, if it is not what was declared last; whether it was not."""
        storable.check_name(queue, "queue")
        storable.check_most(most)
        said: Any = self._session.read(
            lambda c: c.execute("SELECT declared FROM queues WHERE name = ?", (queue,)).get
        )
        return said != most and self._change("declare", name=queue, most=most) > 0

    def running(self, queue: str) -> int:
        """How many jobs of the queue run now."""
        storable.check_name(queue, "queue")
        found: Any = self._session.read(
            lambda c: c.execute(statement("running"), {"lane": queue}).get
        )
        return int(found)

    def pause(self, task: str, by: str, why: str, now: Millis | None = None) -> None:
        """Start nothing more of the task; what runs ends."""
        storable.check_name(task, "task")
        by, why = storable.readable(by), storable.readable(why)
        moment = now_ms() if now is None else now
        self._change("pause_task", name=task, by=by, why=why, now=moment)

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
        sql = "SELECT name, at, by, why FROM paused_tasks ORDER BY name"
        return self._session.read(lambda c: [PausedTask(*row) for row in c.execute(sql)])

    def bring_back(self, limit: int) -> int:
        """Of open tasks, make what was set aside available, at most so many; how many."""
        storable.check_limit(limit)
        back = 0
        tasks: list[Any] = self._session.read(lambda c: c.execute(statement("aside")).fetchall())
        for (task,) in tasks:
            if back < limit:
                back += self._bring_back(task, min(MOST_ROWS, limit - back))
        return back

    def _bring_back(self, task: str, limit: int) -> int:
        return self._change("bring_back", task=task, limit=limit)

    def _change(self, verb: str, **values: Any) -> int:
        """How many rows the verb changed."""
        self._outside()

        def work(connection: apsw.Connection) -> int:
            return len(connection.execute(statement(verb), values).fetchall())

        changed = self._session.write(work)
        if changed:
            self._ring()
        return changed
