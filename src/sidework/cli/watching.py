"""``sidework jobs watch``: what a job tells, live, until it has ended."""

from __future__ import annotations

import json
import signal
import sys
from collections.abc import Iterable
from typing import Any, NamedTuple

import click

from ..client.follower import JobEvents
from ..client.waiter import Waiter
from ..event import Event, Progress
from ..ids import id_text
from ..state import State
from ..store.protocol import Store
from . import values
from .bulk import job_of
from .choosing import as_json, on_store
from .showing import failure_line


class Alone(NamedTuple):
    """A store, and who waits for its jobs."""

    store: Store
    waiter: Waiter


@click.command(short_help="Watch a job: its progress, log and values, until it ends.")
@on_store
@click.argument("job_id", metavar="ID", callback=values.job_id)
@click.option("--after", metavar="POSITION", callback=values.position,
              help="Only what comes behind this event.")  # fmt: skip
@as_json
def watch(store: Store, job_id: str, after: str | None, as_json: bool) -> None:
    """Watch a job until it ends: a bar and its log on a terminal, else a line for each event.

    The exit code is 0 if it completed, else 1. Control-C ends the watching, not the job: 130.
    """
    row = job_of(store, job_id)
    alone = Alone(store, Waiter(store))
    events = JobEvents(alone, row.id, after)
    final: Event | None = None
    try:
        if as_json:
            final = _lines(events, lambda event: click.echo(json.dumps(_plain(event))))
        elif sys.stdout.isatty():
            final = _drawn(events, row.task)
        else:
            final = _lines(events, lambda event: click.echo(_printable(line_of(event))))
    except KeyboardInterrupt:
        click.echo("sidework: the job goes on", err=True)
        sys.exit(128 + signal.SIGINT)
    finally:
        alone.waiter.close()
    state = final.state if final is not None else store.get([row.id])[0].state  # type: ignore[union-attr]
    if state is not State.COMPLETED:
        click.echo(f"sidework: job {id_text(row.id)} is {state}", err=True)
        sys.exit(1)


def line_of(event: Event) -> str:
    """An event for people, in one line; a log record with its traceback in several."""
    return f"{event.at.astimezone():%H:%M:%S} {_said(event)}"


def _said(event: Event) -> str:
    if event.progress is not None:
        return f"progress {share_of(event.progress)}"
    if event.log is not None:
        return f"{event.log.level} {event.log.logger}: {event.log.text}"
    if event.kind == "value":
        return f"value {json.dumps(event.value, ensure_ascii=False)}"
    failed = (
        "" if event.failure is None else failure_line(event.failure.kind, event.failure.message)
    )
    if event.kind == "retried":
        return f"attempt {event.attempt} failed: {failed}"
    if event.kind == "final":
        return f"{event.state}{f': {failed or event.note}' if failed or event.note else ''}"
    return event.kind if event.attempt is None else f"{event.kind}, attempt {event.attempt}"


def share_of(reached: Progress) -> str:
    """How far a job is, in words."""
    of = "" if reached.total is None else f" of {reached.total:,}"
    return f"{reached.done:,}{of}{f'  {reached.note}' if reached.note else ''}"


def _lines(events: Iterable[Event], show: Any) -> Event | None:
    last: Event | None = None
    for event in events:
        show(event)
        last = event
    return last


def _drawn(events: Iterable[Event], task: str) -> Event | None:
    from rich.console import Console
    from rich.progress import BarColumn, TextColumn, TimeElapsedColumn
    from rich.progress import Progress as Bars
    from rich.text import Text

    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        TextColumn("{task.fields[said]}", markup=False),
        TimeElapsedColumn(),
    )
    last: Event | None = None
    with Bars(*columns, console=Console(highlight=False)) as bars:
        bar = bars.add_task(task, total=None, said="")
        for event in events:
            if event.progress is not None:
                reached = event.progress
                bars.update(
                    bar, total=reached.total, completed=reached.done, said=share_of(reached)
                )
            else:
                # As text: neither markup nor a terminal's own commands are a job's to give.
                bars.console.print(Text(_printable(line_of(event))))
            if event.kind == "final":
                bars.stop_task(bar)
            last = event
    return last


def _printable(text: str) -> str:
    return "".join(
        one if one.isprintable() or one in "\n\t" else f"\\x{ord(one):02x}" for one in text
    )


def _plain(event: Event) -> dict[str, Any]:
    told: dict[str, Any] = {
        "kind": event.kind, "id": event.id, "task": event.task, "queue": event.queue,
        "at": event.at.isoformat(timespec="milliseconds"), "position": event.position,
        "attempt": event.attempt,
    }  # fmt: skip
    if event.progress is not None:
        reached = event.progress
        told |= {"done": reached.done, "total": reached.total, "note": reached.note}
    elif event.log is not None:
        told |= {"level": event.log.level, "logger": event.log.logger, "text": event.log.text}
    elif event.kind == "value":
        told["value"] = event.value
    elif event.kind == "final":
        told |= {"state": event.state, "note": event.note}
    if event.failure is not None:
        told["error"] = failure_line(event.failure.kind, event.failure.message)
    return told
