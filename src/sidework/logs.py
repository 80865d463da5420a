"""How a line of a log looks: as text, as text with colours, or as JSON, one object a line.

In a child every record made within a job carries it, in ``sidework_job`` (its id), ``sidework_task``,
``sidework_attempt`` and ``sidework_queue``: attributes of the record itself, so that an app's own handlers
and formats have them too. Outside a job they are ``None``. A worker's records about a job carry them as well.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Mapping
from typing import Any, Literal, Protocol, get_args

from .clock import to_datetime

LogFormat = Literal["text", "colour", "json"]
LOG_FORMATS: tuple[LogFormat, ...] = get_args(LogFormat)

_TEXT = "%(asctime)s %(levelname)s %(message)s"
_JOB = ("job", "task", "attempt", "queue")
_KNOWN = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}
_COLOURS = {"DEBUG": "2", "INFO": "36", "WARNING": "33", "ERROR": "31", "CRITICAL": "1;31"}
_GOOD = "32"


class Told(Protocol):
    """What a record tells of its job."""

    @property
    def id(self) -> str: ...
    @property
    def task(self) -> str: ...
    @property
    def attempt(self) -> int: ...
    @property
    def queue(self) -> str: ...


def configure(level: int, form: LogFormat, *, of_jobs: bool = False) -> None:
    """Have everything logged from ``level`` up go to stderr in this form. ``of_jobs``: text names the job
    of a record; what a worker says of jobs names them by itself."""
    handler = logging.StreamHandler()
    handler.setFormatter(_Json() if form == "json" else _Text(form == "colour", of_jobs))
    logging.basicConfig(level=level, handlers=[handler])
    logging.captureWarnings(form == "json")  # which would be lines of text


def mark(running: Callable[[], Told | None]) -> None:
    """From here on every record of this process carries the job that is running where it is made."""
    make = logging.getLogRecordFactory()

    def marked(*args: Any, **kwargs: Any) -> logging.LogRecord:
        record = make(*args, **kwargs)
        record.__dict__.update(fields(running()))
        return record

    logging.setLogRecordFactory(marked)


def fields(job: Told | None) -> dict[str, Any]:
    """A record's attributes of this job."""
    told = (None,) * 4 if job is None else (job.id, job.task, job.attempt, job.queue)
    return {f"sidework_{name}": value for name, value in zip(_JOB, told, strict=True)}


def say(
    log: logging.Logger,
    level: int,
    line: str,
    job: Mapping[str, Any],
    *,
    trace: str = "",
    stack: str = "",
) -> None:
    """Log a line about a job (``fields``) with the traceback or stack of another process. They stand where a
    record has its own, so that every format shows them, and JSON apart from the message."""
    if not log.isEnabledFor(level):
        return
    record = log.makeRecord(log.name, level, "", 0, line, (), None, extra=job)
    record.exc_text = trace.rstrip() or None
    record.stack_info = stack.rstrip() or None
    log.handle(record)


class _Text(logging.Formatter):
    def __init__(self, colours: bool, of_jobs: bool) -> None:
        super().__init__(_TEXT, "%H:%M:%S" if colours else None)
        self._colours = colours
        self._of_jobs = of_jobs

    def formatMessage(self, record: logging.LogRecord) -> str:
        job = getattr(record, "sidework_job", None)
        if job is not None and self._of_jobs:
            record.message = f"job {job} ({_of(record, 'task')}): {record.message}"
        if not self._colours:
            return super().formatMessage(record)
        colour = _GOOD if _of(record, "outcome") == "completed" else _COLOURS.get(record.levelname)
        level = f"\x1b[{colour or '0'}m{record.levelname:<7}\x1b[0m"
        return f"\x1b[2m{record.asctime}\x1b[0m {level} {record.message}"


class _Json(logging.Formatter):
    """Total: whatever a program logs, a line of it is an object."""

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, Any] = {
            "time": to_datetime(round(record.created * 1000)).isoformat(timespec="milliseconds"),
            "level": record.levelname,
            "logger": record.name,
            "message": _message(record),
        }
        for name in (*_JOB, "outcome", "seconds"):
            if (value := _of(record, name)) is not None:
                line[name] = value
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        elif record.exc_text:
            line["exception"] = record.exc_text
        if record.stack_info:
            line["stack"] = record.stack_info
        extra = {name: value for name, value in vars(record).items()
                 if name not in _KNOWN and not name.startswith("sidework_")}  # fmt: skip
        if extra:
            line["extra"] = {name: _plain(value) for name, value in extra.items()}
        return json.dumps(line)


def _of(record: logging.LogRecord, name: str) -> Any:
    return getattr(record, f"sidework_{name}", None)


def _message(record: logging.LogRecord) -> str:
    try:
        return record.getMessage()
    except Exception as wrong:  # noqa: BLE001 - %s calls foreign code, and may not fit its arguments
        return f"{record.msg!r} cannot be formatted: {wrong!r}"


def _plain(value: Any) -> Any:
    """The value if it has a JSON form, else how it looks."""
    try:
        json.dumps(value, allow_nan=False)
    except Exception:  # noqa: BLE001 - cycles, NaN, keys and objects of any kind
        try:
            return repr(value)
        except Exception as wrong:  # noqa: BLE001
            return f"<its repr raised {type(wrong).__name__}>"
    return value
