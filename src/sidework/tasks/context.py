"""What a running job can ask: which job it is, how long it may take, whether it should stop."""

from __future__ import annotations

from contextvars import ContextVar

from ..errors import SideworkError
from ..ids import id_text
from ..job import Claimed


class RunningJob:
    """The job that runs here: a view of its claim, made for every attempt and read by few."""

    __slots__ = ("_claim", "_should_stop", "deadline")

    def __init__(self, claim: Claimed) -> None:
        self._claim = claim
        self._should_stop = False
        self.deadline: float | None = None
        """When its time is over, in seconds of ``clock.monotonic``; ``None`` without a timeout."""

    @property
    def id(self) -> str:
        """The job's id, a UUID as text."""
        return id_text(self._claim.id)

    @property
    def task(self) -> str:
        """The task's name."""
        return self._claim.task

    @property
    def queue(self) -> str:
        """The queue that it was claimed from."""
        return self._claim.lane

    @property
    def attempt(self) -> int:
        """Which execution of the job this is, from 1."""
        return self._claim.attempt

    @property
    def max_attempts(self) -> int:
        """How many executions it may have: its retries and one."""
        return self._claim.max_attempts

    @property
    def fence(self) -> int:
        """The number of this claim: it grows at every claim of the job and never repeats."""
        return self._claim.fence

    @property
    def should_stop(self) -> bool:
        """Whether someone cancelled the job or its deadline passed: threads ask, then return."""
        return self._should_stop

    def ask_to_stop(self) -> None:
        """Raise the flag; from any thread."""
        self._should_stop = True


_current: ContextVar[RunningJob | None] = ContextVar("sidework_job", default=None)


def current_job() -> RunningJob:
    """The job whose code is running; ``SideworkError`` outside one."""
    job = _current.get()
    if job is None:
        raise SideworkError("current_job() was called outside a job")
    return job


set_current = _current.set
reset_current = _current.reset
