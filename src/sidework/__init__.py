"""Sidework: asynchronous job processing. ``from sidework import Sidework`` and see README."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .callbacks import JobEnd, JobFailure
from .errors import (
    AppNotFound,
    BadTask,
    BadValue,
    ClaimLost,
    JobCancelled,
    JobConflict,
    JobFailed,
    JobNotFound,
    NotCommitted,
    NotOpened,
    PeriodicNotFound,
    PositionPruned,
    SchemaMismatch,
    SideworkError,
    StoreDamaged,
    StoreError,
    StoreMissing,
    StoreRefused,
    StoreUnavailable,
    TaskNotFound,
    WaitTimeout,
)
from .event import Event, LogRecord, Progress
from .handle import JobHandle
from .info import AttemptInfo, JobInfo
from .inputs import InputFailed
from .outcome import Discard, Retry, Snooze
from .state import State

if TYPE_CHECKING:
    from .client.app import Sidework
    from .client.completing import as_completed
    from .client.periodics import PeriodicEntry
    from .tasks.context import RunningJob, current_job
    from .tasks.middleware import HandedJob, Handover, Middleware
    from .tasks.progress import emit, progress, track
    from .tasks.resources import Resource, injected
    from .tasks.signals import Signal

__version__ = "0.1.0"

__all__ = [
    "AppNotFound",
    "AttemptInfo",
    "BadTask",
    "BadValue",
    "ClaimLost",
    "Discard",
    "Event",
    "HandedJob",
    "Handover",
    "InputFailed",
    "JobCancelled",
    "JobConflict",
    "JobEnd",
    "JobFailed",
    "JobFailure",
    "JobHandle",
    "JobInfo",
    "JobNotFound",
    "LogRecord",
    "Middleware",
    "NotCommitted",
    "NotOpened",
    "PeriodicEntry",
    "PeriodicNotFound",
    "PositionPruned",
    "Progress",
    "Resource",
    "Retry",
    "RunningJob",
    "SchemaMismatch",
    "Sidework",
    "SideworkError",
    "Signal",
    "Snooze",
    "State",
    "StoreDamaged",
    "StoreError",
    "StoreMissing",
    "StoreRefused",
    "StoreUnavailable",
    "TaskNotFound",
    "WaitTimeout",
    "as_completed",
    "current_job",
    "emit",
    "injected",
    "progress",
    "track",
]

_LATE = {
    "Sidework": "client.app",
    "current_job": "tasks.context",
    "RunningJob": "tasks.context",
    "HandedJob": "tasks.middleware",
    "Handover": "tasks.middleware",
    "Middleware": "tasks.middleware",
    "Resource": "tasks.resources",
    "Signal": "tasks.signals",
    "as_completed": "client.completing",
    "emit": "tasks.progress",
    "injected": "tasks.resources",
    "progress": "tasks.progress",
    "track": "tasks.progress",
    "PeriodicEntry": "client.periodics",
}


def __getattr__(name: str) -> Any:
    """Load what needs more than words at its first use: the worker never needs the client."""
    if name not in _LATE:
        raise AttributeError(f"module 'sidework' has no attribute {name!r}")
    from importlib import import_module

    value = getattr(import_module(f".{_LATE[name]}", __name__), name)
    globals()[name] = value
    return value
