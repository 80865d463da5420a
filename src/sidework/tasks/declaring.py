"""What ``@app.periodic`` declares: a task, its arguments, and when it is enqueued."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, TypedDict

from msgspec.structs import replace

from ..clock import to_millis
from ..duration import Duration, seconds
from ..errors import BadTask, BadValue
from ..periodic import MISFIRES, OVERLAPS, Misfire, Overlap, Periodic
from ..schedule import Schedule, schedule_of
from .naming import check_options
from .task import Task


class PeriodicOptions(TypedDict, total=False):
    """What may be said of a periodic; see ``Sidework.periodic``."""

    every: Duration
    tz: str
    args: Sequence[Any]
    kwargs: Mapping[str, Any]
    name: str
    misfire: Misfire
    overlap: Overlap
    jitter: Duration
    start: datetime
    end: datetime


class Clock:
    """One ``@app.periodic``, its options checked; ``of`` makes it one of a task. ``app``: the module of its
    app."""

    def __init__(self, app: str, cron: str | None, options: PeriodicOptions) -> None:
        check_options(options, PeriodicOptions.__annotations__, "a periodic")
        every, tz, name = options.get("every"), options.get("tz"), options.get("name")
        args, kwargs = options.get("args", ()), options.get("kwargs", {})
        if isinstance(args, str) or not isinstance(args, Sequence):
            raise BadValue(f"args={args!r}: expected a tuple, like args=({args!r},)")
        if not isinstance(kwargs, Mapping):
            raise BadValue(f"kwargs={kwargs!r}: expected a dict")
        start, end = _moment(options.get("start"), "start"), _moment(options.get("end"), "end")
        self._app = app
        self._schedule = schedule_of(cron, every, tz, start, end)
        said = f"every {every.strip()}" if isinstance(every, str) else self._schedule.text
        self._said = said if tz is None else f"{said} {tz}"
        self._args, self._kwargs = tuple(args), dict(kwargs)
        if name is not None and not (isinstance(name, str) and name.strip() and name.isprintable()):
            raise BadValue(f"name={name!r}: expected a printable text")
        self._name = name
        self._misfire: Misfire = options.get("misfire", "once")
        self._overlap: Overlap = options.get("overlap", "allow")
        if self._misfire not in MISFIRES:
            raise BadValue(f"misfire={self._misfire!r}: expected one of {', '.join(MISFIRES)}")
        if self._overlap not in OVERLAPS:
            raise BadValue(f"overlap={self._overlap!r}: expected one of {', '.join(OVERLAPS)}")
        self._jitter = round(seconds(options.get("jitter", 0), "jitter") * 1000)

    def of(self, task: Task[Any, Any, Any]) -> Ticking:
        """The periodic of this task; ``TypeError`` when the task does not take the arguments."""
        name = f"{task.name} {self._said}" if self._name is None else self._name
        if len(name) > _LONGEST_NAME:
            raise BadValue(
                f"the periodic's name is over {_LONGEST_NAME} characters: give name='...'"
            )
        made = Ticking(
            task, name, self._app, self._schedule, self._args, self._kwargs, self._misfire, self._overlap,
            self._jitter,
        )  # fmt: skip
        try:
            made.entry()
        except BadTask:
            pass  # an annotation may name what is defined further down: asked again when a worker starts
        return made


_LONGEST_NAME = 500


class Ticking:
    """A periodic of a task, as declared in the code."""

    def __init__(
        self,
        task: Task[Any, Any, Any],
        name: str,
        app: str,
        schedule: Schedule,
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        misfire: Misfire,
        overlap: Overlap,
        jitter: int,
    ) -> None:
        self.task = task
        self.name = name
        self._rest = (app, schedule, args, kwargs, misfire, overlap, jitter)

    def entry(self) -> Periodic:
        """As it is stored; ``BadTask`` when the task's annotations cannot be read."""
        app, schedule, args, kwargs, misfire, overlap, jitter = self._rest
        job = replace(self.task.bind(*args, **kwargs).job, id=b"")
        if job.parents:
            raise BadValue(f"{self.name}: a job's output cannot be an argument of a periodic")
        return Periodic(self.name, app, schedule, job, misfire, overlap, jitter)


def _moment(given: object, name: str) -> int | None:
    if given is None:
        return None
    if not isinstance(given, datetime):
        raise BadValue(f"{name}={given!r}: expected a datetime with a time zone")
    try:
        return to_millis(given)
    except (ValueError, OverflowError) as wrong:
        raise BadValue(f"{name}: {wrong}") from None
