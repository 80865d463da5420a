"""What every engine does, grouped by noun; the rest of Sidework sees only this.

Every verb is atomic and durable when it returns. ``now`` moves time in tests; without it the
engine's own clock counts. Errors are ``StoreError``s; a lost claim is an ordinary value.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import AbstractContextManager
from typing import Any, Protocol

from msgspec import Struct

from ..clock import Millis
from ..job import (
    AttemptRow,
    Claimed,
    Held,
    Inserted,
    JobFilter,
    JobRow,
    NewJob,
    QueueRow,
    Runner,
    WorkerRow,
)
from ..outcome import Outcome

RETENTION: dict[str, int] = {
    "completed_age": 24 * 3600 * 1000,
    "completed_count": 1_000_000,
    "cancelled_age": 30 * 24 * 3600 * 1000,
    "discarded_age": 30 * 24 * 3600 * 1000,
}
"""How long final jobs are kept (milliseconds, and at most so many completed ones)."""


class Demand(Struct, frozen=True):
    """What a worker could start now: how many jobs of each runner, from which lanes (empty: all)."""

    worker: int
    places: dict[Runner, int]
    lanes: tuple[str, ...] = ()


class Turn(Struct, frozen=True):
    """What one turn of a worker brought: a verdict per outcome, and the jobs claimed.

    ``took[i]`` is False when outcome i lost its claim. ``short`` names the runners for
    which there was less to claim than was asked for. ``next_due`` is when the next waiting job becomes due.
    """

    took: list[bool]
    claimed: list[Claimed]
    short: frozenset[Runner]
    next_due: Millis | None


class Jobs(Protocol):
    """What clients do with jobs."""

    def insert(self, jobs: Sequence[NewJob], now: Millis | None = None) -> list[Inserted]: ...
    def insert_on(
        self, connection: Any, jobs: Sequence[NewJob], now: Millis | None = None
    ) -> list[Inserted]: ...
    def transaction(self) -> AbstractContextManager[Any]: ...
    def outside(self) -> None: ...
    def get(self, ids: Sequence[bytes]) -> list[JobRow | None]: ...
    def page(self, want: JobFilter, before: bytes | None, limit: int) -> list[JobRow]: ...
    def attempts(self, job_id: bytes) -> list[AttemptRow]: ...
    def cancel(self, job_id: bytes, note: str, now: Millis | None = None) -> str | None: ...
    def retry(self, job_id: bytes, now: Millis | None = None) -> bool: ...
    def delete(self, job_id: bytes) -> bool: ...


class Claims(Protocol):
    """What a worker does with jobs. A ``turn`` with a demand of a worker that is not known (any more) is
    ``StoreRefused`` as a whole: it registers, then says it again."""

    def turn(
        self, outcomes: Sequence[Outcome], demand: Demand | None, now: Millis | None = None
    ) -> Turn: ...
    def cancelling(self, worker: int) -> list[bytes]: ...
    def held(self, worker: int) -> list[Held] | None: ...


class Workers(Protocol):
    """Who claims, and whether they live."""

    def register(
        self, host: str, pid: int, queues: Sequence[str], now: Millis | None = None
    ) -> WorkerRow: ...
    def retire(self, worker: int) -> None: ...
    def workers(self) -> list[WorkerRow]: ...
    def rescue(self, now: Millis | None = None) -> int: ...


class Queues(Protocol):
    """The named lines of jobs."""

    def queues(self) -> list[QueueRow]: ...
    def switch(self, queue: str) -> QueueRow: ...
    def pause(self, queue: str, by: str, why: str, now: Millis | None = None) -> None: ...
    def resume(self, queue: str) -> bool: ...


class Chores(Protocol):
    """Housekeeping; any worker may take a turn."""

    def take_turn(self, name: str, every: Millis, now: Millis | None = None) -> bool: ...
    def promote(self, limit: int, now: Millis | None = None) -> int: ...
    def expire(self, limit: int, now: Millis | None = None) -> int: ...
    def prune(self, retention: dict[str, int], limit: int, now: Millis | None = None) -> int: ...
    def checkpoint(self) -> None: ...


class Bells(Protocol):
    """Hints between processes. With every bell cut, all still ends, only later (promise I10): who waits
    looks at the ``version`` every ``pace`` seconds."""

    def listen(self, kind: str) -> Listener: ...
    def ring_work(self) -> None: ...
    def ring_done(self, ids: Iterable[bytes]) -> None: ...
    def version(self) -> int: ...
    def pace(self) -> float: ...


class Listener(Protocol):
    """A bell to wait for: select on ``fileno``, then ``read``."""

    def fileno(self) -> int: ...
    def read(self) -> list[bytes]: ...
    def close(self) -> None: ...


class Upkeep(Protocol):
    """What an operator does."""

    def info(self) -> dict[str, Any]: ...
    def check(self) -> list[str]: ...
    def backup(self, target: str) -> None: ...
    def vacuum(self) -> None: ...


class Store(Jobs, Claims, Workers, Queues, Chores, Bells, Upkeep, Protocol):
    """An engine with its connections."""

    @property
    def url(self) -> str: ...
    def hurry(self, seconds: float) -> None: ...
    def close(self) -> None: ...
