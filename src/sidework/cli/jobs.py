"""``sidework jobs``: list, show, retry, cancel and delete."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any

import click

from ..errors import BadValue, JobNotFound, SideworkError
from ..ids import id_text, parse_id
from ..job import JobFilter, JobRow
from ..state import State
from ..store.protocol import Store
from .choosing import as_json, on_store
from .showing import ago, attempt_json, job_json, show_json, show_table, stored

_PAGE = 200


@click.group()
def jobs() -> None:
    """List, show, retry, cancel and delete jobs."""


@jobs.command("list")
@on_store
@click.option("--state", "states", multiple=True, type=click.Choice([str(s) for s in State]))
@click.option("--queue", "queues", multiple=True)
@click.option("--task", "tasks", multiple=True, help="As module:function.")
@click.option("--tag")
@click.option("--limit", type=click.IntRange(1), default=50, show_default=True)
@as_json
def list_(
    store: Store,
    states: tuple[str, ...],
    queues: tuple[str, ...],
    tasks: tuple[str, ...],
    tag: str | None,
    limit: int,
    as_json: bool,
) -> None:
    """Jobs that fit, newest first."""
    want = JobFilter(states=tuple(State(s) for s in states), lanes=queues, tasks=tasks, tag=tag)
    rows = list(itertools.islice(_pages(store, want, min(limit, _PAGE)), limit))
    if as_json:
        show_json([job_json(row) for row in rows])
        return
    show_table(
        ("id", "task", "queue", "state", "attempt", "made", "note"),
        (
            (id_text(row.id), row.task, row.lane, row.state,
             f"{row.attempt}/{row.max_attempts}", ago(row.inserted_at), row.note)
            for row in rows
        ),
    )  # fmt: skip


@jobs.command()
@on_store
@click.argument("job_id", metavar="ID")
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
        "arguments": stored(row.args), "result": stored(row.result) if row.result else None,
    }  # fmt: skip
    for name, value in told.items():
        if value is not None:
            click.echo(f"{name:<10} {value}")
    for one in attempts:
        click.echo(f"\nattempt {one['attempt']}: {one['outcome']}, {one['error'] or ''}")
        if one["traceback"]:
            click.echo(one["traceback"].rstrip())


@jobs.command()
@on_store
@click.argument("job_ids", metavar="ID...", nargs=-1, required=True)
def retry(store: Store, job_ids: tuple[str, ...]) -> None:
    """Run final jobs again."""
    for row in _all(store, job_ids):
        if not store.retry(row.id):
            raise SideworkError(
                f"job {id_text(row.id)} is {row.state}: only a final job is retried"
            )
        click.echo(f"{id_text(row.id)} available")


@jobs.command()
@on_store
@click.argument("job_ids", metavar="ID...", nargs=-1, required=True)
def cancel(store: Store, job_ids: tuple[str, ...]) -> None:
    """Cancel jobs that wait; ask those that run."""
    for row in _all(store, job_ids):
        state = store.cancel(row.id, "cancelled by hand")
        if state is None:
            raise SideworkError(f"job {id_text(row.id)} is {row.state}: it has ended already")
        asked = "asked to cancel; it runs" if state == "running" else state
        click.echo(f"{id_text(row.id)} {asked}")


@jobs.command()
@on_store
@click.argument("job_ids", metavar="ID...", nargs=-1, required=True)
def delete(store: Store, job_ids: tuple[str, ...]) -> None:
    """Delete final jobs with their attempts."""
    for row in _all(store, job_ids):
        if not store.delete(row.id):
            raise SideworkError(f"job {id_text(row.id)} is {row.state}: cancel it first")
        click.echo(f"{id_text(row.id)} deleted")


def job_of(store: Store, job_id: str) -> JobRow:
    """The job of an id as typed; ``JobNotFound`` when there is none."""
    raw = parse_id(job_id)
    (row,) = store.get([raw])
    if row is None:
        raise JobNotFound(f"there is no job {id_text(raw)} in {store.url}")
    return row


def _all(store: Store, job_ids: tuple[str, ...]) -> list[JobRow]:
    """All of them, or none is touched."""
    if len(set(job_ids)) < len(job_ids):
        raise BadValue("an id was given twice")
    return [job_of(store, job_id) for job_id in job_ids]


def _pages(store: Store, want: JobFilter, size: int) -> Iterator[JobRow]:
    before: bytes | None = None
    while page := store.page(want, before, size):
        yield from page
        before = page[-1].id
