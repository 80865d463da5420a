"""Callbacks: what is enqueued when a job ends, kept with the job, and the jobs made of it at its end.

Whoever makes a job final makes these too, without the app: what they need of their task was written down
when the job was enqueued. An id is made of the job's end (its fence) and the place in the list, so that
the same end makes the same jobs.
"""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import blake2b
from typing import Any, Literal

import msgspec
from msgspec import Struct

from .clock import Millis
from .codec import FORMAT_JSON
from .ids import id_text
from .job import NewJob, OnCrash, Runner
from .outcome import decode_failure
from .state import State

When = Literal["success", "failure", "final"]
CALLED: tuple[When, ...] = ("success", "failure", "final")


class JobFailure(Struct, frozen=True):
    """Why a job ended without a result: what a callback ``on_failure`` is given.

    ``state`` is ``"discarded"`` or ``"cancelled"``; ``kind`` the exception's type by name, and
    ``traceback`` its text ("" when there is none).
    """

    job_id: str
    task: str
    state: State
    kind: str
    message: str
    traceback: str = ""


class JobEnd(Struct, frozen=True):
    """How a job ended: what a callback ``on_final`` is given. ``result`` is plain data (JSON)."""

    job_id: str
    task: str
    state: State
    result: Any = None
    failure: JobFailure | None = None


class Callback(Struct, array_like=True, frozen=True):
    """One job to come: of which task, and all that its options say. Its one argument goes by
    ``parameter``."""

    when: When
    parameter: str
    task: str
    lane: str
    runner: Runner
    priority: int
    delay: int
    max_attempts: int
    backoff: int | None
    timeout: int | None
    on_crash: OnCrash
    tags: tuple[str, ...] = ()


class Ended(Struct, frozen=True):
    """A final job, as far as its callbacks are told of it. ``failure`` is of its last attempt."""

    id: bytes
    task: str
    state: State
    fence: int
    finished_at: Millis
    note: str | None
    callbacks: bytes
    context: str | None
    result: bytes | None
    failure: bytes | None


def encode_callbacks(callbacks: Sequence[Callback]) -> bytes | None:
    """What is stored of them; ``None`` for none."""
    return msgspec.json.encode(callbacks) if callbacks else None


def decode_callbacks(raw: bytes) -> list[Callback]:
    """The same again."""
    return msgspec.json.decode(raw, type=list[Callback])


def jobs_of(ended: Ended) -> list[NewJob]:
    """The jobs that this end makes."""
    completed = ended.state is State.COMPLETED
    made = []
    for place, one in enumerate(decode_callbacks(ended.callbacks)):
        if one.when == ("failure" if completed else "success"):
            continue
        args = msgspec.json.encode({one.parameter: msgspec.Raw(_value(one.when, ended))})
        made.append(
            NewJob(
                id=_id(ended, place),
                task=one.task,
                args=FORMAT_JSON + args,
                lane=one.lane,
                runner=one.runner,
                priority=one.priority,
                delay=one.delay,
                max_attempts=one.max_attempts,
                backoff=one.backoff,
                timeout=one.timeout,
                on_crash=one.on_crash,
                tags=one.tags,
                context=ended.context,
            )
        )
    return made


def _value(when: When, ended: Ended) -> bytes:
    result = (ended.result or b"\x01null")[1:]
    if when == "success":
        return result
    failure = None if ended.state is State.COMPLETED else _failure(ended)
    if when == "failure":
        return msgspec.json.encode(failure)
    given = msgspec.Raw(result if failure is None else b"null")
    return msgspec.json.encode(JobEnd(id_text(ended.id), ended.task, ended.state, given, failure))


def _failure(ended: Ended) -> JobFailure:
    # A cancelled one may have failed before: what it is told of is that it was cancelled.
    why = decode_failure(ended.failure) if ended.state is State.DISCARDED else None
    head = (id_text(ended.id), ended.task, ended.state)
    if why is None:
        return JobFailure(*head, str(ended.state), ended.note or str(ended.state))
    return JobFailure(*head, why.kind, why.message, why.traceback)


def _id(ended: Ended, place: int) -> bytes:
    """A UUIDv7 of the moment of the end; what else is free in it is a hash."""
    said = b"%b %d %d" % (ended.id, ended.fence, place)
    drawn = int.from_bytes(blake2b(said, digest_size=10).digest(), "big")
    value = (
        (ended.finished_at & (1 << 48) - 1) << 80
        | 7 << 76
        | (drawn >> 64 & 0xFFF) << 64
        | 2 << 62
        | drawn & (1 << 62) - 1
    )
    return value.to_bytes(16, "big")
