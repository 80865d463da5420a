"""Jobs that wait for jobs, and callbacks: what follows from every end, whoever makes it.

Promises I3, I4, I6 hold for what follows too; and no job is stuck, whatever meets what.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import Any, get_args

import pytest
from msgspec.structs import replace

from conftest import until
from sidework.callbacks import Callback, Ended, encode_callbacks, jobs_of
from sidework.errors import BadValue, JobConflict, JobNotFound, StoreRefused
from sidework.ids import id_text, new_id
from sidework.inputs import with_inputs
from sidework.job import Claimed, Edge, Inserted, OnInputFailure
from sidework.outputs import Output
from sidework.state import State
from sidework.store import calling, flows
from sidework.store.flows import MOST_EDGES
from sidework.store.protocol import RETENTION
from sidework.store.storable import MOST_PARENTS

from .conftest import NOW, Bench, new, outcome

HOUR = 3_600_000


def states(bench: Bench, *ids: bytes) -> list[str]:
    return [str(bench.row(id_).state) for id_ in ids]


def finish(bench: Bench, job_id: bytes, kind: str = "completed") -> None:
    """Claim it, whatever else there is, and end it so."""
    for one in bench.claim():
        bench.record(outcome(one, kind if one.id == job_id else "released"))


def test_it_waits_for_every_input_and_stands_in_line_from_then_on(bench: Bench) -> None:
    """I6: by the time when it became available."""
    first, second = bench.put(), bench.put()
    child = bench.put(parents=(first, second))
    assert (bench.row(child).state, bench.row(child).pending) == (State.BLOCKED, 2)
    one, other = bench.claim()
    bench.record(outcome(one, "completed"))
    assert (bench.row(child).state, bench.row(child).pending) == (State.BLOCKED, 1)
    bench.now += 50
    later = bench.put()
    bench.now += 50
    bench.record(outcome(other, "completed"))
    assert (bench.row(child).state, bench.row(child).due_at) == (State.AVAILABLE, bench.now)
    assert [job.id for job in bench.claim()] == [later, child]


def test_one_that_is_due_later_is_scheduled(bench: Bench) -> None:
    parent = bench.put()
    child = bench.put(parents=(parent,), delay=HOUR)
    finish(bench, parent)
    assert states(bench, child) == ["scheduled"]
    assert bench.row(child).due_at == NOW + HOUR


def test_an_input_that_has_ended_is_not_waited_for(bench: Bench) -> None:
    done, failed = bench.put(), bench.put()
    one, other = bench.claim()
    bench.record(outcome(one, "completed"), outcome(other, "discarded"))
    assert states(bench, bench.put(parents=(done,))) == ["available"]
    assert states(bench, bench.put(parents=(done, failed))) == ["cancelled"]
    assert states(bench, bench.put(parents=(failed,), policy="continue")) == ["available"]


def by_cancel(bench: Bench, job_id: bytes) -> None:
    bench.store.cancel(job_id, "by hand", bench.now)


def by_expiry(bench: Bench, job_id: bytes) -> None:
    assert bench.store.expire(10, bench.now + HOUR) == 1


def by_expiry_at_a_turn(bench: Bench, job_id: bytes) -> None:
    bench.now += HOUR
    bench.claim()


def by_discard(bench: Bench, job_id: bytes) -> None:
    finish(bench, job_id, "discarded")


def by_no_attempt_left(bench: Bench, job_id: bytes) -> None:
    finish(bench, job_id, "retry")


def by_rescue(bench: Bench, job_id: bytes) -> None:
    bench.claim()
    bench.store.cancel(job_id, "asked", bench.now)
    bench.store.retire(bench.worker, bench.now)
    bench.worker = bench.store.register("host", 2, (), NOW).id


ENDS: list[Callable[[Bench, bytes], None]] = [
    by_cancel, by_expiry, by_expiry_at_a_turn, by_discard, by_no_attempt_left, by_rescue,
]  # fmt: skip


@pytest.mark.parametrize("end", ENDS, ids=lambda end: end.__name__)
def test_whoever_ends_it_badly_what_waits_is_cancelled_and_says_why(
    bench: Bench, end: Callable[[Bench, bytes], None]
) -> None:
    """All that follows: what was cancelled has others that wait for it, and callbacks of its own."""
    parent = bench.put(expires_in=HOUR)
    child = bench.put(parents=(parent,), callbacks=calls("m:told"))
    grandchild = bench.put(parents=(child,))
    brave = bench.put(parents=(grandchild,), policy="continue")
    end(bench, parent)
    while bench.store.turn([], None, bench.now).due_in == 0:
        pass  # the next turn of the worker, which it takes at once
    assert states(bench, child, grandchild, brave) == ["cancelled", "cancelled", "available"]
    ended = bench.row(parent).state
    assert bench.row(child).note == f"its input {id_text(parent)} was {ended}"
    assert bench.row(grandchild).note == f"its input {id_text(child)} was cancelled"
    assert [job.task for job in bench.claim() if job.id != brave] == ["m:told"]


def test_what_a_job_ends_in_its_own_transaction_is_followed_by_its_worker(bench: Bench) -> None:
    parent = bench.running()
    child = bench.put(parents=(parent.id,))
    with bench.store.transaction() as connection:
        assert bench.store.finish_on(connection, outcome(parent, "completed"), bench.now)
    assert states(bench, child) == ["blocked"]
    assert bench.record(outcome(parent, "retry", in_transaction=True)) == [False]
    assert states(bench, child) == ["available"]


def test_a_fan_out_wider_than_a_transaction_is_released_turn_by_turn(bench: Bench) -> None:
    parent = bench.running()
    width = MOST_EDGES + 20
    bench.store.insert([new(parents=(parent.id,)) for _ in range(width)], bench.now)
    turn = bench.store.turn([outcome(parent, "completed")], None, bench.now)
    (queue,) = bench.store.queues()
    assert (turn.due_in, queue.counts["available"]) == (0, MOST_EDGES)
    assert bench.store.turn([], None, bench.now).due_in != 0
    (queue,) = bench.store.queues()
    assert queue.counts["available"] == width


def test_a_fan_in_brings_the_results_with_the_claim(bench: Bench) -> None:
    parents = [bench.put() for _ in range(3)]
    call = with_inputs(b"\x01{}", [([n], Output(id_, "")) for n, id_ in enumerate(parents)], "x")
    child = bench.put(parents=tuple(parents), policy="continue", args=call)
    kinds = ["completed", "discarded", "completed"]
    bench.record(*(outcome(job, kind) for job, kind in zip(bench.claim(), kinds, strict=True)))
    (claimed,) = bench.claim()
    assert claimed.id == child
    given = {one.id: one for one in claimed.inputs}
    assert [given[id_].state for id_ in parents] == ["completed", "discarded", "completed"]
    assert given[parents[0]].result == b"\x01null"
    assert given[parents[1]].failure is not None


def test_inputs_that_are_too_much_come_without_their_results(bench: Bench) -> None:
    parents = [bench.put() for _ in range(2)]
    call = with_inputs(b"\x01{}", [([0], Output(parents[0], ""))], "x")
    bench.put(parents=tuple(parents), args=call)
    large = b"\x01" + b"1" * 600_000
    bench.record(*(outcome(job, "completed", result=large) for job in bench.claim()))
    (claimed,) = bench.claim()
    assert [one.result for one in claimed.inputs] == [None, None]


def test_a_claim_tells_what_a_failed_input_means(bench: Bench) -> None:
    """Retried by hand a job comes to inputs that failed, or are gone: may it have them?"""
    parent, gone = bench.put(), bench.put()
    places: list[Any] = [(["a", 0], Output(parent, "")), (["a", 1], Output(gone, ""))]
    args = with_inputs(b'\x01{"a":[null,null]}', places, "f")
    children: dict[OnInputFailure, bytes] = {
        policy: bench.put(parents=(parent, gone), policy=policy, args=args)
        for policy in get_args(OnInputFailure)
    }
    bench.record(*(outcome(job, "discarded") for job in bench.claim()))
    for child in children.values():
        bench.store.cancel(child, "", NOW)
    assert bench.store.delete(gone)
    for policy, child in children.items():
        assert bench.store.retry(child, NOW)
        (claimed,) = bench.claim()
        told = {one.id: (one.state, one.policy) for one in claimed.inputs}
        assert told == {parent: (State.DISCARDED, policy), gone: (None, policy)}


# What is refused ------------------------------------------------------------------------------


def test_one_waits_for_so_many_at_most(bench: Bench) -> None:
    """Others wait while they are stored."""
    parents = tuple(new_id() for _ in range(MOST_PARENTS + 1))
    with pytest.raises(BadValue, match="would wait for 20,001 others, the cap is 20,000"):
        bench.put(parents=parents)
    assert bench.claim() == []


def insert_on(bench: Bench, jobs: list[Any]) -> list[Inserted]:
    with bench.engine.transaction() as connection:
        return bench.store.insert_on(connection, jobs, bench.now)


def insert(bench: Bench, jobs: list[Any]) -> list[Inserted]:
    return bench.store.insert(jobs, bench.now)


@pytest.mark.parametrize("put", [insert, insert_on])
def test_what_would_wait_for_ever_is_refused_and_nothing_is_stored(bench: Bench, put: Any) -> None:
    gone, job = new_id(), new()
    with pytest.raises(JobNotFound, match=id_text(gone)):
        put(bench, [job, new(parents=(job.id, gone))])
    one, other, third = new_id(), new_id(), new_id()
    round_ = [new(id=one, parents=(third,)), new(id=other, parents=(one,)),
              new(id=third, parents=(other,))]  # fmt: skip
    with pytest.raises(BadValue, match="wait for itself"):
        put(bench, [job, *round_])
    with pytest.raises(BadValue, match="wait for itself"):
        put(bench, [job, new(id=one, parents=(one,))])
    bench.put(unique_key="k", unique_until="final")
    taken = new(unique_key="k", unique_until="final")
    with pytest.raises(JobConflict, match="unique key"):
        put(bench, [job, taken, new(parents=(taken.id,))])
    there = new(id=bench.put(), args=b"\x01other")
    with pytest.raises(JobConflict, match=id_text(there.id)):
        put(bench, [job, new(parents=(job.id,)), there])
    assert bench.store.get([job.id]) == [None]


@pytest.mark.parametrize("put", [insert, insert_on])
def test_the_same_job_with_other_inputs_is_another(bench: Bench, put: Any) -> None:
    """I12: whether it was enqueued with none, and has some now, or the other way round."""
    one, other = bench.put(), bench.put()
    with_one, bare = new(parents=(one,), callbacks=calls("m:told")), new()
    for verdict in ("stored", "present"):
        told = put(bench, [with_one, with_one]) + put(bench, [bare, bare])
        assert [told[n].verdict for n in (0, 2)] == [verdict] * 2
        assert [told[n].verdict for n in (1, 3)] == ["present"] * 2
    for parents in ((other,), (one, other)):
        for job in (with_one, bare):
            with pytest.raises(JobConflict, match="other inputs"):
                put(bench, [replace(job, parents=parents)])
    assert put(bench, [replace(with_one, parents=(), callbacks=None)])[0].verdict == "conflict"
    bench.record(*(outcome(job, "completed") for job in bench.claim()))
    assert put(bench, [with_one])[0].verdict == "present"


@pytest.mark.parametrize("how", ["transaction", "autocommit"])
def test_who_catches_the_refusal_and_commits_has_stored_nothing(bench: Bench, how: str) -> None:
    """A job without its waits would be blocked for ever."""
    bench.put(unique_key="k", unique_until="final")
    taken = new(unique_key="k", unique_until="final")
    job, child = new(callbacks=calls("m:told")), new(parents=(taken.id,))
    with getattr(bench.engine, how)() as connection:
        with pytest.raises(JobConflict, match="unique key"):
            bench.store.insert_on(connection, [job, taken, child], NOW)
        fine = new(callbacks=calls("m:told"))
        bench.store.insert_on(connection, [fine], NOW)
    assert bench.store.get([job.id, child.id]) == [None, None]
    assert [one.child for one in bench.store.flows.edges([job.id, taken.id, fine.id])] == [fine.id]


@pytest.mark.parametrize("put", [insert, insert_on])
def test_many_that_wait_for_one_another_in_one_call(bench: Bench, put: Any) -> None:
    """In any order; and handed over again after a lost reply they are there once (I12)."""
    jobs = [new() for _ in range(120)]
    total = new(parents=tuple(job.id for job in jobs))
    for verdict in ("stored", "present"):
        told = put(bench, [total, *jobs])
        assert {one.verdict for one in told} == {verdict}
    assert bench.row(total.id).pending == 120
    bench.record(*(outcome(job, "completed") for job in bench.claim(200)))
    assert [job.id for job in bench.claim()] == [total.id]


def test_a_rolled_back_child_leaves_nothing(bench: Bench) -> None:
    """I2."""
    parent = bench.put()
    child = new(parents=(parent,), callbacks=calls("m:told"))
    with contextlib.suppress(ZeroDivisionError), bench.engine.transaction() as connection:
        bench.store.insert_on(connection, [child], bench.now)
        _ = 1 / 0
    assert bench.store.flows.edges([parent, child.id]) == []


def test_a_result_is_kept_as_long_as_a_live_job_takes_it(bench: Bench) -> None:
    parent, other = bench.put(), bench.put(delay=HOUR)
    child = bench.put(parents=(parent, other))
    finish(bench, parent)
    with pytest.raises(StoreRefused, match=id_text(child)):
        bench.store.delete(parent)
    assert bench.store.prune({**RETENTION, "completed_age": 0}, 10, NOW + HOUR) == 0
    assert bench.row(parent).state is State.COMPLETED
    bench.store.cancel(child, "", NOW)
    assert bench.store.delete(child)
    assert bench.store.prune({**RETENTION, "completed_age": 0}, 10, NOW + HOUR) == 1
    assert bench.store.flows.edges([parent, child]) == []


# Retries ----------------------------------------------------------------------------------------


def test_a_retry_waits_for_inputs_that_run_again(bench: Bench) -> None:
    parent = bench.put()
    child = bench.put(parents=(parent,))
    finish(bench, parent, "discarded")
    assert states(bench, child) == ["cancelled"]
    assert bench.store.retry(parent, NOW)
    assert bench.store.retry(child, NOW)
    assert states(bench, parent, child) == ["available", "blocked"]
    finish(bench, parent)
    assert states(bench, child) == ["available"]


def test_what_still_waits_for_others_waits_for_a_retried_input_too(bench: Bench) -> None:
    first, second = bench.put(), bench.put()
    child = bench.put(parents=(first, second), policy="continue")
    one, other = bench.claim()
    bench.record(outcome(one, "discarded"))
    assert bench.row(child).pending == 1
    assert bench.store.retry(first, NOW)
    bench.record(outcome(other, "completed"))
    assert bench.row(child).pending == 1
    finish(bench, first)
    assert states(bench, child) == ["available"]


# Callbacks --------------------------------------------------------------------------------------


def calls(*tasks: str, when: Any = "final") -> bytes | None:
    return encode_callbacks(
        [Callback(when, "it", task, "calls", "thread", 5, 0, 3, None, None, "rescue") for task in tasks]
    )  # fmt: skip


def called(bench: Bench) -> list[Claimed]:
    return bench.claim(lanes=("calls",))


@pytest.mark.parametrize(
    ("kind", "told"),
    [
        ("completed", {"success": b'{"it":7}', "final": b'"result":7,"failure":null'}),
        (
            "discarded",
            {"failure": b'"kind":"ValueError","message":"no"', "final": b'"result":null'},
        ),
        ("cancelled", {"failure": b'"state":"cancelled"', "final": b'"state":"cancelled"'}),
    ],
)
def test_callbacks_are_stored_with_the_end(bench: Bench, kind: str, told: dict[str, bytes]) -> None:
    every = [
        Callback(when, "it", f"m:{when}", "calls", "thread", 5, 0, 3, None, None, "rescue", ("a",))
        for when in ("success", "failure", "final")
    ]  # fmt: skip
    job = bench.running(callbacks=encode_callbacks(every), context="{}")
    bench.record(outcome(job, kind, **({"result": b"\x017"} if kind == "completed" else {})))
    made = called(bench)
    assert {one.task for one in made} == {f"m:{when}" for when in told}
    for one in made:
        assert told[one.task.removeprefix("m:")] in one.args
        assert (one.priority, one.max_attempts, one.context) == (5, 3, "{}")
        assert bench.row(one.id).tags == ("a",)


def test_one_end_makes_the_same_jobs_whoever_makes_them() -> None:
    """So that an insert that comes again is no second job; the next end makes others."""
    ended = Ended(
        new_id(), "m:f", State.COMPLETED, 3, NOW, None, calls("m:a", "m:b") or b"", None, None, None
    )
    ids = [job.id for job in jobs_of(ended)]
    assert [job.id for job in jobs_of(ended)] == ids
    assert not {*ids} & {job.id for job in jobs_of(replace(ended, fence=5))}


def test_who_waits_for_work_is_rung_for_a_callback(bench: Bench) -> None:
    """I10: else it starts when a worker looks by itself, up to a second later."""
    job = bench.running(callbacks=calls("m:told"))
    bell = bench.open().listen("work")
    bench.store.ring_work()
    until(bell.read, "the bell for what was there before")
    bench.record(outcome(job, "completed"))
    until(bell.read, "the bell for the callback")
    bell.close()


def test_one_end_calls_once_and_a_new_end_again(bench: Bench) -> None:
    job = bench.running(callbacks=calls("m:told"))
    end = outcome(job, "completed")
    assert bench.record(end, end) == [True, False]
    assert bench.record(end) == [False]
    bench.store.flows.reconcile(100, NOW)
    (first,) = called(bench)
    assert bench.store.retry(job.id, NOW)
    finish(bench, job.id)
    (second,) = called(bench)
    assert first.id != second.id


@pytest.mark.parametrize("by_hand", ["retry", "delete"])
def test_an_end_that_nobody_has_followed_yet_calls_all_the_same(bench: Bench, by_hand: str) -> None:
    """Its own transaction ended it, its worker has died, and somebody is there before the chore."""
    job = bench.running(callbacks=calls("m:told"))
    with bench.engine.transaction() as connection:
        assert bench.store.finish_on(connection, outcome(job, "completed"), bench.now)
    assert getattr(bench.store, by_hand)(job.id)
    assert len(called(bench)) == 1
    bench.store.flows.reconcile(100, NOW)
    assert called(bench) == []


def test_a_retry_that_is_left_calls_nothing(bench: Bench) -> None:
    job = bench.running(callbacks=calls("m:told"), max_attempts=2)
    bench.record(outcome(job, "retry"))
    assert called(bench) == []


@pytest.fixture
def unread(monkeypatch: pytest.MonkeyPatch) -> bytes:
    """Callbacks as a later version may write them."""
    monkeypatch.setattr(calling, "_said", [])
    blob = calls("m:told")
    assert blob is not None
    return blob.replace(b'"rescue"', b'"refreeze"')


def test_callbacks_that_cannot_be_read_keep_nobody_up(
    bench: Bench, unread: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    """I3, I4: it ends as any other does, and so do those that end with it; who can read them calls them."""
    strange, other = bench.put(callbacks=unread), bench.put(callbacks=calls("m:told"))
    child = bench.put(parents=(strange,))
    assert bench.record(*(outcome(one, "completed") for one in bench.claim())) == [True, True]
    bench.store.flows.reconcile(100, bench.now)
    bench.store.flows.reconcile(100, bench.now)
    assert states(bench, strange, other, child) == ["completed", "completed", "available"]
    assert len(called(bench)) == 1
    assert Edge(strange, strange, "call", done=False) in bench.store.flows.edges([strange])
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    assert f"job {id_text(strange)} (m:f) cannot be read" in caplog.text


def test_a_job_whose_callbacks_cannot_be_read_is_not_retried(bench: Bench, unread: bytes) -> None:
    """They would be lost. A deletion goes through: else it could never be removed."""
    job = bench.running(callbacks=unread)
    bench.record(outcome(job, "completed"))
    with pytest.raises(StoreRefused, match="cannot be read by this version"):
        bench.store.retry(job.id, NOW)
    assert bench.store.delete(job.id)


def test_more_of_them_than_a_step_takes(bench: Bench, unread: bytes) -> None:
    """They must not stand before the ends of others, nor be asked for again without a pause."""
    many = [new(callbacks=unread) for _ in range(MOST_EDGES + 10)]
    bench.store.insert([*many, new(callbacks=calls("m:told"))], bench.now)
    claimed = bench.claim(len(many) + 1)
    bench.record(*(outcome(one, "completed") for one in claimed))
    for _ in range(3):
        due_in = bench.store.turn([], None, bench.now).due_in
    assert due_in != 0
    bench.store.flows.reconcile(5000, bench.now)
    assert len(called(bench)) == 1


# What meets what --------------------------------------------------------------------------------


def test_a_child_that_is_stored_while_its_input_ends_is_found_by_the_chore(bench: Bench) -> None:
    """At READ COMMITTED neither sees the other: the child's transaction looks, the parent ends, and only
    then the child is there."""
    parent = bench.put()
    (claimed,) = bench.claim()
    child = new(parents=(parent,))
    with bench.engine.autocommit() as connection:
        if bench.engine.own_files:
            # One writer at a time: the end stands in line, and sees the child.
            bench.store.insert_on(connection, [child], bench.now)
            bench.record(outcome(claimed, "completed"))
        else:
            with connection.transaction():
                bench.store.insert_on(connection, [child], bench.now)
                bench.record(outcome(claimed, "completed"))
            assert states(bench, child.id) == ["blocked"]
            assert bench.store.flows.reconcile(100, bench.now) == 1
    assert states(bench, child.id) == ["available"]


@pytest.mark.parametrize(("steps", "turns"), [(1, 4), (20, 1)], ids=["later", "at once"])
def test_the_chore_walks_on_from_where_it_was(
    bench: Bench, steps: int, turns: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever waits for good, in small steps: with one that nobody has followed at the end."""
    monkeypatch.setattr(flows, "WALK_STEPS", steps)
    monkeypatch.setattr(flows, "WALK_SECONDS", 60.0)
    live = [bench.put(delay=HOUR) for _ in range(5)]
    bench.store.insert([new(parents=(id_,)) for id_ in live], NOW)
    last = bench.running()
    child = bench.put(parents=(last.id,))
    with bench.store.transaction() as connection:
        bench.store.finish_on(connection, outcome(last, "completed"), NOW)
    assert sum(bench.store.flows.reconcile(2, NOW) for _ in range(turns)) == 1
    assert states(bench, child) == ["available"]


def test_edges_are_told_whole(bench: Bench) -> None:
    parent = bench.put()
    child = bench.put(parents=(parent,), callbacks=calls("m:told"))
    assert bench.store.flows.edges([parent, child, new_id()]) == [
        Edge(parent, child, "cancel"), Edge(child, child, "call"),
    ]  # fmt: skip


def test_a_moved_workflow_goes_on(bench: Bench) -> None:
    parent = bench.put()
    child = bench.put(parents=(parent,), callbacks=calls("m:told"))
    page = bench.store.copies.dump(None, 10)
    there = bench.other()
    # The child first: while its queue is closed nobody takes its input for gone.
    there.pause("default", "me", "being filled", NOW)
    assert there.copies.load(page[::-1][:1]) == ["stored"]
    there.flows.reconcile(10, NOW)
    assert there.copies.load(page[::-1]) == ["present", "stored"]
    assert there.copies.dump(None, 10) == page
    assert bench.store.copies.disown(page, "moved to x", NOW) == [True, True]
    bench.store.flows.reconcile(10, NOW)
    assert called(bench) == []
    there.resume("default")
    bench.store, bench.worker = there, there.register("host", 1, (), NOW).id
    finish(bench, parent)
    finish(bench, child)
    assert states(bench, parent, child) == ["completed", "completed"]
    assert len(called(bench)) == 1
