"""All jobs' events, look by look: none is left out where a look is cut, and a reader comes to rest."""

from __future__ import annotations

from typing import Any

import pytest

from sidework.client import feed
from sidework.clock import now_ms
from sidework.event import BEFORE
from sidework.ids import id_text, new_id

from .conftest import Bench, new


class Reader:
    """Follows the jobs of a store, looks of ten rows at a time."""

    def __init__(self, bench: Bench) -> None:
        self.store = bench.store
        self.waiter: Any = None
        self._look = feed._Look(self, (now_ms(), b"", BEFORE))
        self.turn()

    def turn(self) -> list[str]:
        return [event.id for event in self._look.turn()]

    def rest(self) -> list[str]:
        """What is told until there is nothing more to be found at once."""
        told = self.turn()
        for _ in range(50):
            if not self._look.more:
                return told
            told += self.turn()
        raise AssertionError("it does not come to rest")


@pytest.fixture
def reader(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> Reader:
    monkeypatch.setattr(feed, "MOST", 10)
    monkeypatch.setattr(feed, "OVERLAP_MS", 60_000)
    return Reader(bench)


def made(seconds: float) -> bytes:
    """An id of a clock that is so far from ours."""
    raw = new_id()
    return (int.from_bytes(raw[:6], "big") + round(1000 * seconds)).to_bytes(6, "big") + raw[6:]


@pytest.mark.parametrize("ago", [1, 50])
def test_what_was_made_before_it_was_stored_is_told_also_when_a_look_is_cut(
    bench: Bench, reader: Reader, monkeypatch: pytest.MonkeyPatch, ago: int
) -> None:
    """The ids are older than the moment at which they were stored, all of them the same."""
    ids = [made(n / 1000 - ago) for n in range(35)]
    bench.store.insert([new(id=id_) for id_ in ids])
    if ago > 1:
        monkeypatch.setattr(feed, "OVERLAP_MS", 2_000)  # what is found is behind it: left once read
    assert reader.rest() == [*map(id_text, ids)]
    assert reader.rest() == []


def test_what_is_committed_late_is_told_also_behind_a_cut(bench: Bench, reader: Reader) -> None:
    late = made(-5)
    bench.store.insert([new() for _ in range(15)])
    told = reader.turn()
    assert len(told) < 15
    bench.store.insert([new(id=late)])
    told += reader.rest()
    assert len(told) == 16
    assert id_text(late) in told


def test_ids_of_a_clock_that_is_ahead_keep_nobody_busy(bench: Bench, reader: Reader) -> None:
    ahead = [made(600) for _ in range(25)]
    bench.store.insert([new(id=id_) for id_ in ahead])
    assert len(reader.rest()) == 10
    job = new()
    bench.store.insert([job])
    assert reader.rest() == [id_text(job.id)]
    bench.store.cancel(max(ahead), "")
    assert set(reader.rest()) == {id_text(max(ahead))}  # with that it was stored
