"""A pause in the middle of a turn: unlike on a file, nothing keeps it waiting for the end of that."""

from __future__ import annotations

from collections.abc import Set
from pathlib import Path
from typing import Any

import pytest

from engines import ENGINES
from sidework.ids import new_id
from sidework.job import Claimed, NewJob, Runner
from sidework.store.lanes import Has, Lanes, Take, Walk
from sidework.store.protocol import Demand, Store


class PausedMeanwhile(Lanes):
    """Between a turn's look at the queues and its claim someone pauses one, and enqueues into it."""

    def __init__(self, other: Store) -> None:
        super().__init__()
        self._other = other

    def share(
        self, demand: Demand, paused: Set[str], has: Has, walk: Walk, take: Take
    ) -> tuple[list[Claimed], frozenset[Runner]]:
        self._other.pause("mail", "me", "now")
        self._other.insert([NewJob(new_id(), "m:f", b"", lane="mail")])
        return super().share(demand, paused, has, walk, take)


@pytest.mark.parametrize("lanes", [(), ("mail",)])
def test_nothing_that_came_after_the_pause_is_claimed(
    tmp_path: Path, lanes: tuple[str, ...]
) -> None:
    place: Any = ENGINES["postgres"](tmp_path)
    store, other = place.open(), place.open()
    try:
        worker = store.register("host", 1, ()).id
        store._claims.lanes = PausedMeanwhile(other)
        assert store.turn([], Demand(worker, {"thread": 5}, lanes)).claimed == []
        store._claims.lanes = Lanes()
        other.resume("mail")
        assert len(store.turn([], Demand(worker, {"thread": 5}, lanes)).claimed) == 1
    finally:
        store.close()
        other.close()
