"""What an app says of its queues and tasks as a whole: limits, and switches to hold them back."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..errors import BadValue
from ..job import check_limit, check_queue
from ..tasks.naming import whole_name
from ..tasks.registry import Registry
from ..tasks.task import Task
from ..url import shown

if TYPE_CHECKING:
    from ..store.protocol import Store


class Switches:
    """The part of ``Sidework`` that is about queues and tasks, not jobs."""

    registry: Registry
    url: str

    @property
    def store(self) -> Store:
        """The app's."""
        raise NotImplementedError

    def queue(self, name: str, *, limit: int | None = None) -> QueueSwitch:
        """A queue, to limit or to pause. ``limit``: at most so many of its jobs run at a time, over all
        workers; they learn of it when they start. What ``sidework queues limit`` sets stands until the
        number in the code changes. ``BadValue`` for a name or limit that cannot be."""
        check_queue(name)
        if limit is not None:
            self.registry.limit(name, check_limit(limit))
        return QueueSwitch(self, name)

    def switch(self, task: Task[Any, Any, Any] | str) -> TaskSwitch:
        """A task's switch, to pause it; by the task or its name, one of this app's also without the module.
        ``BadValue`` for what means none, or several."""
        if isinstance(task, Task):
            return TaskSwitch(self, self._own(task).name)
        if not isinstance(task, str):
            raise BadValue(f"switch({task!r}): expected a task, or its name")
        return TaskSwitch(self, whole_name(task, self.registry.names()))

    def _own(self, task: Task[Any, Any, Any]) -> Task[Any, Any, Any]:
        """The task, as long as its jobs are in the app's store."""
        if task.app.url != self.url:
            raise BadValue(f"{task!r} is of {shown(task.app.url)}, not of {shown(self.url)}")
        return task


class QueueSwitch:
    """Holds back a queue, for all workers."""

    def __init__(self, app: Switches, name: str) -> None:
        self._app = app
        self.name = name

    def pause(self, why: str = "", by: str = "code") -> None:
        """Let what runs end, and start nothing more; ``why`` and ``by`` are told to whoever asks."""
        self._app.store.pause(self.name, by, why)

    def resume(self) -> bool:
        """Go on; False when it was not paused."""
        return self._app.store.resume(self.name)

    @property
    def paused(self) -> bool:
        """Whether it is."""
        return self._app.store.switch(self.name).paused_at is not None


class TaskSwitch:
    """Holds back a task, for all workers."""

    def __init__(self, app: Switches, name: str) -> None:
        self._app = app
        self.name = name

    def pause(self, why: str = "", by: str = "code") -> None:
        """Let what runs end, and start nothing more; ``why`` and ``by`` are told to whoever asks."""
        self._app.store.limits.pause(self.name, by, why)

    def resume(self) -> bool:
        """Go on, with what waits in its order; False when it was not paused."""
        return self._app.store.limits.resume(self.name)

    @property
    def paused(self) -> bool:
        """Whether it is."""
        return any(one.name == self.name for one in self._app.store.limits.paused())
