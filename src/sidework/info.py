"""A job and its attempts as a person or a program reads them: plain types, times in UTC.

The store keeps bytes and milliseconds (``job.JobRow``); nothing here asks the store again.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import msgspec

from .clock import Millis, to_datetime
from .codec import FORMAT_JSON
from .ids import id_text
from .inputs import shown, takes_inputs
from .job import AttemptRow, JobRow, OnCrash, Runner
from .outcome import Failure, decode_failure
from .state import State


def _moment(millis: Millis | None) -> datetime | None:
    return None if millis is None else to_datetime(millis)


def plain(raw: bytes | None) -> Any:
    """What was stored, as JSON values; the bytes themselves in a format that is not known here."""
    if raw is not None and takes_inputs(raw):
        return msgspec.json.decode(shown(raw))
    if raw is None or raw[:1] != FORMAT_JSON:
        return raw
    return msgspec.json.decode(memoryview(raw)[1:])


class JobInfo:
    """A job as it stood in the store when it was read."""

    __slots__ = ("_row",)

    def __init__(self, row: JobRow) -> None:
        self._row = row

    def __repr__(self) -> str:
        return f"<job {self.id} of {self.task}: {self.state}, attempt {self.attempt}>"

    @property
    def id(self) -> str:
        """A UUID as text; ``app.job(id)`` is its handle."""
        return id_text(self._row.id)

    @property
    def task(self) -> str:
        """The task's name."""
        return self._row.task

    @property
    def queue(self) -> str:
        """The queue that it stands in."""
        return self._row.lane

    @property
    def state(self) -> State:
        """Where it is in its life."""
        return self._row.state

    @property
    def arguments(self) -> Any:
        """The call by parameter name, as JSON values (``*args`` under ``"*"``, ``**kwargs`` under
        ``"**"``); an input is a text that names its job."""
        return plain(self._row.args)

    @property
    def pending(self) -> int:
        """How many of its inputs are not final yet; above 0 it is blocked."""
        return self._row.pending

    @property
    def result(self) -> Any:
        """What the function returned, as JSON values; ``None`` before it completed. Typed by the
        annotation it is ``handle.result()``."""
        return plain(self._row.result)

    @property
    def priority(self) -> int:
        """-100 to 100, higher is more urgent."""
        return self._row.priority

    @property
    def runner(self) -> Runner:
        """Where its next attempt runs; ``"process"`` also for a job that was present at crashes."""
        return self._row.runner

    @property
    def attempt(self) -> int:
        """Executions so far, the running one included; those given back are not counted."""
        return self._row.attempt

    @property
    def max_attempts(self) -> int:
        """How many executions it may have: its retries and one."""
        return self._row.max_attempts

    @property
    def crashes(self) -> int:
        """How often in a row a process died while it ran."""
        return self._row.crashes

    @property
    def fence(self) -> int:
        """The number of its last claim or settlement; it only grows."""
        return self._row.fence

    @property
    def cancel_requested(self) -> bool:
        """Whether it runs and was asked to end."""
        return self._row.cancel_requested

    @property
    def on_crash(self) -> OnCrash:
        """``"rescue"``: it runs again when its process dies; ``"discard"``: never."""
        return self._row.on_crash

    @property
    def timeout(self) -> timedelta | None:
        """The time limit given at enqueue; ``None``: its task's."""
        limit = self._row.timeout
        return None if limit is None else timedelta(milliseconds=limit)

    @property
    def worker(self) -> int | None:
        """The number of the worker that runs it."""
        return self._row.worker

    @property
    def note(self) -> str | None:
        """Why it waits, or ended as it did, where there is something to say."""
        return self._row.note

    @property
    def tags(self) -> tuple[str, ...]:
        """As given at enqueue."""
        return self._row.tags

    @property
    def inserted_at(self) -> datetime:
        """When it was stored."""
        return to_datetime(self._row.inserted_at)

    @property
    def due_at(self) -> datetime:
        """When it may run, or could have run, for its next attempt."""
        return to_datetime(self._row.due_at)

    @property
    def started_at(self) -> datetime | None:
        """When its last attempt was claimed."""
        return _moment(self._row.started_at)

    @property
    def finished_at(self) -> datetime | None:
        """When it became final."""
        return _moment(self._row.finished_at)

    @property
    def expires_at(self) -> datetime | None:
        """When it is cancelled if it has not started."""
        return _moment(self._row.expires_at)


class AttemptInfo:
    """One attempt that did not complete: how it ended and why."""

    __slots__ = ("_failure", "_row")

    def __init__(self, row: AttemptRow) -> None:
        self._row = row
        self._failure: Failure | None = decode_failure(row.failure)

    def __repr__(self) -> str:
        return f"<attempt {self.attempt}: {self.outcome}, {self.kind}: {self.message}>"

    @property
    def attempt(self) -> int:
        """Which execution it was, from 1; one that was given back has the number of the next."""
        return self._row.attempt

    @property
    def outcome(self) -> str:
        """``retry``, ``discarded``, ``cancelled`` or ``crashed``."""
        return self._row.outcome

    @property
    def fence(self) -> int:
        """The number of its claim."""
        return self._row.fence

    @property
    def worker(self) -> int | None:
        """The number of the worker that ran it."""
        return self._row.worker

    @property
    def started_at(self) -> datetime | None:
        """When it was claimed, where that is known."""
        return _moment(self._row.started_at)

    @property
    def finished_at(self) -> datetime:
        """When its end was recorded."""
        return to_datetime(self._row.finished_at)

    @property
    def kind(self) -> str | None:
        """The exception's type by name, as ``JobFailed`` has it; ``None`` when there was none."""
        return None if self._failure is None else self._failure.kind

    @property
    def message(self) -> str | None:
        """What the exception said."""
        return None if self._failure is None else self._failure.message

    @property
    def traceback(self) -> str:
        """The remote traceback as text; empty when there is none."""
        return "" if self._failure is None else self._failure.traceback
