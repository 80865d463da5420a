"""What ``enqueue`` returns, as a protocol: ways to ask about a job. The client is behind it."""

from __future__ import annotations

from typing import Any, Protocol, TypeVar

from .duration import Duration
from .info import AttemptInfo, JobInfo
from .job import NewJob
from .outcome import Outcome
from .state import State

R = TypeVar("R")
R_co = TypeVar("R_co", covariant=True)


class JobHandle(Protocol[R_co]):
    """A stored job; ``R`` is what its task returns."""

    @property
    def id(self) -> str:
        """The job's id, a UUID as text."""
        ...

    @property
    def output(self) -> R_co:
        """Stands for the result among the arguments of other jobs, which wait for it. To a type checker
        it is the result; there is no value before that job runs."""
        ...

    @property
    def existing(self) -> bool:
        """Whether ``enqueue`` stored nothing, since this job held the unique key."""
        ...

    @property
    def state(self) -> State:
        """The state now; ``JobNotFound`` when the job is gone."""
        ...

    def info(self) -> JobInfo:
        """The job as it stands in the store."""
        ...

    def attempts(self) -> list[AttemptInfo]:
        """The attempts that did not complete, oldest first."""
        ...

    def result(self, timeout: Duration | None = None) -> R_co:
        """Wait for the job and return what its function returned.

        Raises ``WaitTimeout`` when it is not final in time (it goes on), ``JobFailed`` or
        ``JobCancelled`` when it ended without a result.
        """
        ...

    async def aresult(self, timeout: Duration | None = None) -> R_co:
        """``result`` for coroutines."""
        ...

    def wait(self, timeout: Duration | None = None) -> State:
        """Wait until the job is final; its state."""
        ...

    async def await_final(self, timeout: Duration | None = None) -> State:
        """``wait`` for coroutines."""
        ...

    def cancel(self) -> bool:
        """Cancel the job, or ask it when it runs; False when it was final."""
        ...

    def retry(self) -> bool:
        """Run a final job again; False when it is not final."""
        ...


class Enqueuer(Protocol):
    """Stores jobs that tasks have made, and what running ones end with; the app is one.

    ``returns`` is what the job's result will be. ``finish_on``: whether the outcome took, on the
    connection given; False when the claim was lost. ``url`` is the store's.
    """

    url: str

    def submit(self, job: NewJob, returns: Any, connection: Any) -> JobHandle[Any]: ...
    async def asubmit(self, job: NewJob, returns: Any, connection: Any) -> JobHandle[Any]: ...
    def finish_on(self, connection: Any, outcome: Outcome) -> bool: ...
    async def afinish_on(self, connection: Any, outcome: Outcome) -> bool: ...
