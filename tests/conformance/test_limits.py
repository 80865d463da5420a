"""The width of queues (promise I11), and tasks that are held back."""

from __future__ import annotations

import threading

import pytest

from conftest import until
from sidework.errors import BadValue
from sidework.job import Claimed, PausedTask
from sidework.state import State
from sidework.store.protocol import Demand
from sidework.store.width import AGAIN_MS

from .conftest import NOW, Bench, new, outcome


def test_no_more_run_than_the_limit(bench: Bench) -> None:
    """I11: over runners, claims and workers; an end makes room in the same turn."""
    bench.store.limits.limit("a", 3)
    ids = [bench.put(lane="a", runner=("thread", "loop")[n % 2]) for n in range(10)]
    free = bench.put(lane="b")
    places = {"thread": 9, "loop": 9}
    turn = bench.store.turn([], Demand(bench.worker, places), NOW)  # type: ignore[arg-type]
    assert turn.limited == {"a"}
    assert turn.short == {"thread", "loop"}
    assert [job.lane for job in turn.claimed].count("a") == 3
    assert free in {job.id for job in turn.claimed}
    other = bench.store.register("host", 2, (), NOW).id
    assert bench.store.turn([], Demand(other, {"thread": 9}), NOW).claimed == []
    mine = [job for job in turn.claimed if job.lane == "a"]
    ends = [outcome(mine[0], "completed"), outcome(mine[1], "released")]
    turn = bench.store.turn(ends, Demand(other, {"thread": 9, "loop": 9}), NOW)
    assert len(turn.claimed) == 2
    assert bench.store.limits.running("a") == 3
    assert {job.id for job in turn.claimed} <= set(ids)


@pytest.mark.parametrize(
    "kind", ["completed", "retry", "discarded", "cancelled", "snoozed", "crashed"]
)
def test_every_end_makes_room(bench: Bench, kind: str) -> None:
    bench.store.limits.limit("default", 1)
    bench.put(max_attempts=5)
    later = bench.put()
    (job,) = bench.claim()
    bench.record(outcome(job, kind, delay=10**6))
    assert bench.store.limits.running("default") == 0
    assert len(bench.claim() + bench.claim(runner="process")) == 1
    assert later


def test_a_dead_workers_jobs_take_their_room_until_they_are_brought_back(bench: Bench) -> None:
    bench.store.limits.limit("default", 2)
    for _ in range(4):
        bench.put()
    lost = bench.claim()
    assert len(lost) == 2
    bench.store.retire(bench.worker, NOW)
    bench.worker = bench.store.register("host", 1, (), NOW).id
    assert [job.id for job in bench.claim()] == [job.id for job in lost]
    assert bench.claim() == []


def test_a_limit_counts_what_runs_already(bench: Bench) -> None:
    """I11: set, lowered, raised and lifted while jobs run."""
    for _ in range(20):
        bench.put()
    first = bench.claim(5)
    bench.store.limits.limit("default", 6)
    assert len(bench.claim()) == 1
    bench.store.limits.limit("default", 2)
    bench.record(*(outcome(job, "completed") for job in first[:4]))
    assert bench.claim() == []
    bench.record(outcome(first[4], "completed"))
    assert len(bench.claim()) == 1
    bench.store.limits.limit("default", 4)
    assert len(bench.claim()) == 2
    bench.store.limits.limit("default", None)
    assert len(bench.claim()) == 11
    (row,) = bench.store.queues()
    assert (row.name, row.most) == ("default", None)


def test_what_is_declared_counts_when_it_changes(bench: Bench) -> None:
    limits = bench.store.limits
    assert limits.declare("a", 4) is True
    assert bench.store.switch("a").most == 4
    limits.limit("a", 10)
    assert limits.declare("a", 4) is False
    assert bench.store.switch("a").most == 10
    assert limits.declare("a", 5) is True
    limits.limit("a", None)
    assert limits.declare("a", 5) is False
    assert bench.store.switch("a").most is None
    bench.store.pause("a", "me", "why", NOW)
    limits.limit("a", 2)
    row = bench.store.switch("a")
    assert (row.paused_by, row.paused_why, row.most) == ("me", "why", 2)
    for wrong in (0, -1, 10**6):
        with pytest.raises(BadValue):
            limits.limit("a", wrong)


def test_many_who_claim_stay_within_it(bench: Bench) -> None:
    """I11: counted by the tasks themselves, as it were."""
    bench.store.limits.limit("default", 5)
    bench.store.insert([new() for _ in range(120)], NOW)
    lock, now_running, most, done = threading.Lock(), set[bytes](), 0, set[bytes]()

    def work(number: int) -> None:
        nonlocal most
        store = bench.open()
        worker = store.register("host", number, (), NOW).id
        held = list[Claimed]()
        while len(done) < 120:
            with lock:
                now_running.difference_update(job.id for job in held)
            turn = store.turn(
                [outcome(job, "completed") for job in held], Demand(worker, {"thread": 3}), NOW
            )
            with lock:
                done.update(job.id for job in held)
                held = turn.claimed
                now_running.update(job.id for job in held)
                most = max(most, len(now_running))

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert 3 <= most <= 5


def test_a_limit_of_one_worker(bench: Bench) -> None:
    """Of what a worker asks for, at most so many of a lane; over all runners."""
    for n in range(12):
        bench.put(lane="ab"[n % 2], runner=("thread", "loop")[n // 2 % 2])
    demand = Demand(bench.worker, {"thread": 9, "loop": 9}, ("a", "b"), {"a": 2})
    lanes = [job.lane for job in bench.store.turn([], demand, NOW).claimed]
    assert (lanes.count("a"), lanes.count("b")) == (2, 6)
    demand = Demand(bench.worker, {"thread": 9}, ("a", "b"), {"a": 0})
    assert bench.store.turn([], demand, NOW).claimed == []


def test_urgent_jobs_come_first_within_a_limit(bench: Bench) -> None:
    """I6, I11."""
    bench.store.limits.limit("default", 1)
    ids = {priority: bench.put(priority=priority) for priority in (0, 5, -5, 9)}
    for priority in (9, 5, 0, -5):
        (job,) = bench.claim()
        assert job.id == ids[priority]
        bench.record(outcome(job, "completed"))


# Tasks -----------------------------------------------------------------------------------------


def test_nothing_of_a_paused_task_is_started(bench: Bench) -> None:
    """What was enqueued before and during the pause comes back in its order, and counts as it did."""
    limits = bench.store.limits
    first, other = bench.put(task="m:g"), bench.put(priority=-1)
    limits.pause("m:g", "me", "it is broken", NOW)
    assert limits.paused() == [PausedTask("m:g", NOW, "me", "it is broken")]
    second, third = bench.put(task="m:g"), bench.put(task="m:g", priority=9)
    assert [job.id for job in bench.claim()] == [other]
    assert {bench.row(one).state for one in (first, second, third)} == {State.BLOCKED}
    late = bench.put(task="m:g", delay=5)
    bench.now += 5
    assert bench.claim() == []
    assert bench.row(late).state is State.BLOCKED
    assert limits.resume("m:g") is True
    assert limits.resume("m:g") is False
    assert limits.paused() == []
    assert [job.id for job in bench.claim()] == [third, first, second, late]


def test_claims_do_not_come_to_what_was_set_aside(bench: Bench) -> None:
    """Thousands of a paused task before one of an open one: a bounded part of them at each claim."""
    bench.store.insert([new(task="m:g") for _ in range(2500)], NOW)
    last = bench.put()
    bench.store.limits.pause("m:g", "me", "", NOW)
    turns = [bench.store.turn([], Demand(bench.worker, {"thread": 9}), NOW) for _ in range(3)]
    assert [len(turn.claimed) for turn in turns] == [0, 0, 1]
    assert turns[2].claimed[0].id == last
    assert [turn.due_in for turn in turns[:2]] == [AGAIN_MS] * 2
    assert bench.store.limits.resume("m:g")
    back = list[Claimed]()
    until(lambda: back.extend(bench.claim(3000)) or len(back) == 2500)


def test_a_paused_tasks_job_can_be_cancelled_and_expires(bench: Bench) -> None:
    bench.store.limits.pause("m:g", "me", "", NOW)
    one, two = bench.put(task="m:g"), bench.put(task="m:g", expires_in=5)
    assert bench.claim() == []
    assert bench.store.cancel(one, "x", NOW) == "cancelled"
    assert bench.store.expire(9, NOW + 5) == 1
    bench.store.limits.resume("m:g")
    assert {bench.row(id_).state for id_ in (one, two)} == {State.CANCELLED}


def test_what_a_resume_left_aside_a_chore_brings_back(bench: Bench) -> None:
    """As when whoever resumed was killed in between; only of tasks that are open, and bounded."""
    for name in ("m:g", "m:h"):
        bench.store.limits.pause(name, "me", "", NOW)
        bench.store.insert([new(task=name) for _ in range(3)], NOW)
    assert bench.claim() == []
    copied = [one for one in bench.store.copies.dump(None, 9) if one.job.task == "m:g"]
    other = bench.other()
    assert other.copies.load(copied) == ["stored"] * 3  # where no task is paused
    assert other.limits.bring_back(2) == 2
    assert other.limits.bring_back(9) == 1
    assert bench.store.limits.bring_back(9) == 0


def test_a_held_result_lands_on_a_job_that_was_set_aside(bench: Bench) -> None:
    """I3: rescued and set aside, but claimed by nobody else."""
    job = bench.running(task="m:g")
    bench.store.retire(bench.worker, NOW)
    bench.worker = bench.store.register("host", 1, (), NOW).id
    bench.store.limits.pause("m:g", "me", "", NOW)
    assert bench.claim() == []
    assert bench.row(job.id).state is State.BLOCKED
    assert bench.record(outcome(job, "completed")) == [True]
    assert bench.row(job.id).state is State.COMPLETED
