"""What a monitor reads: true up to its bounds, and bounded whatever the tables hold."""

from __future__ import annotations

from sidework.state import State
from sidework.store import gauges
from sidework.store.gauges import LEVELS, MOST_QUEUES, OTHERS, WINDOW
from sidework.store.protocol import Demand

from .conftest import NOW, Bench, new, outcome


def levels(bench: Bench) -> dict[tuple[str, str], int]:
    found = bench.store.gauges.read(bench.now).levels
    assert [(one.queue, one.state) for one in found] == [
        (queue, state) for queue in sorted({one.queue for one in found}) for state in LEVELS
    ]
    return {(one.queue, one.state): one.jobs for one in found if one.jobs}


def oldest(bench: Bench) -> dict[str, int | None]:
    read = bench.store.gauges.read(bench.now).levels
    return {one.queue: one.since for one in read if one.state is State.AVAILABLE}


def test_an_empty_store_has_nothing_to_tell(bench: Bench) -> None:
    read = bench.store.gauges.read(NOW)
    assert (read.at, read.levels, read.ends, read.paused, read.overdue) == (NOW, [], {}, [], {})


def test_jobs_are_told_by_queue_and_state(bench: Bench) -> None:
    bench.running(lane="b")
    bench.record(outcome(bench.running(lane="c"), "discarded"))
    bench.record(outcome(bench.running(lane="d", max_attempts=2), "retry", delay=1000))
    bench.put(lane="a", runner="loop")
    bench.put(lane="a", priority=3)
    bench.put(lane="a", delay=5)
    bench.put(lane="e", parents=(bench.put(lane="a", delay=9),))
    assert levels(bench) == {
        ("a", "available"): 2,
        ("a", "scheduled"): 2,
        ("b", "running"): 1,
        ("c", "discarded"): 1,
        ("d", "retryable"): 1,
        ("e", "blocked"): 1,
    }


def test_the_oldest_available_job_is_found_behind_every_other(bench: Bench) -> None:
    """It may be the last that is claimed: of the lowest priority, and of any runner."""
    for at, priority, runner in ((50, 9, "loop"), (10, -9, "thread"), (30, 0, "thread")):
        bench.store.insert([new(lane="a", priority=priority, runner=runner)], NOW + at)
    bench.put(lane="b")
    bench.put(lane="c", delay=1)
    assert oldest(bench) == {"a": NOW + 10, "b": NOW, "c": None}


def test_what_is_past_the_bounds_is_told_together(bench: Bench) -> None:
    last = MOST_QUEUES + 2
    bench.store.insert([new(lane=f"q{n:03}") for n in range(last) for _ in range(2)], NOW)
    bench.store.insert([new(lane=f"r{n:03}", delay=9) for n in range(3)], NOW)
    found = levels(bench)
    assert found["q000", "available"] == found[f"q{MOST_QUEUES - 1:03}", "available"] == 2
    assert (found[OTHERS, "available"], found[OTHERS, "scheduled"]) == (4, 3)
    assert len({queue for queue, _ in found}) == MOST_QUEUES + 1
    assert oldest(bench)[OTHERS] == NOW


def test_ends_are_told_a_second(bench: Bench) -> None:
    for kind in ("completed", "completed", "discarded"):
        bench.record(outcome(bench.running(lane="a"), kind))
    bench.store.cancel(bench.put(lane="b"), "why", NOW)
    assert bench.store.gauges.read(NOW + WINDOW // 2).ends == {
        ("a", State.COMPLETED): 2 / 60,
        ("a", State.DISCARDED): 1 / 60,
        ("b", State.CANCELLED): 1 / 60,
    }
    assert bench.store.gauges.read(NOW + WINDOW).ends == {}


def test_many_ends_are_told_for_the_time_they_took() -> None:
    full = [("a", "completed", gauges.MOST_JOBS, NOW - 500), ("b", "cancelled", 6, NOW - 9)]
    read = gauges.reading(NOW, [], [], full, [], {})
    assert read.ends == {("a", State.COMPLETED): 20_000, ("b", State.CANCELLED): 0.1}


def test_pauses_and_chores_are_told(bench: Bench) -> None:
    bench.store.pause("a", "me", "why", NOW)
    bench.store.take_turns({"prune": 100}, NOW)
    read = bench.store.gauges.read(NOW + 50)
    assert (read.paused, read.overdue) == (["a"], {"prune": 0})
    assert bench.store.gauges.read(NOW + 150).overdue == {"prune": 50}
    assert {one.queue for one in read.levels} == {"a"}
    bench.store.resume("a")
    assert bench.store.gauges.read(NOW).paused == []


def test_a_claim_is_seen(bench: Bench) -> None:
    bench.store.insert([new(lane="a") for _ in range(5)], NOW)
    bench.store.turn([], Demand(bench.worker, {"thread": 3}), NOW)
    assert levels(bench) == {("a", "available"): 2, ("a", "running"): 3}
