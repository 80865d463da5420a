"""Many lanes while an old transaction keeps dead entries: none is hidden for long, idle ones cost little."""

from __future__ import annotations

import pytest

from servers.waiting import until
from sidework.outcome import Outcome
from sidework.store.postgres import rounds
from sidework.store.postgres.engine import PostgresStore
from sidework.store.postgres.rounds import MOST_DEAD, WHOLE_SECONDS, Rounds

from .test_bounds import Claimer, jobs, pinned

PATIENCE = WHOLE_SECONDS + 2


@pytest.fixture
def slow_looks(monkeypatch: pytest.MonkeyPatch) -> None:
    """As if each look from the start took as long as with a hundred thousand dead entries."""
    monkeypatch.setattr(rounds, "SHARE", 1_000_000)


def name(number: int) -> str:
    return f"tenant {number:03}"


def with_dead(store: PostgresStore, url: str, lanes: int) -> Claimer:
    """A worker that has ended jobs in so many lanes, each with few dead entries, together many."""
    claimer = Claimer(store, url)
    each = MOST_DEAD * 3 // lanes
    for number in range(lanes):
        store.insert(jobs(each, lane=name(number)))
    claimer.drain(each * lanes)
    return claimer


def test_lanes_that_are_empty_are_soon_known_to_be(store: PostgresStore, database: str) -> None:
    """Else an idle worker would ask fifty of them after fifty, without end."""
    with pinned(database):
        claimer = with_dead(store, database, 120)
        assert any("thread" in claimer.turn(9).short for _ in range(10))
        assert store._claims._bounds.rounds.slow


@pytest.mark.usefixtures("slow_looks")
def test_with_places_for_few_lanes_an_old_job_is_not_hidden_longer(
    store: PostgresStore, database: str
) -> None:
    """There is always something newer in another lane: each lane gets its look from the start."""
    with pinned(database):
        claimer = with_dead(store, database, 30)
        (old,) = jobs(1, lane=name(17))
        store.insert([old])
        (claimed,) = claimer.claim(1)
        for number in range(30):
            store.insert(jobs(1000, lane=name(number)))
        claimer.drain(90)
        end = Outcome(claimed.id, claimed.fence, claimed.attempt, "released")
        store.turn([end], None)
        until(
            lambda: old.id in [job.id for job in claimer.claim(1)],
            "the job that was released",
            patience=PATIENCE,
        )


@pytest.mark.usefixtures("slow_looks")
def test_a_lane_that_is_not_known_is_found_among_many_that_are(
    store: PostgresStore, database: str
) -> None:
    with pinned(database):
        claimer = with_dead(store, database, 300)
        claimer.turn(9)
        for at in (290, 5, 150):
            (job,) = jobs(1, lane=f"{name(at)} b")
            store.insert([job])
            until(
                lambda job=job: job.id in [one.id for one in claimer.claim(9)],  # type: ignore[misc]
                "the job of the new lane",
                patience=PATIENCE,
            )


def test_a_round_asks_each_lane_from_the_start_once() -> None:
    line = Rounds()
    assert line.whole("thread", "a")
    line.asked("thread", "a", found=True)
    line.looked(MOST_DEAD + 1, 1.0)
    assert not line.begin(), "the round goes on"
    assert line.slow
    assert not line.whole("thread", "a")
    assert line.whole("thread", "b")
    assert line.whole("loop", "a")


def test_what_is_not_known_is_asked_once_a_round() -> None:
    line, told = Rounds(), [True, False]
    line.looked(MOST_DEAD + 1, 1.0)
    assert line.has("thread", "a", told.pop) is False
    assert line.has("thread", "a", told.pop) is False
    assert line.has("thread", "b", told.pop) is True
    line.asked("thread", "b", found=False)
    assert line.has("thread", "b", told.pop) is False
    assert line.unknown(lambda after, most: ["x", after]) == ["x", ""]
    assert line.unknown(lambda after, most: []) == ["x", ""]


def test_a_server_that_does_not_answer_them_is_spared_looks_from_the_start() -> None:
    line = Rounds()
    line.gave_up(WHOLE_SECONDS / 2)
    assert line.whole("thread", "a")
    line.gave_up(WHOLE_SECONDS)
    first = line.rest()
    assert not line.begin()
    assert not line.whole("thread", "a")
    assert line.unknown(lambda after, most: ["x"]) == []
    line.gave_up(WHOLE_SECONDS)
    assert line.rest() > first > 0
