"""What ``enqueue`` returns, as a protocol: ways to ask about a job. The client is behind it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from .duration import Duration
from .event import Event, Progress
from .info import AttemptInfo, JobInfo
from .job import NewJob
from .outcome import Outcome
from .state import State

if TYPE_CHECKING:
    from concurrent.futures import Future

R = TypeVar("R")
R_co = TypeVar("R_co", covariant=True)


class Events(Protocol):
    """Events, for ``for`` and ``async for``; each iteration begins anew."""

    def __iter__(self) -> Iterator[Event]: ...
    def __aiter__(self) -> AsyncIterator[Event]: ...


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

    @property
    def progress(self) -> Progress | None:
        """How far it last said it was; ``None`` when it has not."""
        ...

    def events(self, after: str | None = None) -> Events:
        """What has happened to the job and what happens, in order, until it is final: for ``for`` and
        ``async for``. ``after``: only what comes behind the ``position`` of an event; ``PositionPruned``
        when not all of that is kept any more."""
        ...

    def future(self: JobHandle[R]) -> Future[R]:
        """A future of its result, for whatever takes one. To cancel it does not cancel the job."""
        ...

    def add_done_callback(self: JobHandle[R], callback: Callable[[JobHandle[R]], object]) -> None:
        """Call it with this handle once the job is final, in this process, on a thread that the app has for
        that. An error of it is logged. What has to outlive this process is a job's
        ``on_final``."""
        ...

    def cancel(self) -> bool:
        """Cancel the job, or ask it when it runs; False when it was final."""
        ...

    def retry(self) -> bool:
        """Run a final job again; False when it is not final."""
        ...


class Enqueuer(Protocol):
    """Stores jobs that tasks of ``app`` have made, and what running ones end with.

    ``returns`` is what the job's result will be. ``finish_on``: whether the outcome took, on the
    connection given; False when the claim was lost.
    """

    @property
    def app(self) -> Any: ...
    def submit(self, job: NewJob, returns: Any, connection: Any) -> JobHandle[Any]: ...
    async def asubmit(self, job: NewJob, returns: Any, connection: Any) -> JobHandle[Any]: ...
    def finish_on(self, connection: Any, outcome: Outcome) -> bool: ...
    async def afinish_on(self, connection: Any, outcome: Outcome) -> bool: ...
