"""``sidework queues``: what each line of jobs holds, and its switch."""

from __future__ import annotations

import getpass
import os

import click

from ..errors import SideworkError
from ..job import check_queue
from ..state import State
from ..store.protocol import Store
from .choosing import as_json, on_store
from .showing import ago, show_json, show_table, when


@click.group()
def queues() -> None:
    """List, pause and resume queues."""


@queues.command("list")
@on_store
@as_json
def list_(store: Store, as_json: bool) -> None:
    """Every queue with its jobs by state."""
    rows = store.queues()
    if as_json:
        show_json(
            [
                {
                    "name": row.name,
                    "paused_at": when(row.paused_at),
                    "paused_by": row.paused_by,
                    "paused_why": row.paused_why,
                    "jobs": {str(state): row.counts.get(state, 0) for state in State},
                }
                for row in rows
            ]
        )
        return
    states = [state for state in State if any(row.counts.get(state) for row in rows)]
    show_table(
        ("queue", *states, "paused"),
        (
            (
                row.name,
                *(row.counts.get(state, 0) for state in states),
                row.paused_at
                and f"{ago(row.paused_at)} by {row.paused_by}: {row.paused_why or 'no reason given'}",
            )
            for row in rows
        ),
    )


@queues.command()
@on_store
@click.argument("queue")
@click.option("--why", default="", help="Told to whoever asks why nothing runs.")
@click.option("--by", default=None, help="Who pauses it; your user name by default.")
def pause(store: Store, queue: str, why: str, by: str | None) -> None:
    """Let what runs of QUEUE end, and start nothing more of it."""
    store.pause(check_queue(queue), by or _user(), why)
    click.echo(f"{queue} paused")


@queues.command()
@on_store
@click.argument("queue")
def resume(store: Store, queue: str) -> None:
    """Open QUEUE again."""
    if not store.resume(check_queue(queue)):
        raise SideworkError(f"queue {queue} was not paused")
    click.echo(f"{queue} open")


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return f"uid {os.getuid()}"
