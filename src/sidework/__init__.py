"""Sidework: asynchronous job processing. ``from sidework import Sidework`` and see README."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

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
from .callbacks import JobEnd, JobFailure
from .handle import JobHandle
from .info import AttemptInfo, JobInfo
from .inputs import InputFailed
from .outcome import Discard, Retry, Snooze
from .state import State

if TYPE_CHECKING:
    from .client.app import Sidework
    from .tasks.context import RunningJob, current_job

__version__ = "0.1.0"

__all__ = [
    "AppNotFound",
    "AttemptInfo",
    "BadTask",
    "BadValue",
    "ClaimLost",
    "Discard",
    "InputFailed",
    "JobCancelled",
    "JobConflict",
    "JobEnd",
    "JobFailed",
    "JobFailure",
    "JobHandle",
    "JobInfo",
    "JobNotFound",
    "NotCommitted",
    "Retry",
    "RunningJob",
    "SchemaMismatch",
    "Sidework",
    "SideworkError",
    "Snooze",
    "State",
    "StoreDamaged",
    "StoreError",
    "StoreMissing",
    "StoreRefused",
    "StoreUnavailable",
    "TaskNotFound",
    "WaitTimeout",
    "current_job",
]

_LATE = {"Sidework": "client.app", "current_job": "tasks.context", "RunningJob": "tasks.context"}


def __getattr__(name: str) -> Any:
    """Load what needs more than words at its first use: the worker never needs the client."""
    if name not in _LATE:
        raise AttributeError(f"module 'sidework' has no attribute {name!r}")
    from importlib import import_module

    value = getattr(import_module(f".{_LATE[name]}", __name__), name)
    globals()[name] = value
    return value
