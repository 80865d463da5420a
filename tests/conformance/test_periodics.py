"""What is enqueued by the clock: one job per tick (I8), whoever fires, and what stands when code changes."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from msgspec.structs import replace

from sidework.callbacks import Callback, encode_callbacks
from sidework.errors import BadValue, StoreRefused
from sidework.job import NewJob
from sidework.periodic import AFRESH_MS, FORGOTTEN_MS, MOST_MADE_UP, Declaration, Periodic, fire
from sidework.schedule import Schedule, schedule_of
from sidework.state import State
from sidework.store.protocol import Store
from sidework.worker import periodics as worker_periodics
from sidework.worker.periodics import Periodics

from .conftest import NOW, Bench, outcome

MINUTE, HOUR = 60_000, 3_600_000


def entry(name: str = "p", every: int = MINUTE, **given: Any) -> Periodic:
    given.setdefault("schedule", Schedule(every=every))
    return Periodic(**{"name": name, "app": "m", "job": NewJob(b"", "m:f", b"\x01{}"), **given})


def declare(bench: Bench, *entries: Periodic, worker: int | None = None) -> list[tuple[str, str]]:
    made = bench.store.periodics.declare(
        bench.worker if worker is None else worker, Declaration(("m",), entries), bench.now
    )
    return [(change.what, change.name) for change in made]


def turn(bench: Bench, now: int, store: Store | None = None) -> list[int]:
    """Look and fire until nothing is due; the ticks that got jobs."""
    periodics = (store or bench.store).periodics
    ticks = []
    while rows := (due := periodics.due(100, now)).rows:
        firings = [fire(row, due.moment) for row in rows]
        took = periodics.fire(firings, now)
        for firing, ours in zip(firings, took, strict=True):
            ticks += [job.due_at for job in firing.jobs if ours and job.due_at is not None]
    return ticks


def jobs(bench: Bench) -> list[int]:
    from sidework.job import JobFilter

    return sorted(row.due_at for row in bench.store.page(JobFilter(), None, 10_000))


def started(bench: Bench, *entries: Periodic) -> int:
    """Declared and looked at; the first tick."""
    declare(bench, *entries)
    assert turn(bench, bench.now) == []
    first = bench.store.periodics.all()[0].next_at
    assert first is not None
    assert bench.now < first <= bench.now + HOUR
    return first


def test_a_tick_is_one_job_at_its_time(bench: Bench) -> None:
    """I8."""
    first = started(bench, entry())
    assert turn(bench, first - 1) == []
    assert bench.store.periodics.due(10, first - 1).due_in == 1
    assert turn(bench, first) == [first]
    assert turn(bench, first) == []
    (row,) = bench.store.periodics.all()
    assert (row.last_at, row.next_at, row.last_job) == (
        first,
        first + MINUTE,
        entry().job_of(first).id,
    )
    (job,) = bench.store.get([entry().job_of(first).id])
    assert job is not None
    assert (job.task, job.state, job.due_at) == ("m:f", State.AVAILABLE, first)


def test_a_ticks_job_calls_back(bench: Bench) -> None:
    """Its callbacks are enqueued at its end, as of any job."""
    told = Callback("final", "it", "m:told", "calls", "thread", 0, 0, 1, None, None, "rescue")
    job = NewJob(b"", "m:f", b"\x01{}", callbacks=encode_callbacks([told]))
    bench.now = started(bench, entry(job=job))
    turn(bench, bench.now)
    bench.record(*(outcome(one, "completed") for one in bench.claim()))
    assert [one.task for one in bench.claim(lanes=("calls",))] == ["m:told"]


def test_one_that_cannot_be_fired_keeps_no_other_from_its_time(
    bench: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    """It is of newer code, or of a zone that this machine does not know."""
    first = started(bench, entry("good"))
    cron = replace(schedule_of("* * * * *", None, "Europe/Berlin", None, None), tz="Mars/Base")
    declare(bench, entry("good"), entry("bad", schedule=cron))
    mine = Declaration(("m",), (entry("good"), entry("bad", schedule=cron)))
    periodics = Periodics(lambda: bench.worker, mine)
    periodics.tick(bench.store, first)
    assert jobs(bench) == [first]
    assert periodics.tick(bench.store, first) > 0, "it is not looked at without end"
    assert [one.getMessage()[:30] for one in caplog.records] == ["periodic bad cannot be fired b"]


def test_many_that_cannot_be_fired_keep_no_other_from_its_time(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As many as are looked at together, and longer due: they are looked past."""
    monkeypatch.setattr(worker_periodics, "DUE_LIMIT", 2)
    first = started(bench, entry("good"))
    cron = replace(schedule_of("* * * * *", None, "Europe/Berlin", None, None), tz="Mars/Base")
    bad = [entry(f"bad{n}", schedule=cron) for n in range(4)]
    declare(bench, entry("good"), *bad)
    unfit: list[str] = []
    due = worker_periodics.fire_due(bench.store, first, lambda row, _: unfit.append(row.name))
    assert [row.name for row in due.rows] == ["good"]
    assert jobs(bench) == [first]
    assert unfit == [one.name for one in bad]
    due = worker_periodics.fire_due(bench.store, first, lambda *_: None)
    assert (due.rows, due.due_in) == ([], None), "it is not looked at without end"


def test_of_many_who_fire_one_does(bench: Bench) -> None:
    """I8: all have looked before the first one fires."""
    first = started(bench, *(entry(f"p{n}") for n in range(20)))
    stores = [bench.open() for _ in range(5)]
    seen = [[fire(row, first) for row in store.periodics.due(100, first).rows] for store in stores]
    with ThreadPoolExecutor(5) as pool:
        took = list(
            pool.map(
                lambda both: both[0].periodics.fire(both[1], first), zip(stores, seen, strict=True)
            )
        )
    assert [sum(one) for one in zip(*took, strict=True)] == [1] * 20
    assert jobs(bench) == [first] * 20


def test_a_tick_that_comes_again_has_its_job(bench: Bench) -> None:
    """I8: also when the clock is put back, and the ticks of the old one are forgotten."""
    first = started(bench, entry())
    turn(bench, first)
    turn(bench, first + HOUR)
    bench.now = first - MINUTE // 2
    assert declare(bench, entry()) == [("clock", "p")]
    turn(bench, bench.now)
    turn(bench, first)
    late = [first + HOUR] * 3  # made up for, the first of them: due at once
    assert jobs(bench) == [first, *late]
    assert turn(bench, first + MINUTE) == [first + MINUTE]
    assert jobs(bench) == [first, first + MINUTE, *late]


@pytest.mark.parametrize(
    ("misfire", "ticks"), [("skip", [180]), ("once", [120, 180]), ("all", [0, 60, 120, 180])]
)
def test_ticks_that_nobody_fired(bench: Bench, misfire: Any, ticks: list[int]) -> None:
    first = started(bench, entry(misfire=misfire))
    turn(bench, first + 3 * MINUTE + 30_000)
    assert jobs(bench) == [
        first + 3 * MINUTE + 30_000 for second in ticks
    ]  # made up for: due at once
    made = [entry().job_of(first + second * 1000).id for second in ticks]
    assert None not in bench.store.get(made)
    assert turn(bench, first + 4 * MINUTE) == [first + 4 * MINUTE]


@pytest.mark.parametrize("misfire", ["skip", "once", "all"])
def test_a_short_stall_loses_no_tick(bench: Bench, misfire: Any) -> None:
    """Up to a minute late is no misfire."""
    first = started(bench, entry(every=1000, misfire=misfire))
    assert turn(bench, first + 3100) == [first + late for late in (0, 1000, 2000, 3000)]
    assert turn(bench, first + 63_000) == [first + late for late in range(4000, 63_001, 1000)]
    late = turn(bench, first + HOUR)
    missed = {"skip": 0, "once": 1, "all": MOST_MADE_UP - 61}[misfire]
    assert late == [first + HOUR - n * 1000 for n in reversed(range(61 + missed))]


def test_a_tick_too_late_for_skip_is_none(bench: Bench) -> None:
    first = started(bench, entry(every=HOUR, misfire="skip"))
    assert turn(bench, first + 2 * MINUTE) == []
    assert turn(bench, first + HOUR + MINUTE) == [first + HOUR]


def test_what_is_made_up_for_has_an_end(bench: Bench) -> None:
    first = started(bench, entry(misfire="all"))
    late = first + 365 * 24 * HOUR
    made = turn(bench, late)
    assert len(made) == MOST_MADE_UP
    assert (made[0], made[-1]) == (late - (MOST_MADE_UP - 1) * MINUTE, late)


def test_while_the_job_before_is_live_a_tick_is_left_out(bench: Bench) -> None:
    first = started(bench, entry(overlap="skip"))
    assert turn(bench, first) == [first]
    assert turn(bench, first + MINUTE) == []
    bench.now = first + MINUTE
    (job,) = bench.claim()
    assert turn(bench, first + 2 * MINUTE) == []
    bench.record(outcome(job, "completed"))
    assert turn(bench, first + 3 * MINUTE) == [first + 3 * MINUTE]


@pytest.mark.parametrize("misfire", ["skip", "once", "all"])
def test_while_the_job_before_is_live_ticks_wait(bench: Bench, misfire: Any) -> None:
    first = started(bench, entry(overlap="queue", misfire=misfire))
    turn(bench, first)
    for late in (1, 2):
        assert turn(bench, first + late * MINUTE) == []
    wanted = [first + MINUTE, first + 2 * MINUTE] if misfire == "all" else [first + 2 * MINUTE]
    bench.now = first + 2 * MINUTE + 2000
    for tick in wanted:
        (job,) = bench.claim()
        bench.record(outcome(job, "completed"))
        bench.now += 2000
        assert turn(bench, bench.now) == [tick]
    (job,) = bench.claim()
    bench.record(outcome(job, "completed"))
    assert turn(bench, first + 3 * MINUTE) == [first + 3 * MINUTE]


def test_a_job_may_come_a_little_after_its_tick(bench: Bench) -> None:
    made = entry(jitter=MINUTE)
    first = started(bench, made)
    ((due),) = turn(bench, first)
    assert first <= due <= first + MINUTE
    assert made.job_of(first).due_at == due
    assert len({made.job_of(first + n * MINUTE).due_at - n * MINUTE for n in range(20)}) > 10  # type: ignore[operator]


def test_before_its_start_and_after_its_end_nothing_comes(bench: Bench) -> None:
    start = NOW + 10 * MINUTE
    made = entry(schedule=Schedule(every=MINUTE, start=start, end=start + MINUTE))
    declare(bench, made)
    turn(bench, NOW)
    assert turn(bench, start - 1) == []
    assert turn(bench, start) == [start]
    assert turn(bench, start + HOUR) == [start + MINUTE]
    (row,) = bench.store.periodics.all()
    assert (row.state, row.next_at, row.next()) == ("ended", None, None)
    assert bench.store.periodics.due(10, start + HOUR).due_in is None


def test_a_pause_stays_and_is_not_made_up_for(bench: Bench) -> None:
    first = started(bench, entry(misfire="all"))
    assert bench.store.periodics.pause("p", "ann", "audit", bench.now)
    assert not bench.store.periodics.pause("q", "ann", "audit", bench.now)
    assert turn(bench, first + HOUR) == []
    assert declare(bench, entry(misfire="all")) == []
    row = bench.store.periodics.get("p")
    assert row is not None
    assert (row.state, row.paused_by, row.paused_why) == ("paused", "ann", "audit")
    assert bench.store.periodics.resume("p", first + HOUR)
    assert not bench.store.periodics.resume("p", first + HOUR)
    assert turn(bench, first + HOUR) == []
    assert turn(bench, first + HOUR + MINUTE) == [first + HOUR + MINUTE]
    assert bench.store.periodics.get("q") is None


def test_one_that_is_seen_before_it_is_paused_does_not_fire(bench: Bench) -> None:
    first = started(bench, entry())
    (seen,) = bench.store.periodics.due(10, first).rows
    bench.store.periodics.pause("p", "ann", "", first)
    assert bench.store.periodics.fire([fire(seen, first)], first) == [False]
    assert jobs(bench) == []


def test_a_new_schedule_counts_from_now_and_new_arguments_from_the_next_tick(bench: Bench) -> None:
    first = started(bench, entry(every=HOUR))
    other = NewJob(b"", "m:f", b'\x01{"n":1}')
    assert declare(bench, entry(every=HOUR, job=other)) == [("changed", "p")]
    (row,) = bench.store.periodics.all()
    assert row.next_at == first
    assert declare(bench, entry(every=HOUR, job=other)) == []
    assert declare(bench, entry(every=2 * HOUR)) == [("changed", "p")]
    assert turn(bench, bench.now) == []
    (row,) = bench.store.periodics.all()
    assert row.next_at == (NOW // (2 * HOUR) + 1) * 2 * HOUR


def test_while_old_code_lives_nothing_goes_back_and_forth(bench: Bench) -> None:
    """Version 2 changes p, drops q and brings r, while a worker of version 1 lives."""
    one = (entry("p", MINUTE), entry("q", MINUTE))
    two = (entry("p", HOUR), entry("r", MINUTE))
    second = bench.store.register("host", 2, (), bench.now).id
    assert declare(bench, *one) == [("new", "p"), ("new", "q")]
    assert declare(bench, *two, worker=second) == [("new", "r"), ("waits", "p")]
    for _ in range(2):
        assert declare(bench, *one) == []
        assert declare(bench, *two, worker=second) == [("waits", "p")]
    bench.store.retire(bench.worker, bench.now)
    assert declare(bench, *two, worker=second) == [("changed", "p"), ("retired", "q")]
    assert declare(bench, *two, worker=second) == []
    assert {row.name: row.state for row in bench.store.periodics.all()} == {
        "p": "active", "q": "retired", "r": "active",
    }  # fmt: skip


def test_another_apps_periodics_are_left_alone(bench: Bench) -> None:
    theirs = bench.store.register("host", 2, (), bench.now).id
    bench.store.periodics.declare(theirs, Declaration(("n",), (entry("n", app="n"),)), bench.now)
    bench.store.retire(theirs, bench.now)
    assert declare(bench, entry("p")) == [("new", "p")]
    assert declare(bench) == [("retired", "p")]
    assert [row.state for row in bench.store.periodics.all()] == ["active", "retired"]


def test_one_that_was_only_missed_for_a_while_goes_on(bench: Bench) -> None:
    first = started(bench, entry(misfire="all"))
    declare(bench)
    assert turn(bench, first + MINUTE) == []
    bench.now = first + MINUTE
    assert declare(bench, entry(misfire="all")) == [("again", "p")]
    assert turn(bench, bench.now) == [first, first + MINUTE]
    declare(bench)
    bench.now += AFRESH_MS
    assert declare(bench, entry(misfire="all")) == [("again", "p")]
    assert turn(bench, bench.now) == []


def test_one_that_was_retired_for_long_is_forgotten(bench: Bench) -> None:
    declare(bench, entry("p"), entry("q"))
    declare(bench, entry("q"))
    assert bench.store.periodics.forget(bench.now + FORGOTTEN_MS) == 0
    assert bench.store.periodics.forget(bench.now + FORGOTTEN_MS + 1) == 1
    assert [row.name for row in bench.store.periodics.all()] == ["q"]


def test_a_worker_that_is_not_known_declares_nothing(bench: Bench) -> None:
    bench.store.retire(bench.worker, bench.now)
    assert declare(bench, entry()) == []
    assert bench.store.periodics.all() == []


def test_many_are_declared_and_fired_in_steps(bench: Bench) -> None:
    made = [entry(f"p{n:04}") for n in range(1200)]
    first = started(bench, *made)
    assert turn(bench, first) == [first] * 1200
    assert declare(bench) == [("retired", one.name) for one in made]


def test_what_stood_elsewhere_is_taken_over_once(bench: Bench) -> None:
    first = started(bench, entry(), entry("q"))
    bench.store.periodics.pause("q", "ann", "audit", bench.now)
    rows = bench.store.periodics.all()
    other = bench.other()
    assert other.periodics.adopt(rows) == 2
    assert other.periodics.adopt(rows) == 0
    assert other.periodics.all() == rows
    assert turn(bench, first, other) == [first]


BAD: dict[str, Callable[[Store, int], Any]] = {
    "a name with NUL": lambda store, me: store.periodics.declare(
        me, Declaration(("m",), (entry("p\0"),)), NOW
    ),
    "an app with NUL": lambda store, me: store.periodics.declare(me, Declaration(("m\0",)), NOW),
    "a job that no store takes": lambda store, me: store.periodics.declare(
        me, Declaration(("m",), (entry(job=NewJob(b"", "m\0", b"")),)), NOW
    ),
    "a name too long": lambda store, me: store.periodics.pause("p" * 501, "", "", NOW),
    "a limit below 0": lambda store, me: store.periodics.due(-1, NOW),
}


@pytest.mark.parametrize("call", BAD.values(), ids=BAD)
def test_what_no_store_takes(bench: Bench, call: Callable[[Store, int], Any]) -> None:
    with pytest.raises(BadValue):
        call(bench.store, bench.worker)


def test_a_thread_in_a_transaction_is_refused(bench: Bench) -> None:
    first = started(bench, entry())
    (seen,) = bench.store.periodics.due(10, first).rows
    with bench.store.transaction():
        for call in (
            lambda: declare(bench, entry()),
            lambda: bench.store.periodics.fire([fire(seen, first)], first),
            lambda: bench.store.periodics.pause("p", "", "", first),
            lambda: bench.store.periodics.resume("p", first),
            lambda: bench.store.periodics.adopt([replace(seen, name="x")]),
        ):
            with pytest.raises(StoreRefused):
                call()
