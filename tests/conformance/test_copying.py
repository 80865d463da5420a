"""Jobs from store to store: whole, judged by what is there, and never live in both."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest
from msgspec.structs import replace

from sidework.errors import BadValue, StoreRefused
from sidework.ids import new_id
from sidework.job import Copied, JobFilter, NewJob
from sidework.outcome import Failure, encode_failure
from sidework.periodic import Declaration, Periodic, fire
from sidework.schedule import Schedule
from sidework.state import FINAL, State
from sidework.store.copies import DUMP_BYTES
from sidework.store.copying import BY, Moved, copy
from sidework.store.protocol import Demand, Store

from .conftest import NOW, Bench, new, outcome

HOSTILE = "Grüße \N{PILE OF POO} \u202e'\";--\n\t%s \x7f\ufffe"


def fill(bench: Bench) -> dict[str, bytes]:
    """A job in each state but running, and what is rare in them."""
    made = {
        "retryable": bench.running(lane="r", max_attempts=5, backoff=7, timeout=9, priority=-100),
        "discarded": bench.running(lane="d", on_crash="discard", tags=(HOSTILE, "", "a,b")),
        "completed": bench.running(lane="c", runner="loop", args=bytes(range(256))),
        "crashed": bench.running(lane="x", max_attempts=2),
    }
    failure = encode_failure(Failure(HOSTILE, HOSTILE, HOSTILE))
    bench.record(
        outcome(made["retryable"], "retry", delay=50, failure=failure, note=HOSTILE),
        outcome(made["discarded"], "discarded", failure=failure, note=HOSTILE),
        outcome(made["completed"], "completed", result=b"\x01" + b"\x00\xff" * 100),
        outcome(made["crashed"], "crashed"),
    )
    ids = {name: claimed.id for name, claimed in made.items()}
    ids["scheduled"] = bench.put(lane="s", delay=1000, expires_in=5000)
    ids["available"] = bench.put(task=HOSTILE, lane="a", priority=100, max_attempts=3)
    ids["cancelled"] = bench.put(lane="k")
    bench.store.cancel(ids["cancelled"], HOSTILE, NOW)
    return ids


def everything(store: Store) -> list[Copied]:
    found, after = list[Copied](), None
    while page := store.copies.dump(after, 3):
        assert len(page) <= 3
        found += page
        after = page[-1].job.id
    return found


def leave(bench: Bench) -> None:
    """The bench's worker goes, so that nobody works on the store."""
    bench.store.retire(bench.worker)


def moved(bench: Bench, target: Store, tell: object = None) -> Moved:
    return copy(bench.store, target, tell or (lambda doing, done: None))  # type: ignore[arg-type]


# The verbs ----------------------------------------------------------------------------------------


def test_what_is_dumped_and_loaded_is_the_same(bench: Bench) -> None:
    ids = fill(bench)
    there = everything(bench.store)
    assert [copied.job.id for copied in there] == sorted(ids.values())
    assert {copied.job.state for copied in there} == set(State) - {State.BLOCKED, State.RUNNING}
    for copied in there:
        assert copied.job == bench.row(copied.job.id)
        assert list(copied.attempts) == bench.store.attempts(copied.job.id)
    by_id = {copied.job.id: copied for copied in there}
    assert by_id[ids["retryable"]].backoff == 7
    assert [len(by_id[ids[one]].attempts) for one in ("retryable", "crashed")] == [1, 1]
    other = bench.other()
    assert set(other.copies.load(there)) == {"stored"}
    assert everything(other) == there
    assert set(other.copies.load(there)) == {"present"}
    assert everything(other) == there


def test_a_page_is_bounded_in_bytes(bench: Bench) -> None:
    large = b"\x01" + b"1" * (DUMP_BYTES // 2)
    ids = [bench.put(args=large) for _ in range(5)]
    pages, after = list[list[bytes]](), None
    while page := bench.store.copies.dump(after, 100):
        pages.append([copied.job.id for copied in page])
        after = page[-1].job.id
    assert [len(page) for page in pages] == [2, 2, 1]
    assert [job_id for page in pages for job_id in page] == ids


def test_loading_one_page_twice_at_once_stores_each_job_once(bench: Bench) -> None:
    fill(bench)
    page = everything(bench.store)
    assert bench.other().copies.load([*page, *page]) == ["stored"] * len(page) + ["present"] * len(
        page
    )


def test_a_job_that_runs_is_not_loaded(bench: Bench) -> None:
    bench.running(lane="r")
    bench.put()
    other = bench.other()
    with pytest.raises(StoreRefused, match="runs"):
        other.copies.load(everything(bench.store))
    assert everything(other) == []


def test_a_job_that_went_on_is_present_and_one_behind_is_not(bench: Bench) -> None:
    job_id = bench.put(max_attempts=3)
    before = everything(bench.store)
    other = bench.other()
    other.copies.load(before)
    bench.record(outcome(bench.claim()[0], "retry", delay=5))
    after = everything(bench.store)
    assert bench.store.copies.load(before) == ["present"]
    assert other.copies.load(after) == ["conflict"]
    assert other.get([job_id])[0] == before[0].job
    bench.store.promote(9, NOW + 5)
    assert bench.store.copies.load(after) == ["present"]
    bench.now = NOW + 5
    bench.record(outcome(bench.claim()[0], "retry", delay=5))
    assert bench.store.copies.load(after) == ["present"]
    # It ran here and there: the attempt that it had there is not known here.
    elsewhere = replace(after[0].attempts[0], failure=b"another")
    assert bench.store.copies.load([replace(after[0], attempts=(elsewhere,))]) == ["conflict"]


@pytest.mark.parametrize("change", [{"args": b"\x01[]"}, {"task": "m:g"}, {"lane": "z"},
                                    {"priority": 1}, {"tags": ("x",)}, {"timeout": 1},
                                    {"state": State.CANCELLED}, {"note": "x"}])  # fmt: skip
def test_another_job_of_the_same_id_is_a_conflict(bench: Bench, change: dict[str, object]) -> None:
    bench.put()
    (copied,) = everything(bench.store)
    changed = replace(copied, job=replace(copied.job, **change))
    assert bench.store.copies.load([changed]) == ["conflict"]
    assert everything(bench.store) == [copied]


def test_what_waits_is_disowned_once_and_only_as_it_was_read(bench: Bench) -> None:
    fill(bench)
    waiting = {State.SCHEDULED, State.RETRYABLE, State.AVAILABLE}
    read = everything(bench.store)
    taken = bench.claim(lanes=("a",))[0].id
    took = bench.store.copies.disown(read, "moved to another", NOW + 1)
    assert took == [one.job.state in waiting and one.job.id != taken for one in read]
    for copied, did in zip(read, took, strict=True):
        row = bench.row(copied.job.id)
        if did:
            assert (row.state, row.note, row.finished_at, row.fence) == (
                State.CANCELLED, "moved to another", NOW + 1, copied.job.fence + 1,
            )  # fmt: skip
        elif row.id != taken:
            assert row == copied.job
    assert not any(bench.store.copies.disown(read, "moved to another", NOW + 2))
    # What was given up is not the job, though its fence is higher.
    verdicts = bench.store.copies.load(read)
    assert [one for one, did in zip(verdicts, took, strict=True) if did] == ["conflict"] * sum(took)


# The move -----------------------------------------------------------------------------------------


def test_a_move_leaves_no_job_live_in_both(bench: Bench) -> None:
    fill(bench)
    bench.store.pause("s", "me", "why", NOW)
    bench.store.pause("empty", "me", "", NOW)
    leave(bench)
    before, target = everything(bench.store), bench.other()
    report = moved(bench, target)
    live = [one for one in before if one.job.state not in FINAL]
    assert (report.stored, report.present, report.disowned) == (len(before), 0, len(live))
    assert (report.left, report.conflicts) == (0, [])
    assert everything(target) == before
    assert {one.job.state for one in everything(bench.store)} <= FINAL
    final = [one for one in before if one.job.state in FINAL]
    assert [one for one in everything(bench.store) if not one.disowned] == final
    for row in bench.store.queues():
        assert (row.paused_by, row.paused_why) == (BY, f"moved to {target.url}")
    paused = {row.name: row for row in target.queues() if row.paused_at is not None}
    assert set(paused) == {"s", "empty"}
    assert (paused["s"].paused_at, paused["s"].paused_by, paused["s"].paused_why) == (
        NOW, "me", "why",
    )  # fmt: skip


def test_limits_and_paused_tasks_go_over(bench: Bench) -> None:
    """I11: what was narrow or held back is so from the first job on; what code declares again changes nothing
    that a person has set."""
    limits = bench.store.limits
    for queue, declared, by_hand in (("a", None, 1), ("b", 4, 2), ("c", 4, None), ("d", 4, 4)):
        bench.put(lane=queue)
        if declared is not None:
            limits.declare(queue, declared)
        limits.limit(queue, by_hand)
    limits.pause("m:f", "me", "it harms", NOW)
    leave(bench)
    there = bench.other()
    there.limits.limit("d", 9)
    for _ in range(2):
        copy(bench.store, there, lambda *_: None)
        assert [row.most for row in there.queues()] == [1, 2, None, 9]
        assert there.limits.paused() == limits.paused()
    assert not there.limits.declare("b", 4)


def test_periodics_go_over_with_their_next_ticks(bench: Bench) -> None:
    """I8: the next tick comes in the new store, once, and in the old one none; who paused one, and why, goes
    with it. What stands in the new store already stays as it is there."""
    entries = [
        Periodic(name, "m", Schedule(every=60_000), NewJob(b"", "m:f", b"\x01{}")) for name in "abc"
    ]
    here, there = bench.store.periodics, bench.other()
    here.declare(bench.worker, Declaration(("m",), entries), NOW)
    for row in here.due(10, NOW).rows:
        here.fire([fire(row, NOW)], NOW)
    here.pause("b", "me", "why", NOW)
    leave(bench)
    there.periodics.adopt(
        [replace(one, next_at=NOW + 5, look_at=NOW + 5) for one in here.all() if one.name == "c"]
    )
    before = {one.name: one for one in here.all()}
    for _ in range(2):
        copy(bench.store, there, lambda *_: None)
        after = {one.name: one for one in there.periodics.all()}
        assert [after[name].next_at for name in "abc"] == [
            before["a"].next_at, before["b"].next_at, NOW + 5,
        ]  # fmt: skip
        assert [one.paused_by for one in after.values()] == [None, "me", None]
        assert after["b"].paused_why == "why"
        assert [one.paused_by for one in here.all()] == [BY, "me", BY]
    tick = before["a"].next_at or 0
    assert here.due(10, tick).rows == []
    assert [row.name for row in there.periodics.due(10, tick).rows] == ["c", "a"]


def test_what_came_since_follows_and_what_ran_is_not_brought_again(bench: Bench) -> None:
    """Even when the target has pruned it."""
    ids = [bench.put(lane="a") for _ in range(3)]
    leave(bench)
    target = bench.other()
    moved(bench, target)
    worker = target.register("host", 2, (), NOW).id
    for job_id in ids:
        (claimed,) = target.turn([], Demand(worker, {"thread": 1}), NOW).claimed
        assert (claimed.id, claimed.fence) == (job_id, 1)
        target.turn([outcome(claimed, "completed")], None, NOW)
        assert target.delete(job_id)
    late = bench.put(lane="a")
    report = moved(bench, target)
    assert (report.stored, report.present, report.disowned, report.left) == (1, 0, 1, 0)
    assert [one.job.id for one in everything(target)] == [late]
    assert [one.id for one in target.turn([], Demand(worker, {"thread": 9}), NOW).claimed] == [late]


@dataclass
class Meanwhile:
    """Does something once, when the first page of a step is through."""

    step: str
    act: object
    done: list[bool] = field(default_factory=list)

    def __call__(self, doing: str, done: int) -> None:
        if doing == self.step and not self.done:
            self.done.append(True)
            self.act()  # type: ignore[operator]


def test_nothing_starts_in_either_store_meanwhile(bench: Bench) -> None:
    bench.put(lane="a")
    leave(bench)
    target = bench.other()
    started = list[object]()

    def work() -> None:
        for store in (bench.store, target):
            worker = store.register("host", 3, (), NOW).id
            started.extend(store.turn([], Demand(worker, {"thread": 9}), NOW).claimed)
            store.retire(worker)

    assert moved(bench, target, Meanwhile("copying", work)).disowned == 1
    assert started == []


@pytest.mark.parametrize("step", ["copying", "checking"])
def test_jobs_that_come_meanwhile_are_moved_or_told(bench: Bench, step: str) -> None:
    """In a queue that was not there, and with an id that sorts before the others: from elsewhere."""
    first = new_id()
    bench.put(lane="a")
    leave(bench)
    target = bench.other()
    report = moved(
        bench, target, Meanwhile(step, lambda: (bench.put(id=first, lane="b"), bench.put(lane="a")))
    )
    told = {"copying": (3, 3, 0), "checking": (2, 2, 1)}[step]
    assert (report.stored, report.disowned, report.left) == told
    assert moved(bench, target).left == 0
    assert len(everything(target)) == 3


def test_a_job_claimed_before_its_new_queue_was_closed_stops_the_move(bench: Bench) -> None:
    bench.put(lane="a")
    leave(bench)
    target = bench.other()

    def work() -> None:
        bench.put(lane="b")
        bench.worker = bench.store.register("host", 3, (), NOW).id
        assert len(bench.claim(lanes=("b",))) == 1

    with pytest.raises(StoreRefused, match="has begun to work"):
        moved(bench, target, Meanwhile("copying", work))
    assert len(everything(target)) == 1
    bench.store.retire(bench.worker)
    assert moved(bench, target).disowned == 2


class Racing:
    """A store where a worker is faster by a hair: it claims of the queue just before that is closed."""

    def __init__(self, bench: Bench, lane: str) -> None:
        self._bench, self._lane = bench, lane

    def __getattr__(self, name: str) -> object:
        return getattr(self._bench.store, name)

    def pause(self, queue: str, by: str, why: str, now: int | None = None) -> None:
        if queue == self._lane and why.startswith("moving"):
            self._bench.worker = self._bench.store.register("host", 3, (), NOW).id
            assert len(self._bench.claim(lanes=(queue,))) == 1
        self._bench.store.pause(queue, by, why, now)


def test_a_job_claimed_while_its_new_queue_was_closed_stops_the_move(bench: Bench) -> None:
    """It had been read as one that waits."""
    bench.put(lane="a")
    leave(bench)
    target = bench.other()
    comes = Meanwhile("copying", lambda: bench.put(lane="b"))
    with pytest.raises(StoreRefused, match="has begun to work"):
        copy(Racing(bench, "b"), target, comes)  # type: ignore[arg-type]
    assert len(everything(target)) == 1
    leave(bench)
    assert moved(bench, target).disowned == 2


def test_a_living_worker_refuses_the_move(bench: Bench) -> None:
    fill(bench)
    before, target = everything(bench.store), bench.other()
    with pytest.raises(StoreRefused, match="living workers"):
        moved(bench, target)
    assert everything(bench.store) == before
    assert everything(target) == []
    assert not any(row.paused_at for row in bench.store.queues())


@pytest.mark.parametrize("paused", [True, False])
def test_a_store_is_not_moved_to_itself(bench: Bench, paused: bool) -> None:
    fill(bench)
    leave(bench)
    if paused:
        for row in bench.store.queues():
            bench.store.pause(row.name, "me", "why", NOW)
    before, switches = everything(bench.store), bench.store.queues()
    with pytest.raises(StoreRefused, match="one store"):
        moved(bench, bench.open())
    assert (everything(bench.store), bench.store.queues()) == (before, switches)


def test_other_jobs_of_the_same_ids_stay_as_they_are_in_both(bench: Bench) -> None:
    job_id, fine = bench.put(args=b"\x01[1]"), bench.put()
    leave(bench)
    target = bench.other()
    target.insert([new(id=job_id, args=b"\x01[2]")], NOW)
    report = moved(bench, target)
    assert (report.conflicts, report.disowned, report.left) == ([job_id], 1, 1)
    assert bench.row(job_id).state is State.AVAILABLE
    assert bench.row(fine).state is State.CANCELLED
    (there,) = target.get([job_id])
    assert there is not None
    assert there.args == b"\x01[2]"


def test_a_store_that_was_moved_takes_none_back(bench: Bench) -> None:
    bench.put()
    leave(bench)
    target = bench.other()
    moved(bench, target)
    with pytest.raises(StoreRefused, match="copy into a new store"):
        copy(target, bench.store, lambda doing, done: None)
    assert [row.state for row in target.page(JobFilter(), None, 9)] == [State.AVAILABLE]


@pytest.mark.parametrize(
    "damaged",
    [{"fence": 2**63 - 1}, {"attempt": 1, "max_attempts": 1}, {"crashes": 2**31 - 1}],
    ids=lambda given: next(iter(given)),
)
def test_a_job_that_could_never_be_claimed_is_not_taken_over(
    bench: Bench, damaged: dict[str, int]
) -> None:
    """It would fail each claim of its lane, and with it whatever its worker had to record."""
    bench.put(lane="a")
    (copied,) = everything(bench.store)
    with pytest.raises(BadValue, match=next(iter(damaged))):
        bench.store.copies.load([replace(copied, job=replace(copied.job, id=new_id(), **damaged))])
    assert len(bench.claim(lanes=("a",))) == 1


def test_an_attempt_that_no_store_can_have_had_is_refused(bench: Bench) -> None:
    """As a value: not by whatever breaks first on its way."""
    claimed = bench.running(lane="a", max_attempts=3)
    bench.record(outcome(claimed, "retry"))
    (copied,) = everything(bench.store)
    wrong = replace(copied.attempts[0], attempt=2**40)
    with pytest.raises(BadValue, match="attempt"):
        bench.store.copies.load([replace(copied, attempts=(wrong,))])
