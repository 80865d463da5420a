"""What a running job can ask: which job it is, how long it may take, whether it should stop."""

from __future__ import annotations

import threading
from contextvars import ContextVar

from ..errors import SideworkError


class RunningJob:
    """The job that runs here. ``id`` is a UUID as text; ``deadline`` is on ``clock.monotonic``."""

    def __init__(
        self,
        id: str,
        task: str,
        queue: str,
        attempt: int,
        max_attempts: int,
        fence: int,
        deadline: float | None,
    ) -> None:
        self.id = id
        self.task = task
        self.queue = queue
        self.attempt = attempt
        self.max_attempts = max_attempts
        self.fence = fence
        self.deadline = deadline
        self._stop = threading.Event()

    @property
    def should_stop(self) -> bool:
        """Whether someone cancelled the job or its deadline passed: threads ask, then return."""
        return self._stop.is_set()

    def ask_to_stop(self) -> None:
        """Raise the flag."""
        self._stop.set()


_current: ContextVar[RunningJob | None] = ContextVar("sidework_job", default=None)


def current_job() -> RunningJob:
    """The job whose code is running; ``SideworkError`` outside one."""
    job = _current.get()
    if job is None:
        raise SideworkError("current_job() was called outside a job")
    return job


set_current = _current.set
reset_current = _current.reset
