"""A periodic: a task that is enqueued by the clock. What is declared, how it stands in the store, and what
is to be done when one is due; decided here as values, written by the store.

One job per tick (promise I8): its id is made of the periodic's name and the tick, so that it is the same
from whoever fires it.
"""

from __future__ import annotations

import hashlib
from typing import Literal

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from .clock import Millis
from .ids import derived_id
from .job import NewJob
from .schedule import Schedule

Misfire = Literal["skip", "once", "all"]
"""What becomes of ticks that nobody fired within ``LATE_MS``: none is made up for, the last one is, or all
are."""

Overlap = Literal["allow", "skip", "queue"]
"""What a tick does while the job of the one before is live: fires all the same, is left out, or waits for
its end."""

MISFIRES: tuple[Misfire, ...] = ("skip", "once", "all")
OVERLAPS: tuple[Overlap, ...] = ("allow", "skip", "queue")

LATE_MS = 60_000
"""A tick that is fired within this time is no misfire."""
MOST_MADE_UP = 500
"""So many ticks, the last ones, come at once."""
HELD_MS = 1_000
"""A tick that waits for the job before it is looked at so often."""
BACK_MS = 60_000
"""A clock that shows so much less than it did was put back."""


class Periodic(Struct, frozen=True):
    """What is declared. ``job`` is what each tick enqueues, but for its id and due time; ``app`` is the
    module of the app; ``jitter``: how much later than its tick a job may become due, at the most."""

    name: str
    app: str
    schedule: Schedule
    job: NewJob
    misfire: Misfire = "once"
    overlap: Overlap = "allow"
    jitter: Millis = 0

    def job_of(self, tick: Millis) -> NewJob:
        """The job of a tick, the same whoever makes it."""
        id_ = derived_id(max(0, tick), self.name)
        drawn = int.from_bytes(id_[8:]) % (self.jitter + 1) if self.jitter else 0
        return replace(self.job, id=id_, due_at=tick + drawn)

    @property
    def spec(self) -> bytes:
        """As it is stored."""
        return _encode(self)

    @property
    def digest(self) -> str:
        """The same for what is declared alike."""
        return hashlib.blake2b(self.spec, digest_size=8).hexdigest()

    @property
    def timing(self) -> str:
        """The schedule as it is stored beside, for people and to see whether it was changed."""
        return msgspec.json.encode(self.schedule).decode()


_encode = msgspec.msgpack.Encoder().encode
decode_spec = msgspec.msgpack.Decoder(Periodic).decode


class PeriodicRow(Struct, frozen=True):
    """How one stands in the store. ``next_at``: its next tick; ``None`` when it has none, or when it is not
    known yet and is the first one after ``look_at``. ``look_at``: when something is to be done; ``None``:
    never. ``version`` grows with every change. ``busy``: the job of the last tick that fired is live."""

    name: str
    spec: bytes
    version: int
    next_at: Millis | None
    look_at: Millis | None
    last_at: Millis | None = None
    last_job: bytes | None = None
    paused_at: Millis | None = None
    paused_by: str | None = None
    paused_why: str | None = None
    retired_at: Millis | None = None
    busy: bool = False

    @property
    def entry(self) -> Periodic:
        """What was declared."""
        return decode_spec(self.spec)

    @property
    def state(self) -> str:
        """``active``, ``paused``, ``ended`` or ``retired``."""
        if self.retired_at is not None:
            return "retired"
        if self.paused_at is not None:
            return "paused"
        return "ended" if self.look_at is None else "active"

    def next(self) -> Millis | None:
        """Its next tick, also where that is not written down yet; ``None`` while it has none."""
        if self.next_at is None and self.look_at is not None:
            return self.entry.schedule.after(self.look_at)
        return self.next_at


class Due(Struct, frozen=True):
    """What is due at a moment of the store's clock; and in how many milliseconds the next one will be."""

    moment: Millis
    rows: list[PeriodicRow]
    due_in: Millis | None


class Firing(Struct, frozen=True):
    """What one look at a periodic comes to, if it still stands as it was seen (``version``)."""

    name: str
    version: int
    next_at: Millis | None
    look_at: Millis | None
    jobs: tuple[NewJob, ...] = ()
    last_at: Millis | None = None


def fire(row: PeriodicRow, moment: Millis) -> Firing:
    """What is to be done with a periodic that is due."""
    entry = row.entry
    schedule = entry.schedule
    if row.next_at is None:
        following = schedule.after(moment if row.look_at is None else row.look_at)
        return Firing(row.name, row.version, following, following)
    if row.busy and entry.overlap == "queue":
        return Firing(row.name, row.version, row.next_at, moment + HELD_MS)
    ticks = _come(entry, row.next_at, moment, row.look_at is not None and row.look_at > row.next_at)
    if entry.overlap == "skip":
        ticks = [] if row.busy else ticks[-1:]  # two at once would overlap
    if entry.overlap == "queue":
        ticks = ticks[:1]  # the others wait for its end in their turn
    following = schedule.after(ticks[0] if entry.overlap == "queue" and ticks else moment)
    return Firing(
        row.name,
        row.version,
        following,
        following,
        tuple(entry.job_of(tick) for tick in ticks),
        ticks[-1] if ticks else row.last_at,
    )


def _come(entry: Periodic, first: Millis, moment: Millis, held: bool) -> list[Millis]:
    """The ticks from ``first`` to the moment that are not left out. ``held``: they have waited for the job
    before them, which makes none of them late."""
    latest = entry.schedule.latest
    if entry.misfire == "all":
        return latest(first, moment, MOST_MADE_UP)
    if held:
        return latest(first, moment, 1)
    begin = moment - LATE_MS
    missed = latest(first, begin - 1, 1) if entry.misfire == "once" and first < begin else []
    return missed + latest(max(first, begin), moment, MOST_MADE_UP)


# What a worker declares, against what stands ------------------------------------------------------

AFRESH_MS = 3_600_000
"""One that was retired for less goes on where it was, as if its workers had been away: it may only have
been missed between two of them."""
FORGOTTEN_MS = 30 * 86_400_000
"""One that was retired for longer is deleted."""

What = Literal["new", "changed", "again", "retired", "clock", "waits"]
"""``again``: it had been retired. ``clock``: the clock was put back. ``waits``: nothing is changed, since
another worker that lives declares it otherwise."""


class Standing(Struct, frozen=True):
    """As much of a row as a declaration is held against."""

    name: str
    app: str
    digest: str
    timing: str
    next_at: Millis | None
    retired_at: Millis | None
    moved_at: Millis


class Change(Struct, frozen=True):
    """What a declaration comes to. ``keeps``: its next tick stays. ``entry``: what is written."""

    what: What
    name: str
    keeps: bool = False
    entry: Periodic | None = None


class Declaration(Struct, frozen=True):
    """What a worker declares: the modules of its apps, and their periodics."""

    apps: tuple[str, ...] = ()
    entries: tuple[Periodic, ...] = ()

    def digests(self) -> dict[str, str]:
        """The digest of each by name: what other workers must know of it."""
        return {entry.name: entry.digest for entry in self.entries}


def settle(
    mine: Declaration, stands: dict[str, Standing], others: list[dict[str, str]], moment: Millis
) -> list[Change]:
    """What is to be changed, given what other living workers declare (each its digests by name).

    What stands stays as long as anyone living declares it just so: while a new version of the code takes
    the place of the old one, nothing goes back and forth between the two.
    """
    changes = []
    for entry in mine.entries:
        stood = stands.get(entry.name)
        if stood is None:
            changes.append(Change("new", entry.name, False, entry))
        elif stood.retired_at is not None:
            recent = stood.timing == entry.timing and moment - stood.retired_at < AFRESH_MS
            changes.append(Change("again", entry.name, recent, entry))
        elif stood.digest != entry.digest:
            if any(one.get(entry.name) == stood.digest for one in others):
                changes.append(Change("waits", entry.name))
            else:
                keeps = stood.timing == entry.timing
                changes.append(Change("changed", entry.name, keeps, entry))
        elif moment < stood.moved_at - BACK_MS and stood.next_at is not None:
            # What was ahead of the clock is so far ahead only by the old one. A tick that comes
            # again has its job: the id is the same.
            changes.append(Change("clock", entry.name, False, entry))
    declared = {name for one in [mine.digests(), *others] for name in one}
    changes += [
        Change("retired", name)
        for name, stood in sorted(stands.items())
        if stood.app in mine.apps and stood.retired_at is None and name not in declared
    ]
    return changes
