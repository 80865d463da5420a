"""Unique jobs: one job holds a key, and lets it go for good (promise I9)."""

from __future__ import annotations

import threading
from typing import Any

import pytest
from msgspec.structs import replace

from sidework.ids import new_id
from sidework.job import Inserted
from sidework.state import State
from sidework.store.protocol import Demand

from .conftest import NOW, Bench, new, outcome

KEY = "m:f {'a': 1}"


def holder(bench: Bench, key: str = KEY, **given: Any) -> bytes:
    return bench.put(unique_key=key, unique_until="final", **given)


def free(bench: Bench, key: str = KEY) -> bool:
    """Whether another job may hold the key; it does so no longer."""
    job = new(unique_key=key, unique_until="final", delay=10**9)
    (told,) = bench.store.insert([job], bench.now)
    if told.verdict == "stored":
        assert bench.store.cancel(job.id, "away", bench.now) == "cancelled"
    return told.verdict == "stored"


def test_the_second_of_a_key_is_the_first(bench: Bench) -> None:
    """I9: also with other arguments; and the same job again is that job (I12)."""
    first = new(unique_key=KEY, unique_until="final")
    assert bench.store.insert([first], NOW) == [Inserted(first.id, "stored")]
    second = new(unique_key=KEY, unique_until="final", args=b"\x01[1]")
    assert bench.store.insert([second], NOW) == [Inserted(first.id, "unique")]
    assert bench.store.insert([first], NOW) == [Inserted(first.id, "present")]
    assert bench.store.get([second.id]) == [None]
    other = new(id=first.id, unique_key="another", args=b"\x01[2]")
    assert bench.store.insert([other], NOW) == [Inserted(first.id, "conflict")]


@pytest.mark.parametrize("count", [3, 99, 501])
def test_among_many_each_key_is_held_once(bench: Bench, count: int) -> None:
    """I9: by any way that the engine has for many, and among the many themselves."""
    held = holder(bench, "k1")
    jobs = [new(unique_key=f"k{n % 3}", unique_until="final") for n in range(count)]
    plain = [new() for _ in range(5)]
    told = bench.store.insert([*jobs, *plain], NOW)
    firsts = [jobs[0].id, held, jobs[2].id]
    assert [one.id for one in told] == [
        *(firsts[n % 3] for n in range(count)),
        *(p.id for p in plain),
    ]
    assert [one.verdict for one in told].count("stored") == 2 + len(plain)
    assert [one.verdict for one in told].count("unique") == count - 2


def test_many_at_once_store_one(bench: Bench) -> None:
    """I9: from threads of one store, and of two."""
    stores, told = [bench.store, bench.open()], list[Inserted]()

    def insert(number: int) -> None:
        for turn in range(10):
            jobs = [new(unique_key=f"{turn}", unique_until="final") for _ in range(1 + number % 2)]
            told.extend(stores[number % 2].insert(jobs, NOW))

    threads = [threading.Thread(target=insert, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(one.verdict == "stored" for one in told) == len({one.id for one in told}) == 10


def test_in_a_transaction_of_the_caller(bench: Bench) -> None:
    """I2, I9: it counts when the caller commits, and within it at once."""
    job = new(unique_key=KEY, unique_until="final")
    with pytest.raises(ZeroDivisionError), bench.engine.transaction() as connection:
        assert bench.store.insert_on(connection, [job], NOW) == [Inserted(job.id, "stored")]
        again = new(unique_key=KEY, unique_until="final")
        assert bench.store.insert_on(connection, [again], NOW) == [Inserted(job.id, "unique")]
        _ = 1 / 0
    first = holder(bench)
    with bench.engine.transaction() as connection:
        told = bench.store.insert_on(connection, [new(), job], NOW)
        assert told[1] == Inserted(first, "unique")
    with bench.engine.autocommit() as connection:
        assert bench.store.insert_on(connection, [job], NOW) == [Inserted(first, "unique")]


@pytest.mark.parametrize(
    "kind", ["completed", "discarded", "cancelled", "retry", "snoozed", "released"]
)
def test_the_key_is_held_until_the_end(bench: Bench, kind: str) -> None:
    held = holder(bench)
    (job,) = bench.claim()
    assert not free(bench)
    bench.record(outcome(job, kind, delay=5))
    ends = kind in ("completed", "discarded", "cancelled", "retry")  # its only attempt
    assert (bench.row(held).finished_at is not None) is ends
    assert free(bench) is ends
    assert (bench.row(held).unique_key is None) is ends


def test_other_ends_let_it_go(bench: Bench) -> None:
    """Cancelled, expired, given up to another store, lost with its worker, ended by its own transaction."""
    assert bench.store.cancel(holder(bench, "a"), "no", NOW) == "cancelled"
    holder(bench, "b", expires_in=5)
    assert bench.store.expire(9, NOW + 5) == 1
    moved = holder(bench, "c")
    (copied,) = [one for one in bench.store.copies.dump(None, 9) if one.job.id == moved]
    assert bench.store.copies.disown([copied], "moved to x", NOW) == [True]
    lost, asked = holder(bench, "d", on_crash="discard"), holder(bench, "e")
    rescued, own = holder(bench, "f"), holder(bench, "g")
    taken = {job.id: job for job in bench.claim()}
    assert set(taken) == {lost, asked, rescued, own}
    assert bench.store.cancel(asked, "no", NOW) == "running"
    with bench.engine.transaction() as connection:
        assert bench.store.finish_on(connection, outcome(taken[own], "completed"), NOW)
    bench.store.retire(bench.worker, NOW)
    assert [free(bench, key) for key in "abcdefg"] == [True] * 5 + [False, True]


def test_until_started_it_is_free_from_the_claim_on(bench: Bench) -> None:
    """I9: and is never taken again, whatever becomes of the job."""
    first = bench.put(unique_key=KEY, unique_until="started", max_attempts=5)
    assert not free(bench)
    (job,) = bench.claim()
    assert free(bench)
    second = bench.put(unique_key=KEY, unique_until="started", delay=10**6)
    bench.record(outcome(job, "retry"))
    assert bench.row(first).state is State.RETRYABLE
    bench.store.promote(9, NOW)
    (job,) = bench.claim()
    assert job.id == first
    bench.store.retire(bench.worker, NOW)
    assert (bench.row(first).unique_key, bench.row(second).unique_key) == (None, KEY)


def test_a_retry_by_hand_runs_without_it(bench: Bench) -> None:
    held = holder(bench)
    (job,) = bench.claim()
    bench.record(outcome(job, "completed"))
    other = holder(bench)
    assert bench.store.retry(held, NOW) is True
    assert {job.id for job in bench.claim()} == {held, other}


def test_a_job_is_not_loaded_over_another_of_its_key(bench: Bench) -> None:
    """It stays where it was; one that is the same is present, with its key."""
    held, target = holder(bench), bench.other()
    (copied,) = bench.store.copies.dump(None, 9)
    assert target.copies.load([copied]) == ["stored"]
    assert target.copies.load([copied]) == ["present"]
    (there,) = target.get([held])
    assert there is not None
    assert (there.unique_key, there.unique_until) == (KEY, "final")
    assert target.cancel(held, "x", NOW) == "cancelled"
    other = new(unique_key=KEY, unique_until="final")
    assert target.insert([other], NOW)[0].verdict == "stored"
    second = replace(copied, job=replace(copied.job, id=new_id()))
    assert target.copies.load([second]) == ["conflict"]


def test_the_key_of_a_claim_that_was_lost_stays(bench: Bench) -> None:
    """I3: an end that is refused lets nothing go."""
    held = holder(bench, max_attempts=9)
    (job,) = bench.claim()
    bench.store.retire(bench.worker, NOW)
    worker = bench.store.register("host", 1, (), NOW).id
    bench.store.turn([], Demand(worker, {"thread": 1}), NOW)
    assert bench.record(outcome(job, "completed")) == [False]
    assert not free(bench)
    assert bench.row(held).unique_key == KEY
