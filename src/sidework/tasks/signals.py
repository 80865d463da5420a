"""Signals: what an app tells observers of its own process. They look on: nothing waits for what they
say, and an error of theirs is logged."""

from __future__ import annotations

import inspect
import logging
from collections.abc import Callable
from typing import Literal, TypeVar, get_args

from msgspec import Struct

from ..errors import BadValue

log = logging.getLogger("sidework.app")

SignalKind = Literal["enqueued", "started", "ended"]
"""A job was stored by this process; an attempt begins in it, or has ended."""


class Signal(Struct, frozen=True):
    """What happened to a job, in this process.

    ``attempt`` is 0 for ``enqueued``. ``outcome`` is how an attempt ended: ``completed``, ``retry``,
    ``discarded``, ``cancelled``, ``snoozed``, ``released`` or ``crashed``; its worker has yet to store it.
    """

    kind: SignalKind
    id: str
    task: str
    queue: str
    attempt: int = 0
    outcome: str | None = None


Observer = Callable[[Signal], object]


F = TypeVar("F", bound=Callable[..., object])


def plain_function(function: F, what: str) -> F:
    """As given; ``BadValue`` for what cannot be called here, or would have to be awaited."""
    if not callable(function):
        raise BadValue(f"{what}: {function!r} is no function")
    if inspect.iscoroutinefunction(function):
        raise BadValue(f"{what}: {function!r} is a coroutine function, which nobody would await")
    return function


class Signals:
    """The observers of one app, by what they look for."""

    def __init__(self) -> None:
        self._observers: dict[str, list[Observer]] = {}

    def of(self, kind: SignalKind) -> list[Observer]:
        """Those that are called for each signal of the kind; ``BadValue`` for a kind that there is not."""
        if kind not in get_args(SignalKind):
            raise BadValue(f"on({kind!r}): expected one of {', '.join(get_args(SignalKind))}")
        return self._observers.setdefault(kind, [])

    def wants(self, kind: SignalKind) -> bool:
        """Whether anybody looks for the kind."""
        return bool(self._observers.get(kind))

    def send(self, signal: Signal) -> None:
        """Tell whoever looks for it."""
        for observer in self._observers.get(signal.kind, ()):
            try:
                observer(signal)
            except Exception:
                log.exception("an observer of %r failed; job %s goes on", signal.kind, signal.id)
