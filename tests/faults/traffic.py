"""What a queue's users and workers ask of a store, one step after another, from a seed.

A step is data: it can be asked of two stores, or again after it failed. Each is one transaction, so
that a store which was stopped in the middle of one may hold all of it or nothing.
"""

from __future__ import annotations

import os
import random
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from sidework.errors import StoreError
from sidework.ids import new_id
from sidework.job import Claimed, NewJob, Runner
from sidework.outcome import Failure, Kind, Outcome, encode_failure
from sidework.store.protocol import Demand
from sidework.store.sqlite import roster
from sidework.store.sqlite.engine import SqliteStore

START = 1_700_000_000_000
LANES = ("mail", "default")
_KINDS: tuple[Kind, ...] = (
    "completed", "completed", "completed", "retry", "discarded", "snoozed", "released", "crashed",
)  # fmt: skip
RETENTION = {
    "completed_age": 40_000,
    "completed_count": 60,
    "cancelled_age": 40_000,
    "discarded_age": 40_000,
}

State = Mapping[tuple[Any, ...], int]
"""Every row of the store by table and key, as a hash of its content."""

_KEYS = {"jobs": 1, "attempts": 2, "queues": 1, "workers": 1, "chores": 1}


def rows_of(store: SqliteStore) -> State:
    """The whole content of the store, past its own verbs: their mistakes are not to be hidden."""

    def work(connection: Any) -> State:
        state = {}
        for table, width in _KEYS.items():
            for row in connection.execute(f"SELECT * FROM {table}"):
                # A worker's life file has a drawn name: no two stores agree on it.
                content = row if table != "workers" else (*row[:3], *row[4:])
                state[table, *(row[1::-1] if table == "attempts" else row[:width])] = hash(content)
        return state

    return store._session.read(work)


class Step(NamedTuple):
    """A verb of the store with its arguments. ``quiet`` ones change nothing that can be read."""

    verb: str
    words: tuple[Any, ...] = ()
    quiet: bool = False
    drawn: int = 0
    """The number of a worker that registers: the same in every store that is asked."""

    def ask(self, store: SqliteStore) -> Any:
        """Do it."""
        own, roster._draw = roster._draw, lambda: self.drawn
        try:
            return getattr(store, self.verb)(*self.words)
        finally:
            roster._draw = own


class Traffic:
    """Draws steps. It has to be told what came of each: workers hold what they claimed."""

    def __init__(self, seed: int) -> None:
        self.draw = random.Random(seed)
        self.now = START
        self.known: list[NewJob] = []
        self.held: list[Claimed] = []
        self.worker = 0

    def next(self) -> Step:
        """The step to ask for now."""
        self.now += self.draw.randint(1, 2_000)
        if not self.worker:
            return Step("register", ("host", 1, (), self.now), drawn=self.draw.getrandbits(39) + 1)
        ways: list[tuple[int, Callable[[], Step]]] = [
            (30, self._insert),
            (6, self._bulk),
            (4, self._again),
            (30, self._turn),
            (4, lambda: Step("cancel", (self._some(), "not wanted", self.now))),
            (4, lambda: Step("retry", (self._some(), self.now))),
            (2, lambda: Step("delete", (self._some(),))),
            (2, lambda: Step("pause", (self.draw.choice(LANES), "me", "because", self.now))),
            (4, lambda: Step("resume", (self.draw.choice(LANES),))),
            (4, lambda: Step("promote", (1000, self.now))),
            (2, lambda: Step("take_turns", ({"prune": 1000}, self.now))),
            (5, lambda: Step("prune", (RETENTION, 1000, self.now))),
            (6, lambda: Step("checkpoint", quiet=True)),
            (3, lambda: Step("vacuum", quiet=True)),
            (2, lambda: Step("close", quiet=True)),
        ]
        (way,) = self.draw.choices([way for _, way in ways], [weight for weight, _ in ways])
        return way()

    def told(self, step: Step, answer: Any) -> None:
        """What the step brought."""
        if step.verb == "register":
            self.worker = answer.id
        elif step.verb == "insert":
            self.known = [*self.known, *step.words[0]][-300:]
        elif step.verb == "turn":
            done = {outcome.id for outcome in step.words[0]}
            self.held = [job for job in self.held if job.id not in done] + answer.claimed

    def _job(self) -> NewJob:
        draw = self.draw
        # Large ones lie on pages of their own, outside the b-tree's.
        size = draw.choice([5, 20, 100, 100, 1_000, 1_000, 9_000])
        return NewJob(
            draw.randbytes(16), "app:work", b"\x01" + draw.randbytes(size // 2).hex().encode(),
            lane=draw.choice(LANES), priority=draw.randint(-2, 2), max_attempts=draw.randint(1, 3),
            delay=draw.choice([0, 0, 0, 5_000]), tags=draw.choice([(), ("a", "b")]),
        )  # fmt: skip

    def _insert(self) -> Step:
        return Step("insert", ([self._job()], self.now))

    def _bulk(self) -> Step:
        return Step("insert", ([self._job() for _ in range(self.draw.randint(2, 60))], self.now))

    def _again(self) -> Step:
        old = [self.draw.choice(self.known)] if self.known else []
        return Step("insert", ([self._job(), *old], self.now))

    def _turn(self) -> Step:
        draw = self.draw
        ended = draw.sample(self.held, draw.randint(0, len(self.held)))
        places: dict[Runner, int] = {"thread": draw.randint(0, 20)}
        # One lane: which of several is asked first depends on how many turns a store has seen.
        demand = Demand(self.worker, places, (draw.choice(LANES),))
        return Step("turn", ([self._outcome(job) for job in ended], demand, self.now))

    def _outcome(self, job: Claimed) -> Outcome:
        kind = self.draw.choice(_KINDS)
        failed = kind in ("retry", "discarded", "crashed")
        return Outcome(
            job.id, job.fence, job.attempt, kind,
            result=self.draw.randbytes(self.draw.choice([3, 300])) if kind == "completed" else None,
            delay=self.draw.choice([0, 3_000]),
            failure=encode_failure(Failure("E", "it failed")) if failed else None,
        )  # fmt: skip

    def _some(self) -> bytes:
        return self.draw.choice(self.known).id if self.known else bytes(16)


def fill(folder: Path, files: Mapping[str, bytes]) -> None:
    """Make the folder hold these files and nothing else; their names are paths there or elsewhere."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    for name, content in files.items():
        (folder / os.path.basename(name)).write_bytes(content)


def differences(there: State, wanted: State) -> list[str]:
    """What is not as it should be, in the words of the promises."""
    found = [f"{_name(key)} was acknowledged and is not there" for key in wanted.keys() - there]
    found += [f"{_name(key)} was never asked for" for key in there.keys() - wanted]
    found += [
        f"{_name(key)} is not as acknowledged"
        for key in wanted.keys() & there.keys()
        if wanted[key] != there[key]
    ]
    return found


def wrong(store: SqliteStore, allowed: list[State]) -> tuple[list[str], str]:
    """What is wrong with a store that should hold one of the states; ("lost" or "corrupt" or "")."""
    try:
        there = rows_of(store)
        damage = store.check()
        if damage:
            return [f"damaged: {damage[0]}"], "corrupt"
        if there not in allowed:
            return min((differences(there, state) for state in allowed), key=len), "lost"
        # Not drawn: two streams of one seed may give the same 16 bytes, and the id would be taken.
        job = NewJob(new_id(), "app:after", b"\x01{}")
        (answer,) = store.insert([job], START)
        if answer.verdict != "stored":
            return [f"a new job was {answer.verdict}"], "corrupt"
        (row,) = store.get([job.id])
        if row is None or row.args != job.args:
            return ["a job enqueued afterwards is not there"], "lost"
    except StoreError as error:
        return [f"{type(error).__name__}: {error}"], "corrupt"
    return [], ""


def _name(key: tuple[Any, ...]) -> str:
    table, *rest = key
    return (
        f"{table} {' '.join(part.hex() if isinstance(part, bytes) else str(part) for part in rest)}"
    )
