"""Row 21: a claim from a long backlog takes no longer than one from a short backlog."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from pathlib import Path
from random import Random
from statistics import median
from time import perf_counter, time
from typing import Any

import psycopg

from sidework.ids import new_id
from sidework.job import NewJob
from sidework.outcome import Outcome
from sidework.store.opening import open_store
from sidework.store.postgres.place import place_of
from sidework.store.protocol import Demand, Store

from .field import Figures, quantile
from .ground import SCHEMA, Engine, Ground

FEW = 1_000
LEVELS = (1_000_000, 10_000_000)
"""Jobs that wait in the store that is compared with one of ``FEW``; a smaller size has one level."""
LANES = 10
AT_ONCE = 20
BLOCKS, CLAIMS, FEWEST = 5, 300, 20
"""Of one comparison: blocks, claims from each store in a block, and in one of a test. The figure is the
middle one of the blocks' ratios: what else the machine does in one of them is not the backlog's doing."""
PIECE = 200_000
"""Jobs that are put there in one transaction."""
TO_REACH = 1.5

# Of a hundred jobs eighty are available, in ten lanes; ten wait for their time and ten for their next try.
_COLUMNS = (
    "id, task, lane, state, runner, priority, due_at, attempt, max_attempts, fence, inserted_at, "
    "on_crash, args"
)
_VALUES = (
    "'m:f', 'lane' || (n % 10), CASE n / 10 % 10 WHEN 8 THEN 'scheduled' WHEN 9 THEN 'retryable'"
    " ELSE 'available' END, 'loop', 0, {at} + CASE WHEN n / 10 % 10 >= 8 THEN 86400000 ELSE 0 END,"
    " CASE n / 10 % 10 WHEN 9 THEN 1 ELSE 0 END, 3, 0, {at}, 'rescue', {args}"
)


class Line:
    """A store with a backlog of which a worker claims; what it takes is made up for at once."""

    def __init__(self, store: Store, put: Put) -> None:
        self._store = store
        self._put = put
        self.waiting = 0
        self._worker = store.register("host", os.getpid(), ()).id
        self.bad: list[str] = []

    def fill(self, count: int) -> None:
        """Up to so many jobs."""
        for low in range(self.waiting, count, PIECE):
            self._put(low, min(low + PIECE, count))
        self.waiting = count
        self._store.vacuum()
        self._store.checkpoint()

    def claim(self) -> float:
        """Milliseconds of one claim, alone in its transaction."""
        began = perf_counter()
        turn = self._store.turn([], Demand(self._worker, {"loop": AT_ONCE}))
        took = (perf_counter() - began) * 1000
        if len(turn.claimed) != AT_ONCE:
            self.bad.append(f"{len(turn.claimed)} jobs claimed of {self.waiting:,}")
        done = [
            Outcome(job.id, job.fence, job.attempt, "completed", b"\x017") for job in turn.claimed
        ]
        self._store.turn(done, None)
        self._store.insert(
            [NewJob(new_id(), "m:f", b"\x01{}", job.lane, "loop") for job in turn.claimed]
        )
        return took

    def close(self) -> None:
        self._store.retire(self._worker)
        self._store.close()


def deep_backlogs(folder: Path, size: int, seed: int) -> Figures:
    """Row 21: claims from a short and from a long backlog in turns, both engines. ``size`` jobs wait in the
    longest."""
    draw = Random(seed)
    figures: Figures = {"jobs": size, "landed": 0}
    bad: list[str] = []
    blocks, claims = (BLOCKS, CLAIMS) if size >= LEVELS[0] else (1, FEWEST)
    engines: tuple[Engine, ...] = ("sqlite", "postgres")
    for engine in engines:
        with lines(engine, folder / engine) as (few, many):
            few.fill(FEW)
            for level in [*(one for one in LEVELS if one < size), size]:
                many.fill(level)
                ratios, longest = [], 0.0
                for _ in range(blocks):
                    took: dict[Line, list[float]] = {few: [], many: []}
                    for _ in range(claims):
                        for line in draw.sample([few, many], 2):
                            took[line].append(line.claim())
                    short, long = (quantile(took[line], 0.99) for line in (few, many))
                    ratios.append(long / short)
                    longest = max(longest, long)
                figures["landed"] += blocks * claims
                figures[f"{engine}, {level:,}: claim p99, ms"] = round(longest, 2)
                figures[f"{engine}, {level:,}: p99 to that of {FEW:,}"] = round(median(ratios), 2)
                # Of fewer claims it would be the slowest one's.
                if claims >= 100 and median(ratios) > TO_REACH:
                    bad.append(f"{engine}: p99 at {level:,} is {median(ratios):.2f} of {FEW:,}'s")
            bad += [*few.bad, *many.bad]
    return {**figures, "bad": bad}


@contextmanager
def lines(engine: Engine, folder: Path) -> Iterator[tuple[Line, Line]]:
    """Two stores of one engine, on one server or disk."""
    with ExitStack() as stack:
        ground = stack.enter_context(Ground(engine))
        made = []
        for name in ("few", "many"):
            place = folder / name
            place.mkdir(parents=True)
            store: Any = open_store(ground.store(place))
            store.switch("lane0")  # a new file is made by its first use
            put = stack.enter_context(INTO[engine](store))
            made.append(Line(store, put))
            stack.callback(made[-1].close)
        yield made[0], made[1]


Put = Callable[[int, int], None]
"""Stores the jobs of these numbers behind the store's back."""


@contextmanager
def _into_file(store: Any) -> Iterator[Put]:
    def put(low: int, high: int) -> None:
        values = _VALUES.format(at="(:base + n / 10)", args="x'017b7d'")
        text = (
            f"WITH RECURSIVE s(n) AS (SELECT :low UNION ALL SELECT n + 1 FROM s WHERE n < :high - 1)"
            f" INSERT INTO jobs ({_COLUMNS}) SELECT"
            f" unhex(printf('%012x7000%016x', :base + n / 10, n)), {values} FROM s"
        )
        given = {"low": low, "high": high, "base": _base()}
        store._session.write(lambda connection: connection.execute(text, given))

    yield put


@contextmanager
def _into_server(store: Store) -> Iterator[Put]:
    with psycopg.connect(place_of(store.url).conninfo, autocommit=True) as connection:

        def put(low: int, high: int) -> None:
            at = f"({_base()} + n / 10)"
            values = _VALUES.format(at=at, args=r"'\x017b7d'")
            connection.execute(
                f"INSERT INTO {SCHEMA}.jobs ({_COLUMNS}) SELECT (lpad(to_hex({at}), 12, '0') || '7000'"
                f" || lpad(to_hex(n), 16, '0'))::uuid, {values}"
                f" FROM generate_series({low}::bigint, {high - 1}) AS s (n)".encode()
            )

        yield put


INTO: dict[Engine, Callable[[Any], AbstractContextManager[Put]]] = {
    "sqlite": _into_file,
    "postgres": _into_server,
}


def _base() -> int:
    """An hour ago, in milliseconds: what is asked for meanwhile comes after all that waits."""
    return int(time() * 1000) - 3_600_000
