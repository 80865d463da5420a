"""How rows and times look, for people and as JSON for programs."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

import click

from .. import inputs
from ..clock import now_ms, to_datetime
from ..codec import FORMAT_JSON
from ..duration import text_of
from ..ids import id_text
from ..inputs import FORMAT_INPUTS, takes_inputs
from ..job import AttemptRow, JobRow
from ..outcome import decode_failure
from ..store.protocol import Finding


def show_json(value: Any) -> None:
    """One JSON document on stdout."""
    click.echo(json.dumps(value, ensure_ascii=False, indent=2))


def show_findings(findings: Iterable[Finding]) -> None:
    """A line each, and one for what to do: ``ok``, ``--`` for a hint, ``!!`` for a problem."""
    for one in findings:
        mark = "!!" if one.problem else "--" if one.advice else "ok"
        click.echo(f"{mark}  {one.what:<16} {one.value}")
        if one.advice:
            click.echo(f"    {'':<16} -> {one.advice}")


def when(millis: int | None) -> str | None:
    """A stored time for programs: ISO 8601 in UTC."""
    return None if millis is None else to_datetime(millis).isoformat(timespec="milliseconds")


def ago(millis: int | None) -> str | None:
    """A stored time for people: how far from now."""
    if millis is None:
        return None
    apart = (now_ms() - millis) / 1000
    return f"{text_of(apart)} ago" if apart >= 0 else f"in {text_of(-apart)}"


def lasted(millis: int | None) -> str:
    """How long it is since a stored time."""
    return "no time" if millis is None else text_of(max(0, now_ms() - millis) / 1000)


def roughly(millis: int) -> str:
    """``ago`` by its largest unit alone, for a narrow column."""
    apart = (now_ms() - millis) / 1000
    size = next((size for size in (86400, 3600, 60, 1) if abs(apart) >= size), 0)
    told = text_of(abs(apart) // size * size) if size else "0s"
    return f"{told} ago" if apart >= 0 else f"in {told}"


def counted(count: int, noun: str) -> str:
    """``1 job``, ``2 jobs``."""
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def failure_line(kind: str, message: str) -> str:
    """An exception in one line, however many its message has."""
    return f"{kind}: {first_line(message)}" if message.strip() else kind


def first_line(text: str) -> str:
    """The first line that says something."""
    return next((line.strip() for line in text.splitlines() if line.strip()), "")


def job_json(row: JobRow) -> dict[str, Any]:
    """A job for programs; arguments and result are the stored JSON itself."""
    return {
        "id": id_text(row.id),
        "task": row.task,
        "queue": row.lane,
        "state": row.state,
        "priority": row.priority,
        "attempt": row.attempt,
        "max_attempts": row.max_attempts,
        "fence": row.fence,
        "crashes": row.crashes,
        "runner": row.runner,
        "cancel_requested": row.cancel_requested,
        "worker": row.worker,
        "inserted_at": when(row.inserted_at),
        "due_at": when(row.due_at),
        "started_at": when(row.started_at),
        "finished_at": when(row.finished_at),
        "expires_at": when(row.expires_at),
        "timeout_ms": row.timeout,
        "on_crash": row.on_crash,
        "note": row.note,
        "tags": list(row.tags),
        "args": stored(row.args),
        "result": stored(row.result),
    }


def attempt_json(row: AttemptRow) -> dict[str, Any]:
    """An attempt for programs."""
    failure = decode_failure(row.failure)
    return {
        "attempt": row.attempt,
        "outcome": row.outcome,
        "fence": row.fence,
        "worker": row.worker,
        "started_at": when(row.started_at),
        "finished_at": when(row.finished_at),
        "error": None if failure is None else f"{failure.kind}: {failure.message}",
        "traceback": None if failure is None else failure.traceback,
    }


def stored_text(raw: bytes) -> str:
    """What was stored, as JSON in one line; of a format unknown here, only the length."""
    told = stored(raw)
    unknown = raw[:1] not in (FORMAT_JSON, FORMAT_INPUTS)
    return str(told) if unknown else json.dumps(told, ensure_ascii=False)


def stored(raw: bytes | None) -> Any:
    """What was stored, as JSON; of a format that this version does not know, only the length."""
    if raw is None:
        return None
    try:
        if takes_inputs(raw):
            return json.loads(inputs.shown(raw))
        return json.loads(raw[1:]) if raw[:1] == FORMAT_JSON else f"({len(raw)} bytes)"
    except ValueError:
        return f"({len(raw)} bytes)"
