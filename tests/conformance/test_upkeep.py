"""Queues, chores, bells and what an operator does; and that no verb is without a case."""

from __future__ import annotations

import inspect
import math
import select
import threading
from pathlib import Path

import pytest

from conftest import until
from sidework.clock import monotonic
from sidework.errors import StoreRefused, StoreUnavailable
from sidework.job import JobFilter
from sidework.periodic import Declaration
from sidework.state import State
from sidework.store import protocol
from sidework.store.opening import open_store
from sidework.store.protocol import RETENTION, STOP_SECONDS, Demand
from sidework.worker.chores import Chores
from sidework.worker.periodics import Periodics

from .conftest import NOW, Bench, new, outcome

DAY = 24 * 3_600_000


def test_queues_count_by_state(bench: Bench) -> None:
    bench.running(lane="b")
    bench.put(lane="a")
    bench.put(lane="a", delay=5)
    bench.store.pause("c", "me", "why", NOW)
    a, b, c = bench.store.queues()
    assert (a.name, a.counts) == ("a", {"available": 1, "scheduled": 1})
    assert (b.name, b.counts) == ("b", {"running": 1})
    assert (c.name, c.paused_at, c.paused_by, c.paused_why) == ("c", NOW, "me", "why")


def test_a_queues_switch_is_told_without_counting(bench: Bench) -> None:
    assert bench.store.switch("a").paused_at is None
    bench.store.pause("a", "me", "why", NOW)
    row = bench.store.switch("a")
    assert (row.name, row.paused_at, row.paused_by, row.paused_why) == ("a", NOW, "me", "why")
    bench.store.resume("a")
    assert bench.store.switch("a").paused_at is None


def test_a_turn_at_a_chore_is_given_once(bench: Bench) -> None:
    others = [bench.open() for _ in range(3)]
    every = {"prune": 100}
    assert [store.take_turns(every, NOW) for store in (bench.store, *others)].count({"prune"}) == 1
    assert bench.store.take_turns(every, NOW + 99) == set()
    assert bench.store.take_turns({**every, "other": 100, "more": 50}, NOW + 99) == {
        "other",
        "more",
    }
    assert others[0].take_turns({"more": 50, **every}, NOW + 100) == {"prune"}
    # The clock was put back: the turn does not wait until the old time comes again.
    assert others[0].take_turns(every, NOW - 3_600_000) == {"prune"}
    assert others[0].take_turns(every, NOW - 3_600_000) == set()


def test_a_chore_that_fails_takes_from_no_other(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever is wrong with one of them, the others have their turns."""
    bench.store.cancel(bench.put(), "", NOW)
    periodics = Periodics(lambda: bench.worker, Declaration())
    chores = Chores(lambda: bench.store, RETENTION, periodics)

    def broken(*_: object) -> int:
        raise StoreRefused("it is broken")

    monkeypatch.setattr(bench.store.flows, "reconcile", broken)
    later = NOW + 31 * DAY
    with pytest.raises(StoreRefused):
        chores.tick(bench.store, later)
    assert len(bench.store.page(JobFilter(), None, 2)) == 1
    chores.tick(bench.store, later)  # what is broken has used its turn up
    assert bench.store.page(JobFilter(), None, 2) == []


def test_promote_is_bounded_and_in_order(bench: Bench) -> None:
    ids = [bench.put(delay=10 - n) for n in range(5)]
    assert bench.store.promote(2, NOW + 100) == 2
    assert [bench.row(job).state is State.AVAILABLE for job in ids] == [False] * 3 + [True] * 2
    assert bench.store.promote(9, NOW + 100) == 3
    assert bench.store.promote(9, NOW + 100) == 0


def test_expire_is_bounded(bench: Bench) -> None:
    for _ in range(3):
        bench.put(expires_in=5)
    assert bench.store.expire(2, NOW + 5) == 2
    assert bench.store.expire(2, NOW + 5) == 1


@pytest.mark.parametrize(
    ("kind", "state"),
    [("completed", "completed"), ("discarded", "discarded"), ("cancelled", "cancelled")],
)
def test_prune_by_age(bench: Bench, kind: str, state: str) -> None:
    job = bench.running()
    bench.record(outcome(job, kind))
    age = RETENTION[f"{state}_age"]
    live = bench.put()
    assert bench.store.prune(RETENTION, 100, NOW + age - 1) == 0
    assert bench.store.prune(RETENTION, 100, NOW + age) == 1
    assert bench.store.get([job.id]) == [None]
    assert bench.store.attempts(job.id) == []
    assert bench.row(live).state is State.AVAILABLE


def test_prune_by_count_keeps_the_newest(bench: Bench) -> None:
    ids = []
    for late in range(10):
        bench.now = NOW + late
        job = bench.running()
        bench.record(outcome(job, "completed"))
        ids.append(job.id)
    kept = {**RETENTION, "completed_count": 4}
    assert bench.store.prune(kept, 2, bench.now) == 2
    assert bench.store.prune(kept, 100, bench.now) == 4
    assert [row is not None for row in bench.store.get(ids)] == [False] * 6 + [True] * 4


def test_bells_ring_across_connections(bench: Bench) -> None:
    """I10: a hint that comes; that all goes on without it is shown end to end."""
    other = bench.open()
    work, done = other.listen("work"), other.listen("done")
    try:
        job_id = bench.put()
        assert select.select([work.fileno()], [], [], 5)[0]
        until(work.read, "the bell")
        (job,) = bench.claim()
        bench.record(outcome(job, "completed"))
        assert select.select([done.fileno()], [], [], 5)[0]
        until(lambda: job_id in done.read(), "the job's own bell")
        bench.store.ring_done([])
        bench.store.ring_work()
        until(lambda: b"" in work.read(), "a bell for work")
    finally:
        work.close()
        done.close()


def test_the_version_tells_of_every_change(bench: Bench) -> None:
    """I10: the safety net, for what others do and for what is done by this very store."""
    for store in (bench.open(), bench.store):
        # A server counts what its other databases do, too.
        until(lambda store=store: store.version() == store.version(), "a moment of rest")
        before = store.version()
        bench.put()
        assert store.version() != before
    bench.claim()

    def quiet() -> bool:
        before = bench.store.version()
        assert bench.claim() == []
        return bench.store.version() == before

    # Or an idle worker would wake itself for ever.
    until(quiet, "a claim of nothing that changes nothing")
    before = bench.store.version()
    assert 0 < bench.store.pace() < 2
    bench.store.close()
    bench.open().insert([new()], NOW)
    assert bench.store.version() != before


def test_who_is_in_a_hurry_waits_for_all_locks_together_no_longer(bench: Bench) -> None:
    """Someone else's transaction stands in the way of one and the same id."""
    job, store = new(), bench.open()
    store.hurry(0.2)
    with bench.engine.transaction() as connection:
        bench.store.insert_on(connection, [job], NOW)
        began = monotonic()
        for _ in range(3):
            with pytest.raises(StoreUnavailable):
                store.insert([job], NOW)
        assert monotonic() - began < 5
    assert [one.verdict for one in store.insert([job], NOW)] == ["present"]


def test_info_and_check(bench: Bench) -> None:
    bench.put()
    assert bench.store.info()["jobs"] == {"available": 1}
    assert bench.store.info()["workers"] == 1
    bench.store.checkpoint()
    assert bench.store.check() == []


def test_what_is_migrated_has_nothing_to_do(bench: Bench) -> None:
    assert bench.store.migrate() == []
    told = bench.store.script()
    assert told.startswith("-- ")
    assert told.endswith(": there is nothing to do\n")
    assert told.count("\n") == 1
    assert bench.store.check() == []


def test_findings_say_what_to_do_about_each_problem(bench: Bench) -> None:
    found = {one.what: one for one in bench.store.findings()}
    assert found["schema"].advice == ""
    assert all(one.advice for one in found.values() if one.problem)
    # The tests' own server does not wait for its disk, and is told so.
    assert {one.what for one in found.values() if one.problem} <= {"fsync", "full_page_writes"}


def test_a_backup_is_whole_while_others_write(bench: Bench, tmp_path: Path) -> None:
    """Batches of ten go in at once: a copy has each batch whole, or not at all."""
    if not bench.engine.own_files:
        with pytest.raises(StoreRefused, match="pg_dump"):
            bench.store.backup(str(tmp_path / "copy.db"))
        return  # a server has tools of its own for this
    stop = threading.Event()
    other = bench.open()

    def write() -> None:
        while not stop.is_set():
            other.insert([new() for _ in range(10)], NOW)

    writer = threading.Thread(target=write)
    writer.start()
    try:
        for turn in range(3):
            bench.store.backup(str(tmp_path / f"copy-{turn}.db"))
    finally:
        stop.set()
        writer.join()
    for turn in range(3):
        copy = open_store(f"sqlite:///{tmp_path}/copy-{turn}.db", create=False)
        assert copy.check() == []
        assert copy.info()["jobs"].get("available", 0) % 10 == 0
        copy.close()
    with pytest.raises(StoreRefused, match="exists"):
        bench.store.backup(str(tmp_path / "copy-0.db"))


def test_vacuum_gives_back_and_loses_nothing(bench: Bench) -> None:
    bench.store.insert([new(args=b"\x01" + b"1" * 2000) for _ in range(2000)], NOW)
    kept = bench.put()
    while jobs := [job for job in bench.claim(500) if job.id != kept]:
        bench.record(*(outcome(job, "completed") for job in jobs))
    while bench.store.prune({**RETENTION, "completed_age": 0}, 500, NOW + 1):
        pass
    bench.store.checkpoint()
    before = bench.store.info()["file_bytes"]
    if bench.engine.own_files:
        bench.store.vacuum()
        assert bench.store.info()["file_bytes"] < before / 2
    else:  # it keeps the room and uses it again, and leaves the tidying to itself or the owner
        with pytest.raises(StoreRefused, match="belong to another role"):
            bench.store.vacuum()
    assert bench.row(kept).id == kept


def test_a_worker_that_retires_leaves_nothing_behind(bench: Bench) -> None:
    """I5, I7."""
    worker = bench.store.register("host", 7, ("mail",), NOW)
    assert worker.queues == ("mail",)
    job_id = bench.put()
    bench.store.turn([], Demand(worker.id, {"thread": 1}), NOW)
    bench.store.retire(worker.id)
    assert bench.row(job_id).state is State.AVAILABLE
    assert [row.id for row in bench.store.workers()] == [bench.worker]


def test_a_worker_is_trusted_while_it_is_known(bench: Bench) -> None:
    """I7: nobody brings back the jobs of one that has just been heard of."""
    assert bench.store.trust(bench.worker) > STOP_SECONDS
    bench.store.retire(bench.worker)
    trust = bench.store.trust(bench.worker)
    assert trust == math.inf or trust <= 0  # for ever only where deaths are seen without a clock


def test_closing_and_going_on(bench: Bench) -> None:
    bell = bench.open().listen("work")
    job_id = bench.put()
    bench.store.close()
    assert bench.row(job_id).id == job_id
    bell.read()
    bench.put()
    until(bell.read, "the bell")
    bell.close()


def test_every_verb_has_a_case() -> None:
    nouns = ("Jobs", "Claims", "Workers", "Queues", "Chores", "Bells", "Upkeep", "Store")
    verbs = {
        name
        for noun in nouns
        for name, value in vars(getattr(protocol, noun)).items()
        if inspect.isfunction(value) and not name.startswith("_")
    }
    text = "".join(path.read_text() for path in Path(__file__).parent.glob("*.py"))
    assert {verb for verb in verbs if f".{verb}(" not in text} == set()
    assert len(verbs) >= 25
