"""``sidework queues``: what each line of jobs holds, and its switch."""

from __future__ import annotations

import getpass
import os

import click

from ..errors import SideworkError
from ..state import State
from ..store.protocol import Store
from ..tasks.registry import AppLike
from . import values
from .choosing import as_json, chosen, on_store, which_store
from .showing import ago, counted, show_json, when
from .table import Column, show_table


@click.group()
def queues() -> None:
    """List, limit, pause and resume queues."""


@queues.command("list", short_help="List every queue with its jobs by state.")
@on_store
@as_json
def list_(store: Store, as_json: bool) -> None:
    """List every queue with its jobs by state."""
    rows = store.queues()
    if as_json:
        show_json(
            [
                {
                    "name": row.name,
                    "paused_at": when(row.paused_at),
                    "paused_by": row.paused_by,
                    "paused_why": row.paused_why,
                    "limit": row.most,
                    "jobs": {str(state): row.counts.get(state, 0) for state in State},
                }
                for row in rows
            ]
        )
        return
    states = [state for state in State if any(row.counts.get(state) for row in rows)]
    show_table(
        ("queue", *states, "limit", Column("paused", cut="right")),
        (
            (
                row.name,
                *(row.counts.get(state, 0) for state in states),
                row.most,
                row.paused_at
                and f"{ago(row.paused_at)} by {row.paused_by}: {row.paused_why or 'no reason given'}",
            )
            for row in rows
        ),
        empty="no queues: none holds a job, none is paused",
    )


@queues.command(short_help="Start nothing more of a queue.")
@which_store
@click.argument("queue", callback=values.queue)
@click.option("--why", help="Told to whoever asks why nothing runs; else an earlier reason stays.")
@click.option("--by", help="Who pauses it; your user name by default.")
def pause(app: str | None, url: str | None, queue: str, why: str | None, by: str | None) -> None:
    """Let what runs of QUEUE end, and start nothing more of it."""
    store, found = chosen(app, url)
    try:
        known = {row.name: row for row in store.queues()}
        if why is None and queue in known:
            why = known[queue].paused_why
        store.pause(queue, by or user(), why or "")
        click.echo(f"{queue} paused")
        _warn_of_none(store, found, queue)
    finally:
        store.close()


@queues.command(short_help="Open a paused queue again.")
@on_store
@click.argument("queue", callback=values.queue)
def resume(store: Store, queue: str) -> None:
    """Open QUEUE again."""
    if not store.resume(queue):
        raise SideworkError(f"queue {queue} was not paused")
    click.echo(f"{queue} open")


@queues.command(short_help="Let so many jobs of a queue run at a time, over all workers.")
@which_store
@click.argument("queue", callback=values.queue)
@click.argument("limit", metavar="N|none", callback=values.limit)
def limit(app: str | None, url: str | None, queue: str, limit: int | None) -> None:
    """Let at most N jobs of QUEUE run at a time, over all workers; none: any number."""
    store, found = chosen(app, url)
    try:
        store.limits.limit(queue, limit)
        many = "any number of jobs" if limit is None else counted(limit, "job")
        click.echo(f"{queue}: {many} at a time")
        _warn_of_none(store, found, queue)
    finally:
        store.close()


def _warn_of_none(store: Store, found: AppLike | None, queue: str) -> None:
    """Say so when nothing uses the queue: its name may be misspelt."""
    tasks = [] if found is None else [found.registry.get(n) for n in found.registry.names()]
    used = {row.name for row in store.queues() if row.counts}
    used |= {task.task_options.queue for task in tasks}
    if queue not in used:
        others = f"; there are: {', '.join(sorted(used))}" if used else ""
        words = f"no job{' or task' if found else ''} uses queue {queue}{others}"
        click.echo(f"sidework: {words}", err=True)


def user() -> str:
    """Who is at work here."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return f"uid {os.getuid()}"
