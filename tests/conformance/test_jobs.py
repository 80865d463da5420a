"""Inserting, reading, cancelling, retrying, deleting: what clients do."""

from __future__ import annotations

import asyncio
import threading

import pytest

from conftest import until
from sidework.errors import StoreRefused
from sidework.ids import new_id
from sidework.job import JobFilter
from sidework.state import State

from .conftest import NOW, Bench, new, outcome


def test_an_insert_is_there_for_every_connection(bench: Bench) -> None:
    """I1."""
    job = new(priority=3, lane="mail", tags=("a",), timeout=5, max_attempts=4, backoff=7)
    bench.store.insert([job], NOW)
    (row,) = bench.open().get([job.id])
    assert row is not None
    assert (row.state, row.priority, row.lane, row.tags) == (State.AVAILABLE, 3, "mail", ("a",))
    assert (row.timeout, row.max_attempts, row.args, row.inserted_at) == (5, 4, b"\x01{}", NOW)


@pytest.mark.parametrize("count", [1, 49, 50, 51, 501, 1203])
def test_bulk_inserts_whole(bench: Bench, count: int) -> None:
    """I1, at every edge of the chunks."""
    jobs = [new() for _ in range(count)]
    verdicts = bench.store.insert(jobs, NOW)
    assert [one.id for one in verdicts] == [job.id for job in jobs]
    assert {one.verdict for one in verdicts} == {"stored"}
    assert None not in bench.store.get([job.id for job in jobs])


@pytest.mark.parametrize("at", [0, 7, 49, 50, 119])
def test_an_id_names_one_job_for_ever(bench: Bench, at: int) -> None:
    """I12: again with the same content is "present", with other content "conflict"; others go in."""
    known, taken = new(), new()
    bench.store.insert([known, taken], NOW)
    jobs = [new() for _ in range(123)]
    jobs[at] = known
    jobs[at + 1] = new(id=taken.id, args=b'\x01{"other":1}')
    jobs[at + 2] = jobs[at + 3]  # twice in one call
    verdicts = [one.verdict for one in bench.store.insert(jobs, NOW)]
    assert (verdicts[at], verdicts[at + 1]) == ("present", "conflict")
    assert verdicts[at + 2 : at + 4] == ["stored", "present"]
    assert verdicts.count("stored") == 123 - 3
    assert bench.row(taken.id).args == b"\x01{}"


@pytest.mark.parametrize(
    ("given", "state", "due"),
    [
        ({}, State.AVAILABLE, NOW),
        ({"delay": 500}, State.SCHEDULED, NOW + 500),
        ({"due_at": NOW + 1}, State.SCHEDULED, NOW + 1),
        ({"due_at": NOW - 1}, State.AVAILABLE, NOW),
    ],
)
def test_due_now_or_later(bench: Bench, given: dict[str, int], state: State, due: int) -> None:
    row = bench.row(bench.put(**given))
    assert (row.state, row.due_at) == (state, due)


def test_nothing_of_a_rolled_back_transaction_is_there(bench: Bench) -> None:
    """I2."""
    kept, gone = new(), new()
    with bench.engine.transaction() as connection:
        assert [one.verdict for one in bench.store.insert_on(connection, [kept], NOW)] == ["stored"]
        assert bench.store.get([kept.id]) == [None]
    with pytest.raises(ZeroDivisionError), bench.engine.transaction() as connection:
        bench.store.insert_on(connection, [gone], NOW)
        _ = 1 / 0
    assert bench.row(kept.id).state is State.AVAILABLE
    assert bench.store.get([gone.id]) == [None]
    assert [job.id for job in bench.claim()] == [kept.id]


def test_coroutines_insert_on_a_connection_as_others_do(bench: Bench) -> None:
    """I2: a connection that is not for coroutines serves them, too."""
    kept, gone = new(), new()
    with bench.engine.transaction() as connection:
        (inserted,) = asyncio.run(bench.store.ainsert_on(connection, [kept], NOW))
        assert inserted.verdict == "stored"
        assert bench.store.get([kept.id]) == [None]
    with pytest.raises(ZeroDivisionError), bench.engine.transaction() as connection:
        asyncio.run(bench.store.ainsert_on(connection, [gone], NOW))
        _ = 1 / 0
    assert bench.store.get([gone.id]) == [None]
    assert bench.row(kept.id).state is State.AVAILABLE


def test_a_transaction_of_the_store_is_whole(bench: Bench) -> None:
    """I2: as on a caller's own connection; who waits for work is rung when the jobs are there."""
    kept, gone = new(), new()
    bell = bench.store.listen("work")
    with bench.store.transaction() as connection:
        assert [one.verdict for one in bench.store.insert_on(connection, [kept], NOW)] == ["stored"]
        assert bench.store.get([kept.id]) == [None]
        bell.read()
    until(bell.read, "the bell")
    bell.close()
    with pytest.raises(ZeroDivisionError), bench.store.transaction() as connection:
        bench.store.insert_on(connection, [gone], NOW)
        _ = 1 / 0
    assert bench.row(kept.id).state is State.AVAILABLE
    assert bench.store.get([gone.id]) == [None]
    bench.put()


def test_writing_past_ones_own_transaction_is_refused(bench: Bench) -> None:
    """It would wait for itself. Others wait for it, and reading goes on."""
    job_id = bench.put()
    with bench.store.transaction():
        for write in (
            lambda: bench.store.insert([new()], NOW),
            lambda: bench.store.cancel(job_id, "x", NOW),
            lambda: bench.store.transaction().__enter__(),
        ):
            with pytest.raises(StoreRefused, match="pass its connection"):
                write()
        assert bench.row(job_id).id == job_id
        other = threading.Thread(target=bench.put)
        other.start()
    other.join(20)
    assert len(bench.store.page(JobFilter(), None, 9)) == 2


def test_transactions_beside_a_busy_writer_all_come_to_their_turn(bench: Bench) -> None:
    stop = threading.Event()
    other = bench.open()

    def write() -> None:
        while not stop.is_set():
            other.insert([new(lane="other") for _ in range(20)], NOW)

    writer = threading.Thread(target=write)
    writer.start()
    try:
        for _ in range(50):
            with bench.store.transaction() as connection:
                bench.store.insert_on(connection, [new(lane="mine")], NOW)
    finally:
        stop.set()
        writer.join()
    assert len(bench.store.page(JobFilter(lanes=("mine",)), None, 99)) == 50


def test_many_callers_share_commits_and_each_gets_its_own_verdict(bench: Bench) -> None:
    """I1, I12: combining mixes up nobody's answer."""
    taken = new()
    bench.store.insert([taken], NOW)
    wrong: list[object] = []

    def call(number: int) -> None:
        for turn in range(20):
            job = new(args=b"\x01%d" % number)
            want = "stored"
            if turn % 5 == 0:
                job, want = new(id=taken.id, args=b"\x01%d" % number), "conflict"
            # Of different lengths: dealt out by another caller's count, verdicts would slip.
            beside = [new() for _ in range(number % 3)]
            told = [(one.id, one.verdict) for one in bench.store.insert([job, *beside], NOW)]
            if told != [(job.id, want), *((one.id, "stored") for one in beside)]:
                wrong.append(told)

    threads = [threading.Thread(target=call, args=(number,)) for number in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []
    assert len(bench.claim(1000)) == 1 + 16 * 16 + 20 * 15


def test_get_answers_in_order_with_gaps(bench: Bench) -> None:
    one, two, nobody = bench.put(), bench.put(), new_id()
    rows = bench.store.get([two, nobody, one])
    assert [row and row.id for row in rows] == [two, None, one]


def test_page_is_stable_and_filters(bench: Bench) -> None:
    ids = [
        bench.put(lane="mail" if n % 2 else "web", tags=("x",) if n == 3 else ()) for n in range(9)
    ]
    first = bench.store.page(JobFilter(), None, 4)
    bench.put()
    second = bench.store.page(JobFilter(), first[-1].id, 100)
    assert [row.id for row in first + second] == ids[::-1]
    assert [row.id for row in bench.store.page(JobFilter(tag="x"), None, 9)] == [ids[3]]
    mail = bench.store.page(JobFilter(lanes=("mail",), states=(State.AVAILABLE,)), None, 9)
    assert [row.id for row in mail] == ids[1::2][::-1]
    assert bench.store.page(JobFilter(tasks=("other",)), None, 9) == []
    assert bench.store.page(JobFilter(states=(State.COMPLETED,)), None, 9) == []


def test_a_task_is_meant_by_its_name_or_without_the_module(bench: Bench) -> None:
    names = ["shop:add", "other:add", "add", "shop:K.add", "shop:xadd", "shop:Add", "a:b:add"]
    ids = {name: bench.put(task=name) for name in names}

    def fitting(*tasks: str) -> set[str]:
        found = {row.id for row in bench.store.page(JobFilter(tasks=tasks), None, 99)}
        return {name for name in names if ids[name] in found}

    assert fitting("shop:add") == {"shop:add"}
    assert fitting("add") == {"shop:add", "other:add", "add", "a:b:add"}
    assert fitting("K.add", "shop:xadd") == {"shop:K.add", "shop:xadd"}
    assert fitting("a_d", "%", ":add", "b:add", "") == set()


def test_cancel_waits_asks_or_refuses(bench: Bench) -> None:
    """I4."""
    waiting = bench.put(delay=1000)
    assert bench.store.cancel(waiting, "why", NOW) == "cancelled"
    assert (bench.row(waiting).note, bench.row(waiting).finished_at) == ("why", NOW)
    assert bench.store.cancel(waiting, "again", NOW) is None
    running = bench.running()
    assert bench.store.cancel(running.id, "why", NOW) == "running"
    assert bench.store.cancelling(bench.worker) == [running.id]
    assert bench.store.cancelling(bench.worker + 1) == []
    assert bench.store.cancel(new_id(), "why", NOW) is None


def test_retry_runs_again_with_one_more_attempt(bench: Bench) -> None:
    """I4, I5."""
    job = bench.running()
    assert bench.store.retry(job.id, NOW) is False
    bench.record(outcome(job, "discarded"))
    assert bench.store.retry(job.id, NOW + 5) is True
    row = bench.row(job.id)
    assert (row.state, row.attempt, row.max_attempts, row.due_at) == (
        State.AVAILABLE,
        1,
        2,
        NOW + 5,
    )
    assert (row.finished_at, row.result, row.crashes) == (None, None, 0)
    assert bench.claim()[0].attempt == 2
    assert bench.store.retry(new_id(), NOW) is False


def test_delete_takes_final_jobs_only(bench: Bench) -> None:
    """I4."""
    job = bench.running()
    assert bench.store.delete(job.id) is False
    bench.record(outcome(job, "discarded"))
    assert len(bench.store.attempts(job.id)) == 1
    assert bench.store.delete(job.id) is True
    assert bench.store.get([job.id]) == [None]
    assert bench.store.attempts(job.id) == []
    assert bench.store.delete(job.id) is False


def test_a_wait_inside_ones_own_transaction_is_refused(bench: Bench) -> None:
    """It would keep out whoever could end it. On another thread it is nobody's business."""
    bench.store.outside()
    with bench.store.transaction():
        with pytest.raises(StoreRefused, match="in a transaction of the store"):
            bench.store.outside()
        thread = threading.Thread(target=bench.store.outside)
        thread.start()
        thread.join()
    bench.store.outside()


def test_reads_go_on_while_writers_wait_for_their_turn(bench: Bench) -> None:
    job_id = bench.put()
    with bench.store.transaction():
        writer = threading.Thread(target=bench.put)
        writer.start()
        read: list[bytes] = []
        for _ in range(200):  # some of them while the writer stands in line
            reader = threading.Thread(target=lambda: read.append(bench.row(job_id).id))
            reader.start()
            reader.join(5)
        assert read == [job_id] * 200
    writer.join(20)
    assert not writer.is_alive()
