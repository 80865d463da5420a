"""``sidework tasks``: what an app can run, and which of it is held back."""

from __future__ import annotations

import click

from ..errors import BadValue, SideworkError
from ..job import PausedTask
from .choosing import as_json, chosen, which_store
from .queues import user
from .showing import ago, show_json, when
from .table import Column, show_table


@click.group()
def tasks() -> None:
    """List, pause and resume tasks."""


@tasks.command("list", short_help="List the tasks of an app and those that are paused.")
@which_store
@as_json
def list_(app: str | None, url: str | None, as_json: bool) -> None:
    """List the tasks of the app, with their queues, and those that are paused.

    With --url no app is looked at, and only what is paused is known.
    """
    store, found = chosen(app, url)
    try:
        paused = {one.name: one for one in store.limits.paused()}
    finally:
        store.close()
    queues: dict[str, str | None] = dict.fromkeys(paused)
    for name in [] if found is None else found.registry.names():
        queues[name] = found.registry.get(name).task_options.queue if found else None
    rows = [(name, queue, paused.get(name)) for name, queue in sorted(queues.items())]
    if as_json:
        show_json([_shown(*row) for row in rows])
        return
    show_table(
        ("task", "queue", Column("paused", cut="right")),
        (
            (name, queue, one and f"{ago(one.at)} by {one.by}: {one.why or 'no reason given'}")
            for name, queue, one in rows
        ),
        empty="no task is paused" if found is None else "no tasks: the app declares none",
    )


def _shown(name: str, queue: str | None, paused: PausedTask | None) -> dict[str, object]:
    return {
        "name": name,
        "queue": queue,
        "paused_at": paused and when(paused.at),
        "paused_by": paused and paused.by,
        "paused_why": paused and paused.why,
    }


@tasks.command(short_help="Start nothing more of a task.")
@which_store
@click.argument("task")
@click.option("--why", help="Told to whoever asks why nothing runs; else an earlier reason stays.")
@click.option("--by", help="Who pauses it; your user name by default.")
def pause(app: str | None, url: str | None, task: str, why: str | None, by: str | None) -> None:
    """Let what runs of TASK end, and start nothing more of it.

    TASK is its whole name, as the list shows it, or without the module where that is enough.
    """
    store, found = chosen(app, url)
    try:
        paused = {one.name: one for one in store.limits.paused()}
        name = _named(task, [] if found is None else found.registry.names())
        if why is None and name in paused:
            why = paused[name].why
        store.limits.pause(name, by or user(), why or "")
        click.echo(f"{name} paused")
    finally:
        store.close()


@tasks.command(short_help="Open a paused task again.")
@which_store
@click.argument("task")
def resume(app: str | None, url: str | None, task: str) -> None:
    """Open TASK again: what was held back is ready, in its order."""
    store, found = chosen(app, url)
    try:
        paused = [one.name for one in store.limits.paused()]
        declared = [] if found is None else found.registry.names()
        name = _named(task, paused if _fitting(task, paused) else [*paused, *declared])
        if not store.limits.resume(name):
            raise SideworkError(f"task {name} was not paused")
        click.echo(f"{name} open")
    finally:
        store.close()


def _fitting(task: str, known: list[str]) -> list[str]:
    return [name for name in known if name == task or name.endswith(f":{task}")]


def _named(task: str, known: list[str]) -> str:
    """The whole name of a task; one that is not known is taken as it is."""
    fits = _fitting(task, known)
    if task in fits or not fits:
        if ":" not in task:
            there = f"; there are: {', '.join(known)}" if known else ""
            raise BadValue(
                f"no task {task!r} is known here{there}: give its whole name, module:name"
            )
        return task
    if len(fits) > 1:
        raise BadValue(f"{task!r} may be {' or '.join(fits)}: give the whole name")
    return fits[0]
