"""``sidework periodic``: what the clock enqueues, when it comes next, and its switch."""

from __future__ import annotations

from contextlib import closing

import click
from msgspec.structs import replace

from ..client.periodics import next_ticks, not_found, refuse_retired
from ..clock import now_ms
from ..errors import PeriodicNotFound, SideworkError, StoreMissing
from ..ids import id_text, new_id
from ..periodic import PeriodicRow
from ..store.opening import open_store
from ..store.protocol import Store
from ..tasks.registry import AppLike
from .choosing import as_json, chosen, chosen_place, on_store, which_store
from .queues import user
from .showing import ago, show_json, stored, when
from .table import Column, show_table

_NEW = "no worker yet"

_COLUMNS = (
    Column("name", cut="left"),
    Column("task", leave_out=3, cut="left"),
    Column("schedule"),
    Column("zone", leave_out=2),
    Column("next"),
    Column("last", leave_out=1),
    Column("state", colours={"active": "green", "paused": "yellow", "retired": "dim"}),
    Column("why", cut="right"),
)


@click.group()
def periodic() -> None:
    """List, preview, run, pause and resume what the clock enqueues."""


@periodic.command("list", short_help="List every periodic with its next and last tick.")
@which_store
@as_json
def list_(app: str | None, url: str | None, as_json: bool) -> None:
    """List every periodic with its next and last tick.

    With an app also those that it declares and no worker has begun with. Retired ones are in the code of no
    worker any more.
    """
    rows, _ = _rows(app, url)
    if as_json:
        show_json([_json(row) for row in rows])
        return
    show_table(
        _COLUMNS,
        (
            (row.name, row.entry.job.task, row.entry.schedule.text, row.entry.schedule.tz,
             ago(_next(row)), ago(row.last_at), _state(row), _why(row))
            for row in rows
        ),
        empty="no periodics: write @app.periodic(...) above a task",
    )  # fmt: skip


@periodic.command("next", short_help="Preview the next ticks of a periodic.")
@which_store
@click.argument("name")
@click.option("-n", "count", type=click.IntRange(1, 1000), default=5, show_default=True,
              help="How many.")  # fmt: skip
@as_json
def next_(app: str | None, url: str | None, name: str, count: int, as_json: bool) -> None:
    """Preview the next ticks of NAME, in its zone, with the distance from UTC."""
    row = _meant(*_rows(app, url), name)
    moment = now_ms()
    ticks = next_ticks(row.entry, moment, count)
    if as_json:
        show_json([tick.isoformat() for tick in ticks])
        return
    for tick in ticks:
        stamp = round(tick.timestamp() * 1000)
        shown = f"{tick:%a %Y-%m-%d %H:%M:%S} {tick.isoformat()[-6:]}"
        click.echo(f"{shown}  {ago(stamp)}")
    if not ticks:
        click.echo("no more ticks: it has ended", err=True)
    elif row.retired_at is not None:
        click.echo("sidework: it is retired: none of these will come", err=True)
    elif row.paused_at is not None:
        click.echo(f"sidework: it is paused: {_why(row)}", err=True)


@periodic.command(short_help="Enqueue one job of a periodic now.")
@which_store
@click.argument("name")
def run(app: str | None, url: str | None, name: str) -> None:
    """Enqueue one job of NAME now, whatever the clock shows; its ticks go on as they are."""
    store, row = _begun(app, url, name)
    try:
        refuse_retired(row)
        job = replace(row.entry.job, id=new_id())
        store.insert([job])
        click.echo(id_text(job.id))
    finally:
        store.close()


@periodic.command(short_help="Let no tick of a periodic fire.")
@which_store
@click.argument("name")
@click.option(
    "--why", help="Told to whoever asks why it does not come; else an earlier reason stays."
)
@click.option("--by", help="Who pauses it; your user name by default.")
def pause(app: str | None, url: str | None, name: str, why: str | None, by: str | None) -> None:
    """Let no tick of NAME fire until it is resumed, also over restarts and new versions of the code."""
    store, row = _begun(app, url, name)
    try:
        store.periodics.pause(row.name, by or user(), row.paused_why or "" if why is None else why)
        click.echo(f"{row.name} paused")
    finally:
        store.close()


@periodic.command(short_help="Let a paused periodic fire again.")
@on_store
@click.argument("name")
def resume(store: Store, name: str) -> None:
    """Let NAME fire again, from its next tick on; what came meanwhile is not made up for."""
    row = _meant(store.periodics.all(), store.url, name)
    if not store.periodics.resume(row.name):
        raise SideworkError(f"periodic {row.name} was not paused")
    click.echo(f"{row.name} goes on")


def _rows(app: str | None, url: str | None) -> tuple[list[PeriodicRow], str]:
    """Those of the store, and those of the app with which no worker has begun (version -1); and the store's
    URL. Where there is no database yet, that is said, and the app's are all there are."""
    place, found = chosen_place(app, url)
    rows: list[PeriodicRow] = []
    try:
        with closing(open_store(place, create=False)) as store:
            rows = store.periodics.all()
    except StoreMissing as missing:
        if found is None:
            raise
        click.echo(f"sidework: {missing}", err=True)
    return _with_declared(rows, found), place


def _with_declared(stands: list[PeriodicRow], found: AppLike | None) -> list[PeriodicRow]:
    """With those of the app with which no worker has begun (version -1)."""
    rows = {row.name: row for row in stands}
    for entry in () if found is None else found.declares().entries:
        if entry.name not in rows:
            rows[entry.name] = PeriodicRow(entry.name, entry.spec, -1, None, now_ms())
    return [rows[name] for name in sorted(rows)]


def _begun(app: str | None, url: str | None, name: str) -> tuple[Store, PeriodicRow]:
    """The store, and the one meant; refused when it is in the app's code alone."""
    store, found = chosen(app, url)
    try:
        row = _meant(_with_declared(store.periodics.all(), found), store.url, name)
        if row.version < 0:
            raise SideworkError(
                f"periodic {row.name} is declared, but no worker has begun with it: start one"
            )
    except BaseException:
        store.close()
        raise
    return store, row


def _meant(rows: list[PeriodicRow], url: str, name: str) -> PeriodicRow:
    """The one of that name; or of the task of that name, if it has only one."""
    for row in rows:
        if row.name == name:
            return row
    tasks = [(row, row.entry.job.task) for row in rows]
    fits = [row for row, task in tasks if name in (task, task.rpartition(":")[2])]
    if len(fits) > 1:
        raise PeriodicNotFound(
            f"{name} has several periodics, say which: {', '.join(repr(row.name) for row in fits)}"
        )
    if not fits:
        raise not_found(name, url)
    return fits[0]


def _next(row: PeriodicRow) -> int | None:
    return row.next() if row.state == "active" else None


def _state(row: PeriodicRow) -> str:
    return _NEW if row.version < 0 else row.state


def _why(row: PeriodicRow) -> str | None:
    if row.paused_at is None:
        return None
    return f"{ago(row.paused_at)} by {row.paused_by}: {row.paused_why or 'no reason given'}"


def _json(row: PeriodicRow) -> dict[str, object]:
    entry = row.entry
    return {
        "name": row.name,
        "app": entry.app,
        "task": entry.job.task,
        "args": stored(entry.job.args),
        "schedule": entry.schedule.text,
        "zone": entry.schedule.tz,
        "start": when(entry.schedule.start),
        "end": when(entry.schedule.end),
        "misfire": entry.misfire,
        "overlap": entry.overlap,
        "jitter_ms": entry.jitter,
        "state": _state(row),
        "next_at": when(_next(row)),
        "last_at": when(row.last_at),
        "paused_at": when(row.paused_at),
        "paused_by": row.paused_by,
        "paused_why": row.paused_why,
        "retired_at": when(row.retired_at),
    }
