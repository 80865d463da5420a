"""The waiter of a process: what it reads, and that nobody who waits is left hanging."""

from __future__ import annotations

import asyncio
import gc
import os
import threading
import weakref
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from conftest import PATIENCE, until
from sidework import JobHandle, Sidework, State, StoreError
from sidework.client import waiter as waiters
from sidework.client.calling import on_loop
from sidework.client.waiter import Waiter
from sidework.clock import monotonic
from sidework.ids import new_id
from sidework.job import JobRow, NewJob
from sidework.store.sqlite import bells
from sidework.store.sqlite.engine import SqliteStore


def new() -> NewJob:
    return NewJob(new_id(), "m:f", b"\x01{}")


class Counting(SqliteStore):
    """Tells how many rows were read."""

    read = 0

    def get(self, ids: Sequence[bytes]) -> list[JobRow | None]:
        self.read += len(ids)
        return super().get(ids)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Counting]:
    made = Counting(str(tmp_path / "jobs.db"))
    yield made
    made.close()


@pytest.fixture
def app(tmp_path: Path) -> Iterator[Sidework]:
    made = Sidework(str(tmp_path / "jobs.db"))
    yield made
    made.close()


def handed_over(app: Sidework) -> JobHandle[None]:
    def later() -> None: ...

    handle: JobHandle[None] = app.task(later, name="later").enqueue()  # type: ignore[call-overload]
    return handle


def test_bells_for_other_jobs_do_not_have_all_read_again(store: Counting) -> None:
    jobs = [new() for _ in range(300)]
    store.insert(jobs)
    waiter, began = Waiter(store), monotonic()
    futures = [waiter.register(job.id) for job in jobs]
    until(lambda: store.read >= 300)
    others = SqliteStore(store.path)
    for _ in range(500):
        other = new()
        others.insert([other])
        others.ring_done([other.id])
    others.close()
    store.cancel(jobs[7].id, "x")  # named by its bell, and told at once
    row = futures[7].result(PATIENCE)
    assert row is not None
    assert row.state is State.CANCELLED
    looks = (monotonic() - began) / waiters._SAFETY_SECONDS + 2
    assert store.read <= 300 * (looks + 1) + 1
    waiter.close()


@pytest.mark.parametrize("cut", [True, False])
def test_one_that_waits_learns_what_its_own_process_does(
    store: Counting, cut: bool, tmp_path: Path
) -> None:
    """I10: with and without bells."""
    if cut:
        store._bell_folder, store._ringer = "", bells.Ringer("")
    job = new()
    store.insert([job])
    waiter = Waiter(store)
    future = waiter.register(job.id)
    until(lambda: waiter._due > 0)
    store.cancel(job.id, "x")
    row = future.result(PATIENCE)
    assert row is not None
    assert row.state is State.CANCELLED
    waiter.close()


def test_a_store_that_fails_is_told_to_all_who_wait_and_to_no_one_later(store: Counting) -> None:
    job = new()
    store.insert([job])
    waiter = Waiter(store)
    future = waiter.register(job.id)
    until(lambda: waiter._due > 0)
    moved = store.path + ".moved"
    os.rename(store.path, moved)
    with pytest.raises(StoreError, match="removed, moved or replaced"):
        waiter.register(job.id).result(PATIENCE)
    with pytest.raises(StoreError):
        future.result(PATIENCE)
    os.rename(moved, store.path)
    store.cancel(job.id, "x")
    assert waiter.register(job.id).result(PATIENCE) is not None
    waiter.close()


def test_closing_while_others_register_leaves_no_one_hanging(store: Counting) -> None:
    """And writes to no descriptor that is someone else's by then."""
    job = new()
    store.insert([job])
    for _ in range(30):
        waiter = Waiter(store)
        waiter.register(job.id)
        answers: list[object] = []

        def register(waiter: Waiter = waiter, answers: list[object] = answers) -> None:
            for _ in range(20):
                answers.append(waiter.register(job.id).exception(PATIENCE))

        threads = [threading.Thread(target=register) for _ in range(2)]
        for thread in threads:
            thread.start()
        waiter.close()
        waiter.close()
        for thread in threads:
            thread.join(PATIENCE)
        assert len(answers) == 40
        assert all(isinstance(answer, StoreError) for answer in answers)


def test_closing_the_app_ends_a_wait_and_does_not_open_it_again(app: Sidework) -> None:
    job = handed_over(app)
    told: list[Exception] = []

    def wait() -> None:
        try:
            job.wait()
        except Exception as error:  # noqa: BLE001 - whatever it is, it is shown
            told.append(error)

    waiting = threading.Thread(target=wait)
    waiting.start()
    until(lambda: app._waiter is not None and app._waiter._waiting)
    app.close()
    waiting.join(PATIENCE)
    assert [type(error) for error in told] == [StoreError]
    assert (app._store, app._waiter) == (None, None)


async def _afollow(app: Sidework) -> None:
    async for _ in app.events():
        pass


@pytest.mark.parametrize("colour", ["plain", "coroutine"])
def test_closing_the_app_ends_whoever_follows_all_of_its_jobs(app: Sidework, colour: str) -> None:
    told: list[Exception] = []

    def follow() -> None:
        try:
            if colour == "plain":
                list(app.events())
            else:
                asyncio.run(_afollow(app))
        except Exception as error:  # noqa: BLE001 - whatever it is, it is shown
            told.append(error)

    following = threading.Thread(target=follow)
    following.start()
    until(lambda: app._waiter is not None and app._waiter._watching)
    app.close()
    following.join(PATIENCE)
    assert [type(error) for error in told] == [StoreError]


def test_a_loop_that_closes_meanwhile_does_not_disturb_who_else_waits() -> None:
    loop = asyncio.new_event_loop()
    loop.close()
    on_loop(loop, loop.stop)  # between the waiter's look at it and its call


def test_a_forked_child_keeps_no_descriptor_of_the_parents_waiter(app: Sidework) -> None:
    job = handed_over(app)
    future = app.waiter.register(job.raw)  # type: ignore[attr-defined]
    until(lambda: app.waiter._due > 0)
    waiter = app.waiter
    bell = waiter._bell
    assert bell is not None
    mine = (waiter._wake_read, waiter._wake_write, bell.fileno())
    pid = os.fork()
    if pid == 0:
        opened = 0
        for number in mine:
            try:
                os.fstat(number)
                opened += 1
            except OSError:
                pass
        os._exit(opened)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    job.cancel()
    assert future.result(PATIENCE) is not None


def test_an_app_that_nobody_uses_is_collected(tmp_path: Path) -> None:
    app = Sidework(str(tmp_path / "jobs.db"))
    handed_over(app)
    app.close()
    gone = weakref.ref(app)
    del app
    gc.collect()
    assert gone() is None
