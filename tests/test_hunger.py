"""When a worker looks for work: by how long the store says, never by what time it says."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from sidework.clock import monotonic, now_ms
from sidework.ids import new_id
from sidework.job import NewJob, Runner
from sidework.store.opening import open_store
from sidework.store.protocol import Demand, Store
from sidework.worker.hunger import LEAST_SECONDS, TICK_SECONDS, Hunger

PLACES: dict[Runner, int] = {"loop": 1, "thread": 1, "process": 1}
TEN_MINUTES = 600_000


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    made = open_store(f"sqlite:///{tmp_path}/jobs.db")
    yield made
    made.close()


@pytest.mark.parametrize("off", [-TEN_MINUTES, 0, TEN_MINUTES])
def test_a_store_whose_clock_is_off_is_asked_no_more_often(store: Store, off: int) -> None:
    """Else a worker that is ahead would claim without a pause as long as any job is to come."""
    moment = now_ms() + off
    worker = store.register("h", 1, (), moment).id
    store.insert([NewJob(new_id(), "m:f", b"\x01{}", delay=TEN_MINUTES // 2)], moment)
    hunger = Hunger()
    for _ in range(2):  # once more for the store's version, which is new to it
        hunger.learn(store.turn([], Demand(worker, PLACES), moment), claimed=True)
        hunger.look(store, monotonic())
    assert not hunger.runners
    assert hunger.patience() == TICK_SECONDS


def test_what_is_due_soon_is_looked_for_then(store: Store) -> None:
    worker = store.register("h", 1, ()).id
    moment = now_ms()
    store.insert([NewJob(new_id(), "m:f", b"\x01{}", delay=50)], moment)
    hunger = Hunger()
    hunger.look(store, monotonic())
    hunger.learn(store.turn([], Demand(worker, PLACES), moment + 20), claimed=True)
    assert LEAST_SECONDS < hunger.patience() <= 0.03
    hunger.look(store, monotonic() + 0.04)
    assert hunger.runners == set(PLACES)


def test_what_is_due_and_not_to_be_had_is_no_reason_to_hurry(store: Store) -> None:
    """Its row may be locked by somebody who takes his time."""
    worker = store.register("h", 1, ()).id
    moment = now_ms()
    store.insert([NewJob(new_id(), "m:f", b"\x01{}", delay=50)], moment)
    turn = store.turn([], None, moment + 60)
    assert turn.due_in == -10
    hunger = Hunger()
    hunger.learn(turn, claimed=False)
    assert 0 < hunger.patience() <= LEAST_SECONDS
    assert store.turn([], Demand(worker, PLACES), moment + 60).claimed
