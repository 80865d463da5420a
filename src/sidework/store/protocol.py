"""What every engine does, grouped by noun; the rest of Sidework sees only this.

Values first, then the verbs: ``Jobs``, ``Transactions``, ``Claims``, ``Workers``, ``Queues``, ``Chores``,
``Bells``, ``Upkeep``, and ``Store``, which is all of them; nouns that are attributes of it have a file each.
What each does is said at the engines, whose verbs stand in this order.

Every verb is atomic and durable when it returns. ``now`` moves time in tests; without it the
engine's own clock counts. Errors are ``StoreError``s, and ``BadValue`` for what no store takes
(``storable.py``); a lost claim is an ordinary value.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
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
from ..note import Notes
from ..outcome import Outcome
from .copies import Copies
from .flows import Flows
from .gauges import Gauges
from .journal import Journal
from .limits import Limits
from .periodics import Periodics

RETENTION: dict[str, int] = {
    "completed_age": 24 * 3600 * 1000,
    "completed_count": 1_000_000,
    "cancelled_age": 30 * 24 * 3600 * 1000,
    "discarded_age": 30 * 24 * 3600 * 1000,
}
"""How long final jobs are kept (milliseconds, and at most so many completed ones)."""

STOP_SECONDS = 2.0
"""How much of its trust a worker needs to stop what must not run on without it: it begins when so
much is left. Between two beats that are answered in time, ``trust`` stays well above it."""


class Demand(Struct, frozen=True):
    """What a worker could start now: how many jobs of each runner, from which lanes (empty: all), and how
    many at most of some of them (``most``)."""

    worker: int
    places: dict[Runner, int]
    lanes: tuple[str, ...] = ()
    most: dict[str, int] = {}


class Turn(Struct, frozen=True):
    """What one turn of a worker brought: a verdict per outcome, and the jobs claimed.

    ``took[i]`` is False when outcome i lost its claim, and None when a transaction that is still open
    holds the row, of the job's own (with ``in_transaction``) or of a stranger who works on the tables:
    nothing was written, and it is to be said again. ``short`` names the runners for which there was less
    to claim than was asked for.
    ``due_in`` is the milliseconds until another look is worth it, by the store's clock, which is none of the
    worker's: the next waiting job becomes due, or what the engine's hints left out may be seen.
    ``limited`` are the lanes that had a limit: an end of one of their jobs makes room for another.
    """

    took: Sequence[bool | None]
    claimed: list[Claimed]
    short: frozenset[Runner]
    due_in: Millis | None
    limited: frozenset[str] = frozenset()


class Finding(Struct, frozen=True):
    """How one thing looks, in a line. With ``advice`` it could be better, and that says how; as a
    ``problem`` it fails or loses something, now or later."""

    what: str
    value: str
    advice: str = ""
    problem: bool = False


class Jobs(Protocol):
    """What clients and people do with jobs."""

    def insert(self, jobs: Sequence[NewJob], now: Millis | None = None) -> list[Inserted]: ...
    def get(self, ids: Sequence[bytes]) -> list[JobRow | None]: ...
    def page(self, want: JobFilter, before: bytes | None, limit: int) -> list[JobRow]: ...
    def attempts(self, job_id: bytes) -> list[AttemptRow]: ...
    def cancel(self, job_id: bytes, note: str, now: Millis | None = None) -> str | None: ...
    def retry(self, job_id: bytes, now: Millis | None = None) -> bool: ...
    def delete(self, job_id: bytes) -> bool: ...


class Transactions(Protocol):
    """What is done on the caller's own connection: it is so when the caller commits. ``finish_on`` completes
    a running job; False when its claim was lost. ``transaction`` makes such a connection; a thread within it
    does nothing else with the store, and ``outside`` refuses it."""

    def insert_on(
        self, connection: Any, jobs: Sequence[NewJob], now: Millis | None = None
    ) -> list[Inserted]: ...
    async def ainsert_on(
        self, connection: Any, jobs: Sequence[NewJob], now: Millis | None = None
    ) -> list[Inserted]: ...
    def finish_on(self, connection: Any, outcome: Outcome, now: Millis | None = None) -> bool: ...
    async def afinish_on(
        self, connection: Any, outcome: Outcome, now: Millis | None = None
    ) -> bool: ...
    def transaction(self) -> AbstractContextManager[Any]: ...
    def outside(self) -> None: ...


class Claims(Protocol):
    """What a worker does with jobs: in a ``turn`` it says what running ones tell, then how others ended, then
    asks for more. A ``turn`` with a demand of a worker that is not known (any more) is
    ``StoreRefused`` as a whole: it registers, then says it again."""

    def turn(
        self,
        outcomes: Sequence[Outcome],
        demand: Demand | None,
        now: Millis | None = None,
        notes: Sequence[Notes] = (),
    ) -> Turn: ...
    def cancelling(self, worker: int) -> list[bytes]: ...
    def held(self, worker: int) -> list[Held] | None: ...


class Workers(Protocol):
    """Who claims, and whether they live."""

    def register(
        self, host: str, pid: int, queues: Sequence[str], now: Millis | None = None
    ) -> WorkerRow: ...
    def retire(self, worker: int, now: Millis | None = None) -> None: ...
    def workers(self) -> list[WorkerRow]: ...
    def rescue(self, now: Millis | None = None) -> int: ...
    def trust(self, worker: int) -> float:
        """For how many seconds from now nobody brings back this worker's jobs; ``inf`` where a death
        is seen without a clock, 0 or less when overdue or the worker is not known.

        Counted from the *sending* of the last beat that was answered and found the worker known.
        Answered from memory, never by the server, and from any thread. Once it falls below
        ``STOP_SECONDS``, verbs under way and new ones fail soon instead of waiting: a worker that is
        held by one cannot ask its children to end, and has to kill them."""
        ...


class Queues(Protocol):
    """The named lines of jobs."""

    def queues(self) -> list[QueueRow]: ...
    def switch(self, queue: str) -> QueueRow: ...
    def pause(self, queue: str, by: str, why: str, now: Millis | None = None) -> None: ...
    def resume(self, queue: str) -> bool: ...


class Chores(Protocol):
    """Housekeeping; any worker may take a turn."""

    def take_turns(self, every: Mapping[str, Millis], now: Millis | None = None) -> set[str]: ...
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
    """What an operator does.

    ``migrate`` brings the schema to what this code knows, and says which versions it applied; ``script`` is
    that as text, to be run by others. A store that does so by itself has neither to do. ``check`` reads
    everything and says what is damaged; ``findings`` is how the store and its surroundings look.
    """

    def migrate(self) -> list[int]: ...
    def script(self) -> str: ...
    def info(self) -> dict[str, Any]: ...
    def check(self) -> list[str]: ...
    def findings(self) -> list[Finding]: ...
    def backup(self, target: str) -> None: ...
    def vacuum(self) -> None: ...


class Store(Jobs, Transactions, Claims, Workers, Queues, Chores, Bells, Upkeep, Protocol):
    """An engine with its connections. In a ``hurry`` it waits for others no longer than so many seconds,
    until it is closed; the next use opens it again."""

    @property
    def url(self) -> str: ...
    @property
    def flows(self) -> Flows: ...
    @property
    def copies(self) -> Copies: ...
    @property
    def gauges(self) -> Gauges: ...
    @property
    def journal(self) -> Journal: ...
    @property
    def limits(self) -> Limits: ...
    @property
    def periodics(self) -> Periodics: ...
    def hurry(self, seconds: float) -> None: ...
    def close(self) -> None: ...
