"""``sidework workers``: who works on the store, and who is gone without a word."""

from __future__ import annotations

import click

from ..store.protocol import Store
from .choosing import as_json, on_store
from .showing import ago, show_json, when
from .table import Column, show_table

_COLUMNS = (
    Column("id"),
    Column("host", cut="right"),
    Column("pid"),
    Column("state", colours={"alive": "green", "dead": "red"}),
    Column("queues", cut="right"),
    Column("started", leave_out=1),
)


@click.command(short_help="List the workers, alive or dead.")
@on_store
@as_json
def workers(store: Store, as_json: bool) -> None:
    """List the workers of the store, alive or dead.

    A dead one is listed until the next worker, or one that lives, has brought back its jobs.
    """
    rows = store.workers()
    if as_json:
        show_json(
            [
                {
                    "id": row.id,
                    "host": row.host,
                    "pid": row.pid,
                    "alive": row.alive,
                    "queues": list(row.queues),
                    "started_at": when(row.started_at),
                }
                for row in rows
            ]
        )
        return
    show_table(
        _COLUMNS,
        (
            (row.id, row.host, row.pid, "alive" if row.alive else "dead",
             ", ".join(row.queues) or "all", ago(row.started_at))
            for row in rows
        ),
        empty="no workers: start one by sidework worker APP",
    )  # fmt: skip
