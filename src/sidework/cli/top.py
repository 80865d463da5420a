"""``sidework top``: queues with their rates, what runs, and who works, as it is now."""

from __future__ import annotations

import os
import sys
import time
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

import click
from msgspec import Struct

from ..clock import monotonic, now_ms, to_datetime
from ..errors import StoreUnavailable
from ..ids import id_text
from ..job import JobFilter, JobRow, QueueRow, WorkerRow
from ..state import FINAL, State
from ..store.protocol import Store
from ..url import shown
from .choosing import on_store
from .showing import counted, lasted
from .table import STATE_COLOURS

if TYPE_CHECKING:
    from rich.console import RenderableType

_MOST_RUNNING = 15
_WIDE = 160
"""Columns for who reads it through a pipe."""
_SHARE = 10
"""After a look comes a pause of so many times its length at least: it must not be the store's main load."""
_SHOWN = (State.AVAILABLE, State.RUNNING, State.SCHEDULED, State.RETRYABLE, State.BLOCKED)


class Look(Struct, frozen=True):
    """The store at one moment."""

    at: float
    queues: list[QueueRow]
    running: list[JobRow]
    workers: list[WorkerRow]

    @property
    def ended(self) -> dict[str, int]:
        """Final jobs by queue."""
        return {row.name: sum(row.counts.get(state, 0) for state in FINAL) for row in self.queues}


@click.command(short_help="Watch queues, running jobs and workers.")
@on_store
@click.option("--interval", type=click.FloatRange(min=0.1), default=1.0, show_default=True,
              help="Seconds between two looks.")  # fmt: skip
@click.option("--once", is_flag=True, help="Show it once, and leave; so it is without a terminal.")
def top(store: Store, interval: float, once: bool) -> None:
    """Watch queues, running jobs and workers until Control-C.

    A rate is what has ended between two looks, in jobs a second.
    """
    from rich.console import Console
    from rich.live import Live

    if once or not sys.stdout.isatty():
        width = None if sys.stdout.isatty() or os.environ.get("COLUMNS") else _WIDE
        Console(highlight=False, width=width).print(frame(store.url, None, look(store)))
        return
    before: Look | None = None
    with Live(screen=True, auto_refresh=False, console=Console(highlight=False)) as live:
        try:
            while True:
                began = monotonic()
                try:
                    now = look(store)
                    live.update(frame(store.url, before, now), refresh=True)
                    before = now
                except StoreUnavailable as error:  # it comes back, or who watches leaves
                    live.update(str(error), refresh=True)
                time.sleep(max(interval, (monotonic() - began) * _SHARE))
        except KeyboardInterrupt:
            return


def look(store: Store) -> Look:
    """Ask the store."""
    running = store.page(JobFilter(states=(State.RUNNING,)), None, _MOST_RUNNING)
    return Look(monotonic(), store.queues(), running, store.workers())


def frame(url: str, before: Look | None, now: Look) -> RenderableType:
    """What is shown of a look, with rates since the one before."""
    from rich.console import Group
    from rich.text import Text

    jobs: Counter[str] = Counter()
    for row in now.queues:
        jobs.update(row.counts)
    told = ", ".join(f"{jobs[state]:,} {state}" for state in State if jobs[state]) or "no jobs"
    head = Text(
        f"{to_datetime(now_ms()).astimezone():%H:%M:%S}  {shown(url)}\n{told}\n",
        no_wrap=True,
        overflow="ellipsis",
    )
    return Group(head, _queues(before, now), _running(now, jobs[State.RUNNING]), _workers(now))


def _queues(before: Look | None, now: Look) -> RenderableType:
    ended = {} if before is None else before.ended
    passed = 0.0 if before is None else now.at - before.at

    def rate(name: str) -> str:
        if name not in ended or not passed:
            return "-"
        # What is pruned meanwhile would count against what has ended.
        return f"{max(0, now.ended[name] - ended[name]) / passed:,.1f}"

    columns = ["queue", *_SHOWN, "ended", "ended/s", "switch"]
    rows = (
        (
            row.name, *(f"{row.counts.get(state, 0):,}" for state in _SHOWN),
            f"{now.ended[row.name]:,}", rate(row.name),
            "" if row.paused_at is None else f"paused: {row.paused_why or 'no reason given'}",
        )
        for row in now.queues
    )  # fmt: skip
    return _table("Queues", columns, rows, "no queues", right=range(1, len(_SHOWN) + 3))


def _running(now: Look, count: int) -> RenderableType:
    rows = (
        (id_text(row.id), row.task, row.lane, f"{row.attempt} of {row.max_attempts}",
         lasted(row.started_at), row.worker)
        for row in now.running
    )  # fmt: skip
    more = f", the newest {_MOST_RUNNING} of {count:,}" if count > _MOST_RUNNING else ""
    columns = ["job", "task", "queue", "attempt", "for", "worker"]
    return _table(f"Running{more}", columns, rows, "nothing runs")


def _workers(now: Look) -> RenderableType:
    rows = (
        (row.id, row.host, row.pid, "alive" if row.alive else "dead", lasted(row.started_at),
         ", ".join(row.queues) or "all")
        for row in now.workers
    )  # fmt: skip
    alive = sum(row.alive for row in now.workers)
    title = f"Workers, {counted(alive, 'living one')}" if now.workers else "Workers"
    return _table(title, ["worker", "host", "pid", "state", "for", "queues"], rows, "no workers")


def _table(
    title: str,
    columns: Sequence[str],
    rows: Iterable[Sequence[object]],
    empty: str,
    right: Iterable[int] = (),
) -> RenderableType:
    from rich.console import Group
    from rich.table import Table
    from rich.text import Text

    table = Table(title=title, title_justify="left", box=None, pad_edge=False, title_style="bold")
    rights = set(right)
    for at, name in enumerate(columns):
        table.add_column(
            Text(name, STATE_COLOURS.get(name, "")),
            justify="right" if at in rights else "left",
            overflow="ellipsis",
            no_wrap=True,
            min_width=36 if name == "job" else None,
        )
    count = 0
    for row in rows:
        count += 1
        table.add_row(*(Text("" if cell is None else " ".join(str(cell).split())) for cell in row))
    return Group(table, "") if count else Text.assemble((title, "bold"), f"\n{empty}\n")
