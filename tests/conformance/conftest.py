"""A store of each engine, with its words made short."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from engines import ENGINES
from sidework.ids import new_id
from sidework.job import Claimed, JobRow, NewJob, Runner
from sidework.outcome import Failure, Outcome, encode_failure
from sidework.store.protocol import Demand, Store

NOW = 1_700_000_000_000


class Bench:
    """A store with its words made short: jobs in, claims out, outcomes back."""

    def __init__(self, engine: Any) -> None:
        self.engine = engine
        self.stores: list[Store] = []
        self.store = self.open()
        self.worker = self.store.register("host", 1, (), NOW).id
        self.now = NOW

    def open(self) -> Store:
        store: Store = self.engine.open()
        self.stores.append(store)
        return store

    def other(self) -> Store:
        store: Store = self.engine.open_other()
        self.stores.append(store)
        return store

    def close(self) -> None:
        for store in self.stores:
            store.close()

    def put(self, **given: Any) -> bytes:
        job = new(**given)
        (inserted,) = self.store.insert([job], self.now)
        assert inserted.verdict == "stored"
        return job.id

    def claim(
        self, limit: int = 100, runner: Runner = "thread", lanes: tuple[str, ...] = ()
    ) -> list[Claimed]:
        return self.store.turn([], Demand(self.worker, {runner: limit}, lanes), self.now).claimed

    def record(self, *outcomes: Outcome) -> list[bool]:
        return self.store.turn(outcomes, None, self.now).took

    def row(self, job_id: bytes) -> JobRow:
        (row,) = self.store.get([job_id])
        assert row is not None
        return row

    def running(self, **given: Any) -> Claimed:
        """A job that runs; alone in its lane, so that the claim is for it."""
        job_id = self.put(**given)
        (claimed,) = [
            job for kind in ("loop", "thread", "process") for job in self.claim(runner=kind)
        ]
        assert claimed.id == job_id
        return claimed


def new(**given: Any) -> NewJob:
    return NewJob(**{"id": new_id(), "task": "m:f", "args": b"\x01{}", **given})


def outcome(job: Claimed, kind: Any, **given: Any) -> Outcome:
    if kind == "completed":
        given.setdefault("result", b"\x01null")
    if kind in ("retry", "discarded", "crashed"):
        given.setdefault("failure", encode_failure(Failure("ValueError", "no")))
    return Outcome(
        **{"id": job.id, "fence": job.fence, "attempt": job.attempt, "kind": kind, **given}
    )


@pytest.fixture(params=sorted(ENGINES))
def bench(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Bench]:
    made = Bench(ENGINES[request.param](tmp_path))
    yield made
    made.close()
