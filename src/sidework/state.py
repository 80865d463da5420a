"""A job's states and the one table of what may follow what.

Guards (attempts left, cancel requested, expired) are resolved into events before the look-up. The
conformance cases, the stateful model and the diagram in the docs are derived from this table.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from types import MappingProxyType


class State(StrEnum):
    """Where a job is in its life."""

    BLOCKED = "blocked"
    SCHEDULED = "scheduled"
    AVAILABLE = "available"
    RUNNING = "running"
    RETRYABLE = "retryable"
    COMPLETED = "completed"
    CANCELLED = "cancelled"
    DISCARDED = "discarded"


class Event(StrEnum):
    """What happens to a job."""

    UNBLOCK = "unblock"
    DEFER = "defer"
    BLOCK = "block"
    DUE = "due"
    SET_ASIDE = "set_aside"
    CLAIM = "claim"
    COMPLETE = "complete"
    FAIL = "fail"
    DISCARD = "discard"
    SNOOZE = "snooze"
    RELEASE = "release"
    RESCUE = "rescue"
    QUARANTINE = "quarantine"
    CANCEL = "cancel"
    RETRY = "retry"


FINAL = frozenset({State.COMPLETED, State.CANCELLED, State.DISCARDED})
LIVE = frozenset(State) - FINAL
WAITING = frozenset({State.BLOCKED, State.SCHEDULED, State.AVAILABLE, State.RETRYABLE})
"""Live and not running; ``RUNNING`` is only *asked* to cancel, its attempt observes it."""

_S, _E = State, Event

TRANSITIONS: Mapping[tuple[State, Event], State] = MappingProxyType(
    {
        (_S.BLOCKED, _E.UNBLOCK): _S.AVAILABLE,
        (_S.BLOCKED, _E.DEFER): _S.SCHEDULED,
        (_S.AVAILABLE, _E.SET_ASIDE): _S.BLOCKED,
        (_S.SCHEDULED, _E.DUE): _S.AVAILABLE,
        (_S.RETRYABLE, _E.DUE): _S.AVAILABLE,
        (_S.AVAILABLE, _E.CLAIM): _S.RUNNING,
        (_S.RUNNING, _E.COMPLETE): _S.COMPLETED,
        (_S.RUNNING, _E.FAIL): _S.RETRYABLE,
        (_S.RUNNING, _E.DISCARD): _S.DISCARDED,
        (_S.RUNNING, _E.SNOOZE): _S.SCHEDULED,
        (_S.RUNNING, _E.RELEASE): _S.AVAILABLE,
        (_S.RUNNING, _E.RESCUE): _S.AVAILABLE,
        (_S.RUNNING, _E.QUARANTINE): _S.DISCARDED,
        (_S.RUNNING, _E.CANCEL): _S.CANCELLED,
        **{(state, _E.CANCEL): _S.CANCELLED for state in _S if state in WAITING},
        **{(state, _E.RETRY): _S.AVAILABLE for state in _S if state in FINAL},
        # A retry of a job whose inputs are not all final (again).
        **{(state, _E.BLOCK): _S.BLOCKED for state in _S if state in FINAL},
        # A result held through an outage still lands on a job that was rescued and not claimed
        # again: its fence is unchanged, so the claim is still the last one (promise I3). It may have been
        # set aside meanwhile, as its task was paused.
        **{
            (state, event): then
            for state in (_S.AVAILABLE, _S.BLOCKED)
            for event, then in (
                (_E.COMPLETE, _S.COMPLETED),
                (_E.FAIL, _S.RETRYABLE),
                (_E.DISCARD, _S.DISCARDED),
                (_E.SNOOZE, _S.SCHEDULED),
                (_E.RELEASE, _S.AVAILABLE),
                (_E.QUARANTINE, _S.DISCARDED),
            )
        },
    }
)
