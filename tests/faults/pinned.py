"""Row 22: an old transaction holds back the xmin horizon: nothing that ends is taken away any more."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from time import monotonic
from typing import Any, NamedTuple

import psycopg

from sidework.store.postgres.connection import statement
from sidework.store.postgres.place import place_of

from .field import Field, Figures, pause, quantile, until
from .ground import SCHEMA, Ground

LOAD = Path(__file__).parent / "pressed_load.py"
RATE, TICK = 500, 0.1
WARM = 20_000
"""Jobs that came and went at once when the transaction had begun, as in its first 40 seconds: a short run
would have nothing to step over."""
DRAINS, DRAINED = 3, 5_000
TO_REACH = 0.8


class Flow(NamedTuple):
    """How many jobs ended per second, and how long they waited for a worker (p99, milliseconds)."""

    rate: float
    waited: float


class Side:
    """One database with its worker, and what its tables say behind the app's back."""

    def __init__(self, stack: ExitStack, ground: Ground, folder: Path) -> None:
        folder.mkdir()
        url = ground.store(folder)
        self.field = stack.enter_context(Field(folder, LOAD, url))
        self.database = stack.enter_context(
            psycopg.connect(place_of(url).conninfo, autocommit=True)
        )
        self.database.execute(f"SET search_path TO {SCHEMA}")
        self.strangers = statement("strangers", SCHEMA).text.decode()
        self.worker = self.field.worker()
        self.field.ready(self.worker)

    def ask(self, sql: str, *given: Any) -> tuple[Any, ...]:
        row: tuple[Any, ...] | None = self.database.execute(sql, given or None).fetchone()
        assert row is not None
        return row

    def now(self) -> int:
        return int(self.ask("SELECT (extract(epoch FROM clock_timestamp()) * 1000)::bigint")[0])

    def warm(self) -> None:
        """Jobs that came, ran and ended, in one transaction: no worker sees them wait."""
        at = self.now() - 1000
        (worker,) = self.ask("SELECT max(id) FROM workers")
        with self.database.transaction():
            self.database.execute(
                "INSERT INTO jobs (id, task, lane, state, runner, priority, due_at, max_attempts,"
                " inserted_at, on_crash, args, note) SELECT gen_random_uuid(), 'load:nothing', 'default',"
                f" 'available', 'loop', 0, {at}, 1, {at}, 'retry', '\\x01', 'warm'"
                f" FROM generate_series(1, {WARM})"
            )
            for change in (
                f"state = 'running', worker = {worker}, started_at = due_at, attempt = 1, fence = 1",
                "state = 'completed', worker = NULL, finished_at = due_at, fence = 2",
            ):
                self.database.execute(f"UPDATE jobs SET {change} WHERE note = 'warm'")

    def flow(self, seconds: int) -> Flow:
        """500 jobs/s for so long."""
        began, since, asked = monotonic(), self.now(), 0
        task = self.field.load.nothing
        while (passed := monotonic() - began) < seconds:
            wanted = round(passed * RATE) - asked
            if wanted > 0:
                self.field.enqueue([task.bind(at) for at in range(wanted)])
                asked += wanted
            pause(TICK)
        end = self.now()
        rows = self.database.execute(
            "SELECT started_at - inserted_at, finished_at FROM jobs WHERE inserted_at >= %s",
            (since,),
        ).fetchall()
        done = sum(finished is not None and finished <= end for _, finished in rows)
        waited = quantile((wait for wait, _ in rows if wait is not None), 0.99)
        return Flow(done * 1000 / (end - since), waited)

    def drain(self, count: int) -> float:
        """Jobs per second while a backlog is worked off."""
        self.field.app.store.pause("default", "row", "until all are there")
        since = self.now()
        ids = self.field.enqueue([self.field.load.nothing.bind(at) for at in range(count)])
        self.field.app.store.resume("default")
        until(
            lambda: self.ask("SELECT count(*) FROM jobs WHERE finished_at >= %s", since)[0] >= len(ids),
            "the backlog's end", 120,
        )  # fmt: skip
        first, last = self.ask(
            "SELECT min(started_at), max(finished_at) FROM jobs WHERE inserted_at >= %s", since
        )
        return len(ids) * 1000 / max(1, int(last) - int(first))

    def timed(self, sql: str) -> float:
        """Milliseconds that a statement takes on the server, the longest of three, undone afterwards."""
        took = []
        for _ in range(3):
            with self.database.transaction(force_rollback=True):
                lines = self.database.execute(f"EXPLAIN (ANALYZE, TIMING OFF) {sql}").fetchall()
            took.append(float(str(lines[-1][0]).split()[2]))
        return round(max(took), 2)

    def end(self) -> list[str]:
        """What was wrong with how it ended."""
        bad = self.field.stop(self.worker)
        (left,) = self.ask("SELECT count(*) FROM jobs WHERE state <> 'completed'")
        return [*bad, f"{left} jobs did not end"] if left else bad


def pinned_horizon(folder: Path, size: int, seed: int) -> Figures:
    """Row 22: an old transaction keeps every dead row for so many seconds, at 500 jobs/s. A second
    database of the server, in which there is none, does the same in turns."""
    with ExitStack() as stack:
        ground = stack.enter_context(Ground("postgres"))
        free, held = (Side(stack, ground, folder / name) for name in ("free", "held"))
        for side in (free, held):
            side.flow(1)
        holds = stack.enter_context(pinned(held.database))
        held.warm()
        count = min(DRAINED, 1000 * size)
        first = free.flow(min(size, 30))
        pressed = held.flow(size)
        last = free.flow(min(size, 30))
        # In turns, so that what else the machine does meets both alike.
        drained = [(free.drain(count), held.drain(count)) for _ in range(DRAINS)]
        free_drain, held_drain = (
            sorted(rates)[DRAINS // 2] for rates in zip(*drained, strict=True)
        )
        rate = max(first.rate, last.rate)
        figures = {
            "landed": int(holds()),
            "seconds": size,
            "min/of throughput": round(pressed.rate / rate, 2),
            "min/of drain rate": round(held_drain / free_drain, 2),
            "pickup p99 ms": round(pressed.waited),
            "pickup p99 ms unpinned": round(max(first.waited, last.waited)),
            "longest beat ms": held.timed("UPDATE workers SET beat = beat + 1"),
            "longest chore's turn ms": held.timed("UPDATE chores SET next_at = next_at"),
            "longest look for strangers ms": held.timed(held.strangers),
        }
        bad = [*free.end(), *held.end()]
    for what, was, now in (("jobs/s", rate, pressed.rate), ("drain", free_drain, held_drain)):
        if now < TO_REACH * was:
            bad.append(f"{what}: {now:.0f} with the horizon pinned, {was:.0f} without")
    return {**figures, "bad": bad}


@contextmanager
def pinned(database: psycopg.Connection[Any]) -> Iterator[Callable[[], bool]]:
    """An old transaction; what is yielded tells whether the server still keeps rows for it."""
    with psycopg.connect(database.info.dsn) as old:
        old.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        old.execute("SELECT 1 FROM pg_class LIMIT 1")

        def holds() -> bool:
            row = database.execute(
                "SELECT age(backend_xmin) > 100 FROM pg_stat_activity WHERE pid = %s",
                (old.info.backend_pid,),
            ).fetchone()
            return row is not None and bool(row[0])

        yield holds
