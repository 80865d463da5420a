"""How an attempt ended, as a value: decided in the child, written by the recorder.

``Retry``, ``Discard`` and ``Snooze`` are raised by a job's own code to decide it.
"""

from __future__ import annotations

import traceback
from types import TracebackType
from typing import Literal

import msgspec
from msgspec import Struct

from .duration import Duration, seconds

Kind = Literal["completed", "retry", "discarded", "cancelled", "snoozed", "released", "crashed"]

_MESSAGE_CAP = 4_000
_TRACEBACK_CAP = 32_000
_CUT_ROOM = 50


class Outcome(Struct, array_like=True, frozen=True):
    """One attempt's end. ``id``, ``fence`` and ``attempt`` are the claim's; ``delay`` is in ms.

    ``alone`` says of a crash that no other attempt ran in the process that died. ``failure`` is an
    encoded ``Failure``; ``note`` tells a person why the job waits. ``in_transaction`` says that a
    transaction of the job's own, open or ended, may hold another end of this claim (``finish_in``):
    then a record never waits for the row.
    """

    id: bytes
    fence: int
    attempt: int
    kind: Kind
    result: bytes | None = None
    delay: int = 0
    failure: bytes | None = None
    note: str | None = None
    alone: bool = False
    in_transaction: bool = False


class Failure(Struct, frozen=True):
    """An exception as it is stored: always text that any engine can hold."""

    kind: str
    message: str
    traceback: str = ""


class Retry(Exception):
    """Raised in a job: this attempt failed, try again (while attempts are left).

    ``after`` is the wait until then; without it the task's backoff decides.
    """

    def __init__(self, reason: str = "", *, after: Duration | None = None) -> None:
        self.after = None if after is None else seconds(after, "after")
        super().__init__(reason or "asked to retry")


class Discard(Exception):
    """Raised in a job: give up for good, whatever attempts are left."""

    def __init__(self, reason: str = "discarded by the job") -> None:
        super().__init__(reason)


class Snooze(Exception):
    """Raised in a job: not now, come back after ``duration``; the attempt is given back."""

    def __init__(self, duration: Duration, reason: str = "") -> None:
        self.duration = seconds(duration, "Snooze")
        super().__init__(reason or "snoozed by the job")


def clean(text: str, cap: int) -> str:
    """Text that every engine stores: no NUL, no lone surrogates, at most ``cap`` characters."""
    text = text.replace("\x00", "\\x00").encode("utf-8", "backslashreplace").decode("utf-8")
    if len(text) <= cap:
        return text
    # Cut after escaping (one character may become six), with room for the line between the halves.
    half = (cap - _CUT_ROOM) // 2
    return f"{text[:half]}\n… {len(text) - 2 * half} characters left out …\n{text[-half:]}"


def message_of(error: BaseException) -> str:
    """What the exception says, as text that can be stored; total, though ``__str__`` is foreign code
    that may raise anything, ``SystemExit`` included."""
    try:
        message = str(error)
    except BaseException as inner:  # noqa: BLE001
        message = f"<its __str__ raised {type(inner).__name__}>"
    return clean(message, _MESSAGE_CAP)


def failure_of(error: BaseException, skip_frames_of: str = "") -> Failure:
    """The exception as a value; total, whatever its own methods raise.

    Frames of files below ``skip_frames_of`` are left out at the top: they are ours, not the job's.
    """
    kind = type(error)
    try:
        builtin = kind.__module__ == "builtins"
        name = kind.__name__ if builtin else f"{kind.__module__}.{kind.__qualname__}"
    except BaseException:  # noqa: BLE001 - a metaclass is foreign code
        name = "<its type has no name>"
    try:
        trimmed = _skip(error.__traceback__, skip_frames_of)
        trace = "".join(traceback.format_exception(kind, error, trimmed))
    except BaseException:  # noqa: BLE001 - formatting calls foreign code too
        trace = ""
    return Failure(clean(name, 300), message_of(error), clean(trace, _TRACEBACK_CAP))


def _skip(trace: TracebackType | None, folder: str) -> TracebackType | None:
    while folder and trace is not None and trace.tb_frame.f_code.co_filename.startswith(folder):
        if trace.tb_next is None:
            break
        trace = trace.tb_next
    return trace


def encode_failure(failure: Failure) -> bytes:
    """A ``Failure`` as the bytes that are stored."""
    return msgspec.json.encode(failure)


def decode_failure(raw: bytes | None) -> Failure | None:
    """The stored bytes as a ``Failure`` again."""
    return None if raw is None else msgspec.json.decode(raw, type=Failure)
