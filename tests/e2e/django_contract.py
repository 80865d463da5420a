"""What Django documents of a task backend, asked of ours within a project. Run by ``test_django``, as a
program of its own, since a process has one set of settings for life."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any

import pytest
from asgiref.sync import async_to_sync
from django.core.exceptions import ImproperlyConfigured
from django.db import transaction
from django.test import Client
from django.utils import timezone
from later import tasks as later
from shop.models import Order
from shop.tasks import confirm

from sidework import StoreRefused
from sidework.contrib.django import SideworkBackend
from sidework.contrib.django.border import InvalidTask, errors, signals, tasks

BACKEND = tasks.task_backends["default"]
JOINS = BACKEND._joins
PATIENCE = 20


@pytest.fixture(scope="module", autouse=True)
def working() -> Any:
    with BACKEND.app.worker(threads=2):
        yield


def final(result: Any) -> Any:
    BACKEND.app.job(result.id).wait(PATIENCE)
    result.refresh()
    return result


def test_a_task_is_enqueued_run_and_asked_for() -> None:
    before = timezone.now()
    result = later.add.enqueue(1, b=2)
    assert (result.args, result.kwargs, result.backend) == ([1], {"b": 2}, "default")
    assert not result.is_finished or result.status == "SUCCESSFUL"
    found = later.add.get_result(final(result).id)
    for one in (result, found):
        assert (one.status, one.return_value, one.is_finished) == ("SUCCESSFUL", 3, True)
        assert before - timedelta(seconds=1) < one.enqueued_at <= one.started_at <= one.finished_at
        assert (one.args, one.kwargs, one.errors) == ([1], {"b": 2}, [])
        assert (one.attempts, len(one.worker_ids), one.last_attempted_at) == (1, 1, one.started_at)
    assert found.task == later.add
    assert BACKEND.get_result(result.id).id == result.id
    assert later.add.call(1, 2) == 3


def test_asynchronously() -> None:
    async def whole() -> Any:
        result = await later.twice.aenqueue("ab")
        await BACKEND.app.job(result.id).await_final(PATIENCE)
        await result.arefresh()
        return result, await later.twice.aget_result(result.id)

    result, found = async_to_sync(whole)()
    assert result.return_value == found.return_value == "abab"


def test_before_it_has_run() -> None:
    due = timezone.now() + timedelta(hours=1)
    result = later.add.using(run_after=due, priority=7, queue_name="slow").enqueue(1, 2)
    result.refresh()
    assert (result.status, result.is_finished, result.started_at) == ("READY", False, None)
    with pytest.raises(ValueError, match="not finished"):
        _ = result.return_value
    found = BACKEND.get_result(result.id).task
    assert (found.priority, found.queue_name) == (7, "slow")
    assert abs(found.run_after - due) < timedelta(milliseconds=2)
    assert later.add.using(priority=-100).priority == -100
    assert BACKEND.app.job(result.id).cancel()
    result.refresh()
    assert (result.status, result.attempts) == ("FAILED", 0)


def test_a_failure_is_told_with_every_attempt() -> None:
    result = final(later.fails.enqueue("x"))
    assert (result.status, result.attempts, result.is_finished) == ("FAILED", 2, True)
    first, last = result.errors
    assert first.exception_class is last.exception_class is ValueError
    assert "in fails\n" in last.traceback
    assert "ValueError: x" in last.traceback
    with pytest.raises(ValueError, match="failed"):
        _ = result.return_value
    (error, _) = final(later.fails_own.enqueue()).errors
    assert error.exception_class is later.Own


def test_a_task_takes_its_context() -> None:
    result = final(later.told.enqueue("x", y=1))
    assert result.args == ["x"]
    assert result.return_value == [1, result.id, "RUNNING", ["x"], {"y": 1}, "default"]
    again = final(later.atold.enqueue())
    assert (again.return_value, again.attempts) == (2, 2)


def test_results_of_others_are_not_found() -> None:
    result = later.add.enqueue(1, 2)
    with pytest.raises(errors.TaskResultMismatch):
        confirm.get_result(result.id)
    for nothing in ("0" * 32, "no id at all", "019500aa-0000-7000-8000-000000000000"):
        with pytest.raises(errors.TaskResultDoesNotExist):
            BACKEND.get_result(nothing)
        with pytest.raises(errors.TaskResultDoesNotExist):
            async_to_sync(BACKEND.aget_result)(nothing)


def test_what_is_wrong_is_refused_at_once() -> None:
    for wrong in ({"priority": 101}, {"priority": 1.5}, {"queue_name": "a/b"}):
        with pytest.raises(InvalidTask):
            later.add.using(**wrong)
    with pytest.raises(InvalidTask):
        later.add.using(run_after=timezone.now().replace(tzinfo=None))
    with pytest.raises(InvalidTask):
        tasks.task()(lambda: None)
    with pytest.raises(TypeError, match=r"later.tasks.add: missing a required argument: 'b'"):
        later.add.enqueue(1)
    with pytest.raises(TypeError, match="nsupported type"):
        later.add.enqueue(1, object())
    with pytest.raises(
        ImproperlyConfigured, match=r"TASKS\['x'\]: unknown option 'urls'; there are: back"
    ):
        SideworkBackend("x", {"OPTIONS": {"urls": "x"}})
    with pytest.raises(ImproperlyConfigured, match="cannot be shared"):
        SideworkBackend("x", {"OPTIONS": {"url": ":memory:"}})


def test_signals() -> None:
    heard: list[tuple[str, str]] = []

    def hear(sender: Any, task_result: Any, signal: Any, **_: Any) -> None:
        assert sender is SideworkBackend
        heard.append((task_result.id, task_result.status))

    all_of_them = (signals.task_enqueued, signals.task_started, signals.task_finished)
    for signal in all_of_them:
        signal.connect(hear)
    done = [
        final(later.add.enqueue(1, 2)),
        final(later.twice.enqueue("a")),
        final(later.fails.enqueue("a")),
    ]
    for signal in all_of_them:
        signal.disconnect(hear)
    well = ["READY", "RUNNING", "SUCCESSFUL"]
    for result, states in zip(
        done, [well, well, ["READY", "RUNNING", "READY", "RUNNING", "FAILED"]], strict=True
    ):
        assert [state for key, state in heard if key == result.id] == states


def test_in_a_transaction_it_is_stored_when_that_is_committed() -> None:
    assert later.add.get_backend() is BACKEND
    with transaction.atomic():
        result = later.add.enqueue(1, 2)
        with pytest.raises(errors.TaskResultDoesNotExist):
            BACKEND.get_result(result.id)
        with pytest.raises(RuntimeError), transaction.atomic():
            undone = later.add.enqueue(3, 4)
            raise RuntimeError
    assert final(result).return_value == 3
    with pytest.raises(errors.TaskResultDoesNotExist):
        undone.refresh()


def test_or_at_once_where_the_settings_say_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        BACKEND, "_on_commit", SideworkBackend("x", {"ENQUEUE_ON_COMMIT": False})._on_commit
    )
    with transaction.atomic():
        assert final(later.add.enqueue(1, 2)).return_value == 3
        transaction.set_rollback(True)


@pytest.mark.skipif(JOINS, reason="about a database that the store does not live in")
def test_a_database_that_cannot_be_joined_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(BACKEND, "_joins", True)
    with pytest.raises(StoreRefused, match=r"takes an apsw\.Connection"), transaction.atomic():
        later.add.enqueue(1, 2)


def test_an_order_in_a_request() -> None:
    client = Client()
    answer = client.post("/orders", {"customer": "ann"})
    assert answer.status_code == 202
    address = answer.json()["status"]
    BACKEND.app.job(address.rsplit("/", 1)[1]).wait(PATIENCE)
    assert client.get(address).json() == {
        "status": "SUCCESSFUL", "errors": [], "result": "order of ann confirmed",
    }  # fmt: skip
    assert Order.objects.get(customer="ann").confirmed


def test_two_loops_at_once() -> None:
    async def several() -> list[Any]:
        return await asyncio.gather(*(later.twice.aenqueue(str(n)) for n in range(5)))

    assert [final(one).return_value for one in async_to_sync(several)()] == [
        "00",
        "11",
        "22",
        "33",
        "44",
    ]
