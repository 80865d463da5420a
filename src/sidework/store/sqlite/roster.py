"""Who claims, and whether they live: workers come, go, and are found dead; what they held comes back."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

import apsw
import msgspec

from ...clock import Millis
from ...crashpoint import reach
from ...job import Held, WorkerRow
from . import claiming
from .connection import statement
from .flows import Flows
from .life import Life, is_dead
from .resolving import Followed
from .session import Session

_MOST_ROWS = 500


class Roster:
    """The workers of one store. Rows hold the *name* of a life file, which each process looks for beside
    its own database: two containers may see one volume under two paths."""

    def __init__(self, session: Session, flows: Flows) -> None:
        self._session = session
        self._flows = flows
        self._folder = os.path.realpath(session.path) + "-workers"
        self._lives: dict[int, Life] = {}

    def register(self, host: str, pid: int, queues: Sequence[str], now: Millis) -> WorkerRow:
        """A new row and its life; takes over what a life of this process holds that lost its file."""
        life = Life(self._folder, os.urandom(4).hex())
        lost = [worker for worker, old in self._lives.items() if not old.is_there()]
        values = (_draw(), host, pid, life.name, now, msgspec.json.encode(list(queues)).decode())

        def work(connection: apsw.Connection) -> WorkerRow:
            row: Any = connection.execute(statement("register"), values).fetchone()
            for worker in lost:
                connection.execute(statement("take_over"), {"worker": row[0], "lost": worker})
                connection.execute("DELETE FROM workers WHERE id = ?", (worker,))
            return self._row(row)

        try:
            made = self._session.write(work)
        except BaseException:
            life.close()
            raise
        for worker in lost:
            self._lives.pop(worker).close()
        self._lives[made.id] = life
        return made

    def held(self, worker: int) -> list[Held] | None:
        """What the worker is believed to run; ``None`` when it is not known (any more), or would soon be
        taken for dead, since its life file is gone: then it has to register again."""
        life = self._lives.get(worker)
        if life is not None and not life.is_there():
            return None

        def work(connection: apsw.Connection) -> list[Held] | None:
            known: Any = connection.execute("SELECT 1 FROM workers WHERE id = ?", (worker,)).get
            if known is None:
                return None
            return [Held(*row) for row in connection.execute(statement("held"), {"worker": worker})]

        return self._session.read(work)

    def retire(self, worker: int, now: Millis) -> None:
        """The worker leaves in good order; whatever it still held is rescued, now or by another."""
        known = True
        try:
            self._rescue_from(worker, now)
            known = False
        finally:
            life = self._lives.pop(worker, None)
            if life is not None:
                life.close(remove=not known)

    def workers(self) -> list[WorkerRow]:
        """The workers that have registered and did not leave in good order; which of them live."""
        sql = "SELECT id, host, pid, life, started_at, queues FROM workers ORDER BY id"
        return self._session.read(lambda c: [self._row(row) for row in c.execute(sql)])

    def rescue(self, now: Millis) -> int:
        """Bring back the jobs of workers whose processes are all dead, and of those that nobody knows."""
        dead = [one.id for one in self.workers() if not one.alive]
        # A worker is known before its first claim, so whoever holds jobs in this snapshot and is not
        # in it was there and is gone.
        strangers: list[Any] = self._session.read(
            lambda connection: connection.execute(statement("strangers")).fetchall()
        )
        gone = [*dead, *(row[0] for row in strangers)]
        return sum(self._rescue_from(worker, now) for worker in gone)

    def _rescue_from(self, worker: int, now: Millis) -> int:
        """In bounded steps, the last of which forgets the worker."""
        rescued = 0
        while True:
            ids, followed, name = self._session.write(
                lambda connection: _rescue_step(connection, worker, now)
            )
            if ids:
                reach("rescue: committed")
                self._flows.rescued(ids)
            self._flows.go_on(followed, now)
            rescued += len(ids)
            if len(ids) < _MOST_ROWS:
                break
        if name is not None and worker not in self._lives:
            try:
                os.unlink(os.path.join(self._folder, name))
            except FileNotFoundError:
                pass  # another rescuer was faster, or it was gone before
        return rescued

    def _row(self, row: tuple[Any, ...]) -> WorkerRow:
        id_, host, pid, name, started, queues = row
        life = None if name is None else os.path.join(self._folder, name)
        served = msgspec.json.decode(queues, type=tuple[str, ...])
        alive = life is not None and not is_dead(life)
        return WorkerRow(id_, host, pid, life, started, served, alive)


def _draw() -> int:
    """A worker's number, of 40 bits: short enough to read, too many to meet one again."""
    return int.from_bytes(os.urandom(5), "big") + 1


def _rescue_step(
    connection: apsw.Connection, worker: int, now: Millis
) -> tuple[list[bytes], Followed, str | None]:
    ids, followed = claiming.rescue(connection, worker, _MOST_ROWS, now)
    if len(ids) == _MOST_ROWS:
        return ids, followed, None
    name: Any = connection.execute("DELETE FROM workers WHERE id = ? RETURNING life", (worker,)).get
    return ids, followed, name
