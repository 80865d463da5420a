"""Claiming and recording: what a worker does in one turn."""

from __future__ import annotations

import random
import subprocess
import sys
import threading

import pytest

from conftest import until
from sidework.errors import StoreRefused
from sidework.job import Held
from sidework.outcome import Failure, decode_failure, encode_failure
from sidework.state import State
from sidework.store.protocol import Demand

from .conftest import NOW, Bench, new, outcome


def test_a_claim_counts_the_attempt_and_grows_the_fence(bench: Bench) -> None:
    """I1, I5."""
    job = bench.running(max_attempts=3, timeout=9, backoff=8)
    assert (job.fence, job.attempt, job.max_attempts, job.timeout, job.backoff) == (1, 1, 3, 9, 8)
    row = bench.row(job.id)
    assert (row.state, row.attempt, row.worker, row.started_at) == (
        State.RUNNING, 1, bench.worker, NOW)  # fmt: skip
    assert bench.claim() == []


def test_fences_grow_over_a_whole_life_and_never_repeat(bench: Bench) -> None:
    """I1: through failures, rescues, snoozes and a retry by hand."""
    job = bench.running(max_attempts=9)
    fences = [job.fence]
    for kind in ("retry", "snoozed", "released", "discarded", "retry"):
        bench.record(outcome(job, kind))
        if kind == "discarded":
            bench.store.retry(job.id, NOW)
        bench.store.promote(9, NOW)
        (job,) = bench.claim()
        fences.append(job.fence)
    assert fences == sorted(set(fences))


@pytest.mark.parametrize("stores", [1, 3])
def test_no_job_is_claimed_twice(bench: Bench, stores: int) -> None:
    """I1: by threads on one store, and by stores beside each other."""
    ids = {one.id for one in bench.store.insert([new() for _ in range(600)], NOW)}
    opened = [bench.open() for _ in range(stores)]
    claimed: list[bytes] = []

    def claim(number: int) -> None:
        store = opened[number % stores]
        while jobs := store.turn([], Demand(bench.worker, {"thread": 7}), NOW).claimed:
            claimed.extend(job.id for job in jobs)

    threads = [threading.Thread(target=claim, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(claimed) == len(set(claimed)) == 600
    assert set(claimed) == ids


def test_order_in_a_lane(bench: Bench) -> None:
    """I6: priority, then the time it became available, then the id."""
    draw = random.Random(5)
    jobs = [(draw.choice([-5, 0, 5]), draw.choice([0, 10, 20])) for _ in range(60)]
    ids = []
    for priority, late in jobs:
        bench.now = NOW + late
        ids.append(bench.put(priority=priority))
    bench.now = NOW + 30
    want = sorted(range(60), key=lambda n: (-jobs[n][0], jobs[n][1], ids[n]))
    got = [job.id for _ in range(6) for job in bench.claim(10)]
    assert got == [ids[n] for n in want]


def test_a_job_that_came_back_keeps_its_place(bench: Bench) -> None:
    """I6: released and rescued jobs are not sent to the end of the line."""
    first, *_ = [bench.put() for _ in range(3)]
    (job,) = bench.claim(1)
    assert job.id == first
    bench.record(outcome(job, "released"))
    assert bench.claim(1)[0].id == first


def test_each_runner_has_its_own_line(bench: Bench) -> None:
    ids = {runner: bench.put(runner=runner) for runner in ("loop", "thread", "process")}
    turn = bench.store.turn([], Demand(bench.worker, {"loop": 5, "process": 1}), NOW)
    assert {job.id for job in turn.claimed} == {ids["loop"], ids["process"]}
    assert turn.short == {"loop"}
    assert bench.row(ids["thread"]).state is State.AVAILABLE


def test_lanes_share_and_a_worker_takes_its_own(bench: Bench) -> None:
    for _ in range(50):
        bench.put(lane="a")
    for _ in range(3):
        bench.put(lane="b")
    taken = [job.lane for job in bench.claim(10)]
    assert (taken.count("a"), taken.count("b")) == (7, 3)
    assert bench.claim(10, lanes=("b",)) == []
    assert {job.lane for job in bench.claim(10, lanes=("a", "c"))} == {"a"}


def test_a_paused_lane_is_closed(bench: Bench) -> None:
    held, free = bench.put(lane="a"), bench.put(lane="b")
    bench.store.pause("a", "me", "why", NOW)
    assert [job.id for job in bench.claim()] == [free]
    assert bench.store.resume("a") is True
    assert bench.store.resume("a") is False
    assert [job.id for job in bench.claim()] == [held]


def test_the_first_step_of_a_claim_is_to_promote_what_is_due(bench: Bench) -> None:
    soon, later = bench.put(delay=10), bench.put(delay=5000)
    turn = bench.store.turn([], Demand(bench.worker, {"thread": 9}), NOW + 10)
    assert [job.id for job in turn.claimed] == [soon]
    assert turn.due_in == 4990
    assert bench.row(later).state is State.SCHEDULED


def test_what_has_expired_is_cancelled_and_never_claimed(bench: Bench) -> None:
    late, open_, timed = bench.put(expires_in=10), bench.put(), bench.put(expires_at=NOW + 10)
    bench.now = NOW + 10
    assert [job.id for job in bench.claim()] == [open_]
    assert {bench.row(late).state, bench.row(timed).state} == {State.CANCELLED}
    assert bench.row(late).note == "expired before it started"


@pytest.mark.parametrize("kind", ["retry", "snoozed", "released", "crashed", "rescue"])
def test_an_expiry_is_for_what_never_started(bench: Bench, kind: str) -> None:
    """The first claim lifts it: a job that started in time is retried like any other."""
    job = bench.running(expires_in=10, max_attempts=2)
    if kind == "rescue":
        bench.store.retire(bench.worker)
    else:
        bench.record(outcome(job, kind, delay=20))
    assert bench.store.expire(10, NOW + 10) == 0
    assert bench.row(job.id).expires_at is None
    assert bench.row(job.id).state is not State.CANCELLED


@pytest.mark.parametrize("lanes", [30, 130])
def test_every_lanes_turn_comes(bench: Bench, lanes: int) -> None:
    """However many there are: one claim of one place after the other, each lane once before any twice."""
    bench.store.insert(
        [
            new(lane=f"t{n:03}", runner=runner)
            for n in range(lanes)
            for runner in ("loop", "thread")
            for _ in range(2)
        ],
        NOW,
    )
    asked: dict[str, list[str]] = {"loop": [], "thread": []}
    for _ in range(lanes):
        demand = Demand(bench.worker, {"loop": 1, "thread": 1})
        for job in bench.store.turn([], demand, NOW).claimed:
            asked[job.runner].append(job.lane)
    for found in asked.values():
        assert len(found) == lanes
        # A lane that was emptied leaves the circle, which may shift another's turn by a little.
        assert len(set(found)) >= lanes * 0.8
    for _ in range(lanes * 2):
        for job in bench.store.turn([], demand, NOW).claimed:
            asked[job.runner].append(job.lane)
    assert {lane: found.count(lane) for found in asked.values() for lane in found} == {
        f"t{n:03}": 2 for n in range(lanes)
    }


def test_many_closed_lanes_neither_hide_an_open_one_nor_keep_a_worker_busy(bench: Bench) -> None:
    """Turns are bounded: to what can be claimed, or to learn that there is nothing."""
    lanes = [f"t{n:03}" for n in range(130)]
    bench.store.insert([new(lane=lane) for lane in lanes], NOW)
    for lane in lanes:
        bench.store.pause(lane, "me", "why", NOW)

    def turns(demand: Demand) -> tuple[int, list[str]]:
        for count in range(1, 20):
            turn = bench.store.turn([], demand, NOW)
            if turn.claimed or turn.short:
                return count, [job.lane for job in turn.claimed]
        pytest.fail("the worker would turn for ever")

    demand = Demand(bench.worker, {"thread": 1})
    for _ in range(3):
        assert turns(demand)[1] == []
    bench.put(lane="t064-and-open")
    assert turns(demand)[1] == ["t064-and-open"]
    assert turns(demand)[1] == []
    bench.store.resume("t129")
    assert turns(Demand(bench.worker, {"thread": 1}, ("t128", "t129"))) == (1, ["t129"])


def test_a_worker_that_is_not_known_claims_nothing(bench: Bench) -> None:
    """I7: taken for dead, it would lose what it claims at once, and count a crash each time. Its outcomes
    wait until it has registered; without a demand they are taken from anyone."""
    held = bench.running()
    job_id = bench.put()
    gone = bench.store.register("host", 2, (), NOW).id
    bench.store.retire(gone)
    done = [outcome(held, "completed")]
    with pytest.raises(StoreRefused, match="register again"):
        bench.store.turn(done, Demand(gone, {"thread": 1}), NOW)
    assert bench.row(held.id).state is State.RUNNING
    assert bench.row(job_id).state is State.AVAILABLE
    assert bench.store.turn(done, None, NOW).took == [True]


def test_an_outcome_under_a_lost_claim_is_refused_and_others_land(bench: Bench) -> None:
    """I3: zero rows is an ordinary answer."""
    stale = bench.running()
    bench.record(outcome(stale, "released"))
    (fresh,) = bench.claim()
    other = bench.running()
    took = bench.record(outcome(stale, "completed", result=b"\x01666"), outcome(other, "completed"))
    assert took == [False, True]
    assert bench.row(fresh.id).state is State.RUNNING
    assert bench.record(outcome(fresh, "completed", result=b"\x017")) == [True]
    assert bench.row(fresh.id).result == b"\x017"


@pytest.mark.parametrize(
    "kind", ["completed", "retry", "discarded", "cancelled", "snoozed", "released"]
)
def test_the_same_outcome_lands_once(bench: Bench, kind: str) -> None:
    """I3, I4."""
    job = bench.running(max_attempts=3)
    assert bench.record(outcome(job, kind)) == [True]
    before = bench.row(job.id)
    assert bench.record(outcome(job, kind)) == [False]
    assert bench.record(outcome(job, "completed")) == [False]
    assert bench.row(job.id) == before


def test_a_result_held_through_an_outage_lands_if_nobody_claimed(bench: Bench) -> None:
    """I3: rescued, not claimed again: the fence is still the claim's."""
    job = bench.running()
    bench.store.retire(bench.worker)
    assert bench.row(job.id).state is State.AVAILABLE
    assert bench.record(outcome(job, "completed", result=b"\x017")) == [True]
    row = bench.row(job.id)
    assert (row.state, row.result, row.attempt) == (State.COMPLETED, b"\x017", 1)


def test_a_result_held_through_an_outage_is_refused_if_somebody_did(bench: Bench) -> None:
    """I3."""
    job = bench.running()
    bench.store.retire(bench.worker)
    bench.worker = bench.store.register("host", 2, (), NOW).id
    (again,) = bench.claim()
    assert bench.record(outcome(job, "completed")) == [False]
    assert bench.record(outcome(again, "completed")) == [True]


@pytest.mark.parametrize("end", ["cancel", "retry by hand"])
def test_whatever_settles_a_rescued_job_ends_its_old_claim(bench: Bench, end: str) -> None:
    """I3, I4: nothing lands on a job that was settled otherwise in the meantime."""
    job = bench.running()
    bench.store.retire(bench.worker)
    bench.store.cancel(job.id, "x", NOW)
    if end == "retry by hand":
        bench.store.retry(job.id, NOW)
    before = bench.row(job.id)
    assert bench.record(outcome(job, "completed")) == [False]
    assert bench.row(job.id) == before


def test_failed_attempts_are_kept_with_their_errors(bench: Bench) -> None:
    job = bench.running(max_attempts=2)
    failure = encode_failure(Failure("ValueError", "first", "trace"))
    bench.record(outcome(job, "retry", failure=failure, delay=70))
    assert bench.row(job.id).due_at == NOW + 70
    bench.now += 70
    (job,) = bench.claim()
    bench.record(outcome(job, "discarded"))
    first, second = bench.store.attempts(job.id)
    assert (first.attempt, first.outcome, first.worker) == (1, "retry", bench.worker)
    assert (first.started_at, first.finished_at) == (NOW, NOW)
    assert decode_failure(first.failure) == Failure("ValueError", "first", "trace")
    assert (second.attempt, second.outcome) == (2, "discarded")


def test_a_turn_records_and_claims_in_one_transaction(bench: Bench) -> None:
    """A claim that fails takes the record of its turn with it; nothing is half-written."""
    job = bench.running()
    waiting = bench.put()
    with pytest.raises(TypeError):
        bench.store.turn([outcome(job, "completed")], Demand(bench.worker, {"thread": "x"}), NOW)  # type: ignore[dict-item]
    assert bench.row(job.id).state is State.RUNNING
    turn = bench.store.turn([outcome(job, "completed")], Demand(bench.worker, {"thread": 1}), NOW)
    assert turn.took == [True]
    assert [one.id for one in turn.claimed] == [waiting]


DIES = """
import os, sys
from sidework.store.opening import open_store
from sidework.store.protocol import Demand
store = open_store(sys.argv[1])
worker = store.register("host", os.getpid(), ())
turn = store.turn([], Demand(worker.id, {"thread": 10}), int(sys.argv[2]))
print(len(turn.claimed), worker.id, flush=True)
sys.stdin.read()
"""


def test_a_dead_workers_jobs_are_rescued_and_a_living_ones_are_not(bench: Bench) -> None:
    """I7: by its lock or its heart, in another process."""
    ids = [bench.put() for _ in range(3)]
    process = subprocess.Popen(
        [sys.executable, "-c", DIES, bench.store.url, str(NOW)],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert process.stdout is not None
    claimed, worker = process.stdout.readline().split()
    assert claimed == "3"
    assert bench.store.rescue(NOW) == 0
    assert {row.id: row.alive for row in bench.store.workers()} == {
        bench.worker: True, int(worker): True
    }  # fmt: skip
    process.kill()
    process.wait()
    until(
        lambda: (
            {row.id: row.alive for row in bench.store.workers()}
            == {bench.worker: True, int(worker): False}
        ),
        "its death",
    )
    assert until(lambda: bench.store.rescue(NOW), "the rescue") == 3
    assert {bench.row(job).state for job in ids} == {State.AVAILABLE}
    assert [row.id for row in bench.store.workers()] == [bench.worker]
    assert [row.outcome for row in bench.store.attempts(ids[0])] == ["crashed"]


def test_a_worker_learns_what_it_is_believed_to_hold(bench: Bench) -> None:
    """I11 in small: a claim whose answer was lost is found again, by the tokens of its jobs."""
    other = bench.store.register("host", 2, (), NOW).id
    mine = bench.running()
    done = bench.running()
    bench.record(outcome(done, "completed"))
    bench.put()
    assert bench.store.held(bench.worker) == [Held(mine.id, mine.fence, mine.attempt)]
    assert bench.store.held(other) == []
    bench.store.retire(other)
    assert bench.store.held(other) is None
