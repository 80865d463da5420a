"""``sidework jobs``: list and show; retry, cancel and delete are in ``bulk.py``, watch in
``watching.py``."""

from __future__ import annotations

import itertools
from typing import Any

import click

from ..ids import id_text
from ..job import JobFilter
from ..store.protocol import Store
from . import bulk, values
from .bulk import job_of
from .choosing import as_json, on_store
from .filters import PAGE, filtered, pages
from .showing import ago, attempt_json, job_json, roughly, show_json, stored_text
from .table import STATE_COLOURS, Column, show_table
from .watching import watch

_COLUMNS = (
    Column("id"),
    Column("task", cut="left"),
    Column("queue", leave_out=3),
    Column("state", colours=STATE_COLOURS),
    Column("attempt", leave_out=2),
    Column("made", leave_out=1),
    Column("note", leave_out=4, cut="right"),
)


@click.group(short_help="List, show, watch, retry, cancel and delete jobs.")
def jobs() -> None:
    """List, show, watch, retry, cancel and delete jobs."""


for _command in (watch, bulk.retry, bulk.cancel, bulk.delete):
    jobs.add_command(_command)


@jobs.command("list", short_help="List the jobs that fit, newest first.")
@on_store
@filtered
@click.option("--limit", type=click.IntRange(1), default=50, show_default=True,
              help="So many at most.")  # fmt: skip
@as_json
def list_(store: Store, want: JobFilter, limit: int, as_json: bool) -> None:
    """List the jobs that fit the filters, newest first."""
    found = itertools.chain.from_iterable(pages(store, want, min(limit, PAGE)))
    rows = list(itertools.islice(found, limit))
    if as_json:
        show_json([job_json(row) for row in rows])
        return
    show_table(
        _COLUMNS,
        (
            (id_text(row.id), row.task, row.lane, row.state,
             f"{row.attempt}/{row.max_attempts}", roughly(row.inserted_at), row.note)
            for row in rows
        ),
        empty="no jobs" if want == JobFilter() else "no jobs fit",
    )  # fmt: skip


@jobs.command(short_help="Show one job with its attempts.")
@on_store
@click.argument("job_id", metavar="ID", callback=values.job_id)
@as_json
def show(store: Store, job_id: str, as_json: bool) -> None:
    """One job with its arguments, result and failed attempts."""
    row = job_of(store, job_id)
    attempts = [attempt_json(one) for one in store.attempts(row.id)]
    if as_json:
        show_json({**job_json(row), "attempts": attempts})
        return
    told: dict[str, Any] = {
        "id": id_text(row.id), "task": row.task, "queue": row.lane, "state": row.state,
        "attempt": f"{row.attempt} of {row.max_attempts}", "crashes": row.crashes or None,
        "priority": row.priority, "runner": row.runner, "made": ago(row.inserted_at),
        "due": ago(row.due_at), "started": ago(row.started_at), "finished": ago(row.finished_at),
        "expires": ago(row.expires_at), "tags": " ".join(row.tags) or None, "note": row.note,
        "arguments": stored_text(row.args),
        "result": stored_text(row.result) if row.result else None,
    }  # fmt: skip
    for name, value in told.items():
        if value is not None:
            click.echo(f"{name:<10} {value}")
    for one in attempts:
        error = f", {one['error']}" if one["error"] else ""
        click.echo(f"\nattempt {one['attempt']}: {one['outcome']}{error}")
        if one["traceback"]:
            click.echo(one["traceback"].rstrip())
