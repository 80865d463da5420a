"""What an app is asked about its jobs."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import datetime
from typing import TYPE_CHECKING, Any, cast
from uuid import UUID

from ..errors import BadValue, JobNotFound
from ..handle import Events, JobHandle
from ..ids import id_text, parse_id
from ..info import JobInfo
from ..job import JobFilter, check_queue
from ..state import State
from ..tasks.task import Task
from ..url import shown
from .handle import Handle
from .switches import Switches

if TYPE_CHECKING:
    from .app import Sidework
    from .periodics import PeriodicEntry
    from .workflow import Workflow

_PAGE = 200

TaskName = Task[Any, Any, Any] | str


class Asking(Switches):
    """The part of ``Sidework`` that looks at jobs."""

    url: str

    def job(self, job_id: str | UUID) -> JobHandle[Any]:
        """The handle of a job by its id; ``JobNotFound`` when there is none. Its result is typed by
        its task where that is known here."""
        raw = parse_id(job_id)
        (row,) = self.store.get([raw])
        if row is None:
            raise JobNotFound(f"there is no job {id_text(raw)} in {shown(self.url)}")
        task = self.registry.find(row.task)
        return Handle(cast("Sidework", self), raw, Any if task is None else task.signature.returns)

    def workflow(self, job_id: str | UUID) -> Workflow:
        """The whole that a job is part of: whom it waits for, who waits for it, and so on. ``JobNotFound``
        when there is no such job."""
        from .workflow import Workflow

        return Workflow(self, parse_id(self.job(job_id).id))

    def jobs(
        self,
        *,
        state: State | str | Iterable[State | str] = (),
        queue: str | Iterable[str] = (),
        task: TaskName | Iterable[TaskName] = (),
        tag: str | None = None,
    ) -> Iterator[JobInfo]:
        """Jobs that fit, by falling id: newest first, since ids are made in the order of time (one that
        was given by hand stands where it sorts). Read in pages, stable while others enqueue."""
        try:
            states = tuple(State(one) for one in several(state, "state"))
        except ValueError as wrong:
            raise BadValue(f"{wrong}; states are: {', '.join(State)}") from None
        want = JobFilter(states=states, lanes=_queues(queue), tasks=self._tasks(task), tag=tag)
        before: bytes | None = None
        while True:
            page = self.store.page(want, before, _PAGE)
            yield from map(JobInfo, page)
            if len(page) < _PAGE:
                return
            before = page[-1].id

    def events(
        self,
        *,
        task: TaskName | Iterable[TaskName] = (),
        queue: str | Iterable[str] = (),
        kinds: str | Iterable[str] = (),
        since: datetime | str | None = None,
    ) -> Events:
        """What happens to the jobs that fit, from now on or ``since`` a moment, or behind the ``position`` of
        such an event: for ``for`` and ``async for``, without an end. Of each job in order."""
        from .feed import AppEvents

        return AppEvents(
            cast("Sidework", self),
            self._tasks(task),
            _queues(queue),
            several(kinds, "kinds"),
            since,
        )

    def periodics(self) -> list[PeriodicEntry]:
        """What the clock enqueues, as it stands in the store, by name; workers put it there."""
        from .periodics import PeriodicEntry

        return [PeriodicEntry(cast("Sidework", self), row) for row in self.store.periodics.all()]

    def periodic_entry(self, name: str) -> PeriodicEntry:
        """The periodic of that name; ``PeriodicNotFound`` when no worker has declared it yet."""
        from .periodics import PeriodicEntry, not_found

        row = self.store.periodics.get(name)
        if row is None:
            raise not_found(name, self.url)
        return PeriodicEntry(cast("Sidework", self), row)

    def _tasks(self, given: TaskName | Iterable[TaskName]) -> tuple[str, ...]:
        """The names of tasks, however they are given."""
        tasks = (given,) if isinstance(given, Task) or not isinstance(given, Iterable) else given
        if isinstance(tasks, str):
            return (tasks,)
        return several(
            [self._own(one).name if isinstance(one, Task) else one for one in tasks], "task"
        )


def _queues(given: str | Iterable[str]) -> tuple[str, ...]:
    """Names that queues may have, or ``BadValue``."""
    return tuple(check_queue(one) for one in several(given, "queue"))


def several(given: str | Iterable[str], name: str) -> tuple[str, ...]:
    """One text or several, as several; ``BadValue`` for anything else."""
    texts = (given,) if isinstance(given, str) or not isinstance(given, Iterable) else tuple(given)
    for one in texts:
        if not isinstance(one, str):
            raise BadValue(f"{name}={one!r}: expected a name, or several")
    return texts
