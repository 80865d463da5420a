"""What travels: a job as it is handed over, as it is claimed, and as it is read back.

Plain values without a queue or a connection in them. Times are ``Millis`` (clock.py), ids are 16
bytes (ids.py), arguments and results are encoded bytes (codec.py).
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Literal

from msgspec import Struct, field
from msgspec.structs import replace

from .clock import Millis
from .errors import BadValue
from .note import NoteRow
from .state import WAITING, State

Runner = Literal["loop", "thread", "process"]
"""Where an attempt runs in a child: on its event loop, in a thread, or alone in a solo child."""

OnCrash = Literal["rescue", "discard"]
"""What happens to a job whose process died: run again (at least once) or not (at most once)."""

OnPartition = Literal["run", "stop"]
"""What an attempt does whose worker is cut off from the store: run on (the fence decides), or stop
before anybody else may run its job."""

OnInputFailure = Literal["cancel", "continue"]
"""What becomes of a job one of whose inputs did not complete: cancelled too, or run with the error for
a value."""

UniqueUntil = Literal["started", "final"]
"""How long a job holds its unique key."""

RUNNERS: tuple[Runner, ...] = ("loop", "thread", "process")
DEFAULT_QUEUE = "default"
LOWEST_PRIORITY, HIGHEST_PRIORITY = -100, 100
MAX_RETRIES = 10_000
MOST_LIMIT = 100_000
"""The widest limit of a queue: those that run are counted at every claim from it."""
MAX_CRASHES = 3
"""Crashes after which a job that was alone when its process died is quarantined (promise I5)."""

_QUEUE = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.\-]{0,63}")


def check_queue(name: object, given: str = "queue") -> str:
    """The queue's name as given, or ``BadValue``: letters, digits, ``_ . -``, at most 64.

    ``given``: the word it came under. A lane is a queue, or a queue and a key joined by ``/``: hence no
    slash in a queue's name.
    """
    if not isinstance(name, str) or not _QUEUE.fullmatch(name):
        raise BadValue(
            f"{given}={name!r}: expected 1 to 64 letters, digits, '_', '.' or '-', "
            "beginning with a letter, digit or '_'"
        )
    return name


def check_whole(number: object, name: str, least: int, most: int, hint: str = "") -> int:
    """A whole number as given, or ``BadValue``."""
    if isinstance(number, bool) or not isinstance(number, int) or not least <= number <= most:
        raise BadValue(f"{name}={number!r}: expected a whole number from {least} to {most}{hint}")
    return number


def check_limit(limit: object, name: str = "limit") -> int:
    """How many jobs may run at a time, as given, or ``BadValue``."""
    return check_whole(limit, name, 1, MOST_LIMIT, " (to run none, pause the queue)")


def parse_queues(queues: Iterable[str]) -> tuple[tuple[str, ...], dict[str, int]]:
    """Queues as a worker is told to serve them, and how many jobs of each it runs at a time itself, where
    that is said: ``mail=10``. ``BadValue`` for what is none."""
    widths: dict[str, int] = {}
    names: list[str] = []
    for queue in queues:
        name, equals, width = queue.partition("=")
        names.append(check_queue(name.strip()))
        if equals:
            number = int(width) if width.strip().isdecimal() else width
            widths[names[-1]] = check_limit(number, f"queue {names[-1]}")
    return tuple(names), widths


class NewJob(Struct, frozen=True):
    """A job as the client hands it over. ``due_at`` wins over ``delay`` (milliseconds from now).

    ``parents``: the jobs whose ends it waits for; how many of them are to come (``pending``) is for the
    store to say. ``callbacks``: what is enqueued when it ends.
    ``context``: what its enqueuer has it carry along, JSON of texts.
    """

    id: bytes
    task: str
    args: bytes
    lane: str = DEFAULT_QUEUE
    runner: Runner = "thread"
    priority: int = 0
    due_at: Millis | None = None
    delay: int = 0
    max_attempts: int = 1
    backoff: int | None = None
    timeout: int | None = None
    expires_at: Millis | None = None
    expires_in: int | None = None
    on_crash: OnCrash = "rescue"
    tags: tuple[str, ...] = ()
    parents: tuple[bytes, ...] = ()
    pending: int = 0
    policy: OnInputFailure = "cancel"
    callbacks: bytes | None = None
    unique_key: str | None = None
    unique_until: UniqueUntil | None = None
    context: str | None = None


Verdict = Literal["stored", "present", "conflict", "unique"]
"""What became of a ``NewJob``: stored now, stored before (same id and content), refused since its id is
another job's, or not needed: another job holds its unique key."""


class Inserted(Struct, frozen=True):
    """The answer to one ``NewJob``: its id; with ``unique`` that of the job which holds the key."""

    id: bytes
    verdict: Verdict


CALL = "call"
"""The policy of the edge from a job with callbacks to itself: not done, they are still to be enqueued."""


class Edge(Struct, frozen=True):
    """The child waits for the end of the parent; ``done`` once that has been counted."""

    parent: bytes
    child: bytes
    policy: str
    done: bool = False


class Input(Struct, array_like=True, frozen=True):
    """How a job ended whose output another one takes; ``failure`` is an encoded ``Failure``. The ``result``
    of a completed one is ``None`` when all together are more than a job may be given. One that is gone has no
    ``state``. ``policy`` says what it means to the other when it did not complete."""

    id: bytes
    state: State | None
    result: bytes | None
    failure: bytes | None
    policy: OnInputFailure = "cancel"


class Claimed(Struct, array_like=True, frozen=True):
    """A job under a claim: the token (``id``, ``fence``) and all that an attempt needs.

    ``timeout`` and ``backoff`` are milliseconds or ``None`` (the task's own), as set at enqueue.
    """

    id: bytes
    fence: int
    attempt: int
    max_attempts: int
    task: str
    lane: str
    runner: Runner
    priority: int
    due_at: Millis
    timeout: int | None
    backoff: int | None
    on_crash: OnCrash
    args: bytes
    context: str | None = None
    inputs: tuple[Input, ...] = ()


class Held(Struct, frozen=True):
    """A claim as the store has it: what a worker is believed to run."""

    id: bytes
    fence: int
    attempt: int


class JobRow(Struct, frozen=True):
    """A job as it stands in the store."""

    id: bytes
    task: str
    lane: str
    state: State
    runner: Runner
    priority: int
    attempt: int
    max_attempts: int
    fence: int
    crashes: int
    cancel_requested: bool
    inserted_at: Millis
    due_at: Millis
    started_at: Millis | None
    finished_at: Millis | None
    expires_at: Millis | None
    timeout: int | None
    on_crash: OnCrash
    worker: int | None
    note: str | None
    tags: tuple[str, ...]
    args: bytes
    result: bytes | None
    pending: int = 0
    callbacks: bytes | None = None
    unique_key: str | None = None
    unique_until: UniqueUntil | None = None
    context: str | None = None


class AttemptRow(Struct, frozen=True):
    """One attempt that did not complete: how it ended and why (the last, completed one is the job)."""

    job_id: bytes
    attempt: int
    fence: int
    outcome: str
    worker: int | None
    started_at: Millis | None
    finished_at: Millis
    failure: bytes | None


MOVED = "moved to "
"""How the note begins of a job that a store gave up, since another one has it now."""


class Copied(Struct, frozen=True):
    """A job with all that is stored of it, attempts and notes too: what a move takes from store to store."""

    job: JobRow
    backoff: int | None
    attempts: tuple[AttemptRow, ...]
    notes: tuple[NoteRow, ...] = ()
    edges: tuple[Edge, ...] = ()
    """Those of which it is the child."""

    @property
    def size(self) -> int:
        """Bytes of what may be large in it."""
        failures = sum(len(one.failure or b"") for one in self.attempts)
        notes = sum(len(one.body) for one in self.notes)
        return len(self.job.args) + len(self.job.result or b"") + failures + notes

    @property
    def disowned(self) -> bool:
        """Whether another store has the job now, and this is what was left behind."""
        note = self.job.note
        return self.job.state is State.CANCELLED and note is not None and note.startswith(MOVED)

    def verdict(self, there: Copied) -> Verdict:
        """What the job of this id in another store is: this one, as it is or as it went on there, or
        something else.

        It went on there if its fence is higher and all its attempts so far are among those there. What
        is behind, or was given up there, must not pass for the job: then no store would run it.
        """
        if there == self:
            return "present"
        if there.disowned or _asked(there) != _asked(self):
            return "conflict"
        if there.job.fence > self.job.fence:
            return "present" if set(self.attempts) <= set(there.attempts) else "conflict"
        # A promotion moves no fence.
        waiting = {self.job.state, there.job.state} <= WAITING
        promoted = waiting and replace(there, job=replace(there.job, state=self.job.state)) == self
        return "present" if promoted else "conflict"


def _asked(copied: Copied) -> tuple[object, ...]:
    """What was asked for when the job was handed over: nothing changes it."""
    job = copied.job
    return (job.task, job.lane, job.priority, job.args, job.inserted_at, job.timeout,
            job.on_crash, job.tags, copied.backoff)  # fmt: skip


class JobFilter(Struct, frozen=True, kw_only=True):
    """Which jobs to list; an empty tuple or ``None`` means any.

    A task is meant by its whole name, or without the module: ``add`` fits ``shop.jobs:add`` too.
    """

    states: tuple[State, ...] = ()
    lanes: tuple[str, ...] = ()
    tasks: tuple[str, ...] = ()
    tag: str | None = None


class QueueRow(Struct, frozen=True):
    """A queue with its switch, its limit, the one that code ``declared`` last, and how many jobs it holds, by
    state."""

    name: str
    paused_at: Millis | None = None
    paused_by: str | None = None
    paused_why: str | None = None
    most: int | None = None
    declared: int | None = None
    counts: dict[str, int] = field(default_factory=dict)


class PausedTask(Struct, frozen=True):
    """A task of which nothing is started, since when, by whom and why."""

    name: str
    at: Millis
    by: str
    why: str


class WorkerRow(Struct, frozen=True):
    """A worker that has registered; ``life`` is the engine's way to tell that it lives.

    ``alive`` is what that said when the row was read: of a dead one the jobs are brought back soon.
    """

    id: int
    host: str
    pid: int
    life: str | None
    started_at: Millis
    queues: tuple[str, ...]
    alive: bool
