"""``sidework health``: whether all is well, for probes: one line, and the exit code."""

from __future__ import annotations

import sys
from collections.abc import Iterator

import click
from msgspec import Struct
from msgspec.structs import asdict

from ..duration import text_of
from ..errors import StoreError
from ..state import State
from ..store.gauges import OTHERS, Reading
from ..store.protocol import Store
from ..url import shown
from . import values
from .choosing import as_json, chosen, which_store
from .showing import counted, show_json

CHORES_SECONDS = 60.0
"""A worker takes each chore within seconds of its time: after a minute none does."""


class Health(Struct, frozen=True):
    """What was looked at, and what is wrong with it. Times in seconds."""

    healthy: bool
    problems: list[str]
    store: str | None = None
    workers: int | None = None
    oldest_available: float | None = None
    oldest_queue: str | None = None


@click.command(short_help="Say in one line whether all is well; exit code 1 if not.")
@which_store
@click.option("--worker", is_flag=True, help="There has to be a worker that lives.")
@click.option("--max-wait", metavar="DURATION", callback=values.duration,
              help="No available job may have waited longer, like 5m.")  # fmt: skip
@as_json
def health(
    app: str | None, url: str | None, worker: bool, max_wait: float | None, as_json: bool
) -> None:
    """Say in one line whether the store answers and its chores are done; exit code 1 if not.

    Jobs of paused queues wait on purpose: they count for nothing.
    """
    store: Store | None = None
    try:
        store, _ = chosen(app, url)
        found = _looked_at(store, worker, max_wait)
    except StoreError as error:
        found = Health(False, [str(error)])
    finally:
        if store is not None:
            store.close()
    if as_json:
        show_json(asdict(found))
    else:
        click.echo(_line(found), err=not found.healthy)
    sys.exit(0 if found.healthy else 1)


def _looked_at(store: Store, worker: bool, most: float | None) -> Health:
    reading = store.gauges.read()
    alive = sum(one.alive for one in store.workers())
    age, queue = _oldest(reading)
    problems = list(_problems(reading, alive, worker))
    if most is not None and age is not None and age > most:
        problems.append(f"a job of queue {queue} has waited {text_of(age)}, over {text_of(most)}")
    return Health(not problems, problems, shown(store.url), alive, age, queue)


def _oldest(reading: Reading) -> tuple[float | None, str | None]:
    """How long the oldest available job of a queue that is not paused has waited, and its queue."""
    waits = [
        ((reading.at - level.since) / 1000, level.queue)
        for level in reading.levels
        if level.state is State.AVAILABLE and level.since is not None
        if level.queue not in reading.paused or level.queue == OTHERS
    ]
    return max(waits, default=(None, None))


def _problems(reading: Reading, alive: int, worker: bool) -> Iterator[str]:
    if worker and not alive:
        yield "no worker lives: start one by sidework worker APP"
    for chore, overdue in reading.overdue.items():
        if alive and overdue / 1000 > CHORES_SECONDS:
            yield f"the chore {chore} was not taken for {text_of(overdue / 1000)}"


def _line(found: Health) -> str:
    if not found.healthy:
        return f"sidework: not healthy: {'; '.join(found.problems)}"
    waits = "no job waits"
    if found.oldest_available is not None:
        waits = f"a job of queue {found.oldest_queue} waits for {text_of(found.oldest_available)}"
    return f"healthy: {found.store}, {counted(found.workers or 0, 'worker')}, {waits}"
