"""The desk of an app: where tasks hand jobs over, and running jobs their own ends."""

from __future__ import annotations

import threading
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from ..forking import forgets
from ..job import Inserted, NewJob
from ..outcome import Outcome
from ..tasks.importing import refuse_at_import
from ..tasks.task import Bound
from .chunks import accepted, counted, in_chunks, telling
from .handle import Handle

if TYPE_CHECKING:
    from .app import Sidework
    from .gathering import Gatherer


class Desk:
    """See ``handle.Enqueuer``. Whatever is handed over goes through the app's middleware to its store."""

    def __init__(self, app: Sidework) -> None:
        self.app = app
        self._lock = threading.Lock()
        self._gatherer: Gatherer | None = None
        forgets(self)

    def forget_in_child(self) -> None:
        """A thread that is not there may have held the lock."""
        self._lock = threading.Lock()

    def submit(self, job: NewJob, returns: Any, connection: Any) -> Handle[Any]:
        """Store a job that a task has made; on ``connection`` when one is given."""
        (inserted,) = self._insert([job], connection)
        return Handle(self.app, inserted.id, returns, existing=inserted.verdict == "unique")

    async def asubmit(self, job: NewJob, returns: Any, connection: Any) -> Handle[Any]:
        """``submit`` for coroutines: the event loop goes on, and callers that meet share a commit."""
        (inserted,) = await self._ainsert([job], connection)
        return Handle(self.app, inserted.id, returns, existing=inserted.verdict == "unique")

    def many(self, bound: Iterable[Bound[Any]]) -> int:
        """Store many jobs in chunks; how many."""
        stored = 0
        for chunk, connection in in_chunks(bound, self.app.url):
            with telling(chunk, stored):
                stored += counted(self._insert(chunk, connection))
        return stored

    async def amany(self, bound: Iterable[Bound[Any]]) -> int:
        """``many`` for coroutines."""
        stored = 0
        for chunk, connection in in_chunks(bound, self.app.url):
            with telling(chunk, stored):
                stored += counted(await self._ainsert(chunk, connection))
        return stored

    def finish_on(self, connection: Any, outcome: Outcome) -> bool:
        """Store a running job's own end on its connection; False when its claim was lost."""
        return self.app.store.finish_on(connection, outcome)

    async def afinish_on(self, connection: Any, outcome: Outcome) -> bool:
        """``finish_on`` for coroutines and their connections."""
        return await self.app.store.afinish_on(connection, outcome)

    def _insert(self, jobs: list[NewJob], connection: Any) -> list[Inserted]:
        refuse_at_import("enqueues a job")
        around = self.app.around
        if around.enqueues:
            with around.handing(jobs) as jobs:
                return self._store(jobs, connection)
        return self._store(jobs, connection)

    def _store(self, jobs: list[NewJob], connection: Any) -> list[Inserted]:
        store = self.app.store
        if connection is None:
            return accepted(store.insert(jobs))
        return accepted(store.insert_on(connection, jobs))

    async def _ainsert(self, jobs: list[NewJob], connection: Any) -> list[Inserted]:
        refuse_at_import("enqueues a job")
        around = self.app.around
        if around.enqueues:
            with around.handing(jobs) as jobs:
                return await self._astore(jobs, connection)
        return await self._astore(jobs, connection)

    async def _astore(self, jobs: list[NewJob], connection: Any) -> list[Inserted]:
        store = self.app.store
        if connection is None:
            store.outside()  # asked on this thread: the gatherer's own is in no transaction
            return accepted(await self._gather().insert(jobs))
        return accepted(await store.ainsert_on(connection, jobs))

    def _gather(self) -> Gatherer:
        with self._lock:
            if self._gatherer is None:
                from .gathering import Gatherer  # with asyncio: a third of what importing us costs

                self._gatherer = Gatherer(lambda rows: self.app.store.insert(rows))
            return self._gatherer
