"""How rows look: as tables for people, as JSON for programs."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Sequence
from typing import Any

import click

from ..clock import now_ms, to_datetime
from ..duration import text_of
from ..ids import id_text
from ..job import AttemptRow, JobRow
from ..outcome import decode_failure


def show_json(value: Any) -> None:
    """One JSON document on stdout."""
    click.echo(json.dumps(value, ensure_ascii=False, indent=2))


def show_table(columns: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """A table on a terminal; columns separated by tabs where the output goes elsewhere."""
    if not sys.stdout.isatty():
        click.echo("\t".join(columns))
        for row in rows:
            click.echo("\t".join("" if cell is None else str(cell) for cell in row))
        return
    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for column in columns:
        table.add_column(column, overflow="fold", no_wrap=column == "id")
    for row in rows:
        table.add_row(*(Text("" if cell is None else str(cell)) for cell in row))
    Console().print(table)


def when(millis: int | None) -> str | None:
    """A stored time for programs: ISO 8601 in UTC."""
    return None if millis is None else to_datetime(millis).isoformat(timespec="milliseconds")


def ago(millis: int | None) -> str | None:
    """A stored time for people: how far from now."""
    if millis is None:
        return None
    apart = (now_ms() - millis) / 1000
    return f"{text_of(apart)} ago" if apart >= 0 else f"in {text_of(-apart)}"


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


def stored(raw: bytes | None) -> Any:
    """What was stored, as JSON; of a format that this version does not know, only the length."""
    if raw is None:
        return None
    try:
        return json.loads(raw[1:]) if raw[:1] == b"\x01" else f"({len(raw)} bytes)"
    except ValueError:
        return f"({len(raw)} bytes)"
