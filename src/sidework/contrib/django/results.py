"""A job as Django's ``TaskResult``: as it was enqueued, as it stands, and as it runs."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from django.conf import settings
from django.utils import timezone

from ...info import AttemptInfo, JobInfo
from ...outcome import failure_of
from ...state import State
from ...tasks.context import RunningJob
from .border import base

Status = base.TaskResultStatus
_STATUS = {State.RUNNING: Status.RUNNING, State.COMPLETED: Status.SUCCESSFUL,
           State.DISCARDED: Status.FAILED, State.CANCELLED: Status.FAILED}  # fmt: skip
_COUNTED = frozenset({"retry", "discarded", "cancelled"})
"""How attempts end that were not given back."""


def fresh(alias: str, task: Any, job_id: str, args: Sequence[Any], kwargs: dict[str, Any]) -> Any:
    """Of a job that is about to be stored; ``TypeError`` for arguments that are no JSON."""
    return base.TaskResult(
        task=task,
        id=job_id,
        status=Status.READY,
        enqueued_at=None,
        started_at=None,
        finished_at=None,
        last_attempted_at=None,
        args=list(args),
        kwargs=kwargs,
        backend=alias,
        errors=[],
        worker_ids=[],
    )


def result_of(alias: str, task: Any, info: JobInfo, attempts: Sequence[AttemptInfo]) -> Any:
    """Of a job as it stands in the store. One that will be tried again is ``READY``, one that was
    cancelled ``FAILED``."""
    changes: dict[str, Any] = {"priority": info.priority, "queue_name": info.queue}
    if info.state is State.SCHEDULED and not attempts:
        changes["run_after"] = _local(info.due_at)
    begun = [one.started_at for one in attempts if one.started_at is not None]
    began = min(begun, default=info.started_at)
    ids = [str(one.worker) for one in attempts if one.outcome in _COUNTED]
    missing = max(0, info.attempt - len(ids))
    result = fresh(
        alias,
        dataclasses.replace(task, **changes),
        info.id,
        info.arguments.get("*", []),
        info.arguments.get("**", {}),
    )
    return _with(
        result,
        status=_STATUS.get(info.state, Status.READY),
        enqueued_at=_local(info.inserted_at),
        started_at=_local(began),
        last_attempted_at=_local(info.started_at),
        finished_at=_local(info.finished_at),
        errors=[_error(one.kind, one.traceback or one.message or one.outcome) for one in attempts],
        worker_ids=ids[: info.attempt] + [str(info.worker)] * missing,
        _return_value=info.result,
    )


def running(alias: str, task: Any, job: RunningJob, args: Any, kwargs: dict[str, Any]) -> Any:
    """Of a job that runs here, where nothing is asked of the store: of the attempts before this one
    their number is known."""
    now = timezone.now()
    return _with(
        fresh(alias, task, job.id, args, kwargs),
        status=Status.RUNNING,
        enqueued_at=_local(_made_at(job.id)),
        started_at=now,
        last_attempted_at=now,
        worker_ids=[f"pid {os.getpid()}"] * job.attempt,
    )


def ended(result: Any, value: Any) -> None:
    """Its attempt returned this."""
    _with(result, status=Status.SUCCESSFUL, finished_at=timezone.now(), _return_value=value)


def failed(result: Any, error: BaseException, job: RunningJob) -> None:
    """Its attempt raised this."""
    last = job.attempt >= job.max_attempts
    failure = failure_of(error)
    result.errors.append(_error(failure.kind, failure.traceback))
    status = Status.FAILED if last else Status.READY
    _with(result, status=status, finished_at=timezone.now() if last else None)


def _with(result: Any, **changes: Any) -> Any:
    for name, value in changes.items():  # Django's own backends write to these frozen ones as well
        object.__setattr__(result, name, value)
    return result


def _error(kind: str | None, traceback: str) -> Any:
    path = kind or "sidework.JobFailed"
    if path == "ProcessDied":  # no exception: nobody was left to raise one
        path = "sidework.JobFailed"
    return base.TaskError(
        exception_class_path=path if "." in path else f"builtins.{path}", traceback=traceback
    )


def _made_at(job_id: str) -> datetime:
    """The first 48 bits of the id are when it was made, in ms (RFC 9562, UUIDv7)."""
    return datetime.fromtimestamp(int(job_id.replace("-", "")[:12], 16) / 1000, UTC)


def _local(moment: datetime | None) -> datetime | None:
    """As Django has its times: without a zone where the settings say so."""
    if moment is None or settings.USE_TZ:
        return moment
    naive: datetime = timezone.make_naive(moment)
    return naive
