"""The sandbox as a user's test has it: what runs, when, and what is told of it."""

from __future__ import annotations

import asyncio
from concurrent.futures import Future
from datetime import UTC, datetime, timedelta
from unittest.mock import ANY

import pytest

from sidework import BadValue, JobFailed, Sidework, SideworkError, State
from sidework.testing import Sandbox

from . import shop


@pytest.fixture
def sidework_app() -> Sidework:
    shop.seen.clear()
    return shop.app


def test_jobs_run_when_the_test_says_so(sidework: Sandbox) -> None:
    job = shop.order.enqueue("ann")
    assert job.state is State.AVAILABLE
    ran = sidework.drain()
    assert [info.task for info in ran] == [shop.order.name, shop.mail.name]
    assert job.result() == "ordered"
    assert shop.seen == ["ann"]
    assert sidework.drain() == []


def test_one_after_the_other_in_the_order_of_a_worker(sidework: Sandbox) -> None:
    first, second = shop.order.enqueue("a"), shop.mail.enqueue("b")
    urgent = shop.mail.options(priority=5).enqueue("c")
    assert [sidework.run_next().id for _ in range(2)] == [urgent.id, first.id]
    assert sidework.run(shop.mail.enqueue("d")).arguments == {"to": "d"}
    assert second.state is State.COMPLETED
    assert shop.seen == ["c", "b", "a", "d"]
    with pytest.raises(SideworkError, match=r"no job is due at .*: none is waiting"):
        sidework.run_next()


def test_many_wait_and_all_run(sidework: Sandbox) -> None:
    shop.app.enqueue_many(shop.mail.bind(str(number)) for number in range(60))
    shop.app.enqueue_many(shop.order.bind(str(number)) for number in range(10))
    assert len(sidework.drain()) == 80


def test_time_moves_when_told(sidework: Sandbox) -> None:
    began = sidework.now
    job = shop.mail.options(delay="1h").enqueue("ann")
    assert sidework.drain() == []
    assert sidework.now == began
    with pytest.raises(SideworkError, match=rf"does not end now: {shop.mail.name} is scheduled"):
        sidework.run(job)
    assert sidework.move("1h") == began + timedelta(hours=1)
    assert sidework.run(job).finished_at == sidework.now
    kept = shop.mail.options(expires="1m").enqueue("bob")
    assert sidework.move_to(began + timedelta(days=400)) == sidework.now
    assert sidework.drain() == []
    assert (kept.state, job.state) == (State.CANCELLED, State.COMPLETED)  # nothing is pruned
    with pytest.raises(BadValue, match="forward only"):
        sidework.move_to(began)
    with pytest.raises(BadValue, match="zone"):
        sidework.move_to(datetime(2999, 1, 1))
    with pytest.raises(BadValue, match="move="):
        sidework.move("soon")


def test_a_task_fails_on_purpose(sidework: Sandbox) -> None:
    sidework.fail(shop.mail, OSError("no route"), times=2)
    sidework.fail(shop.order, TimeoutError)
    job, other = shop.mail.enqueue("ann"), shop.order.enqueue("bob")
    sidework.drain()
    assert (job.state, other.state) == (State.RETRYABLE, State.DISCARDED)
    ran = sidework.drain(within="1h")
    assert [(info.state, info.attempt) for info in ran] == [("retryable", 2), ("completed", 3)]
    assert [one.message for one in job.attempts()] == ["no route"] * 2
    assert [one.kind for one in other.attempts()] == ["TimeoutError"]
    with pytest.raises(BadValue, match="an exception to raise"):
        sidework.fail(shop.mail, "no")  # type: ignore[arg-type]
    with pytest.raises(BadValue, match="times=0"):
        sidework.fail(shop.mail, OSError, times=0)


def test_an_attempt_ends_as_in_a_worker(sidework: Sandbox) -> None:
    slow = shop.slow.enqueue()
    discarded, snoozed, retried = (shop.ends.enqueue(how) for how in ("discard", "snooze", "retry"))
    sidework.drain()
    assert "its timeout of 0.02 s" in slow.attempts()[0].message
    assert [job.state for job in (discarded, snoozed, retried)] == [
        "discarded",
        "scheduled",
        "discarded",
    ]
    assert [(info.id, info.result) for info in sidework.drain(within="1h")] == [(snoozed.id, 1)]
    with pytest.raises(JobFailed, match="no use"):
        discarded.result()


def test_the_end_of_a_job_may_be_in_its_transaction(sidework: Sandbox) -> None:
    assert sidework.run(shop.in_transaction.enqueue("x")).state is State.COMPLETED


def test_jobs_that_wait_for_jobs(sidework: Sandbox) -> None:
    job = shop.outer.enqueue(3)
    ran = sidework.drain()
    assert job.result() == ["welcome, 0", "welcome, 1", "welcome, 2", "ordered"]
    assert len(ran) == 7  # the mail of the order too
    late = shop.waits_for_tomorrow.enqueue()
    sidework.drain()
    with pytest.raises(JobFailed, match=r"is scheduled, due at .*would wait for ever"):
        late.result()


def test_a_wait_that_nobody_would_end_is_refused(sidework: Sandbox) -> None:
    job = shop.mail.enqueue("ann")
    with pytest.raises(SideworkError, match=r"is available, and nobody runs it .*sidework\.drain"):
        job.result(timeout=60)
    future = job.future()
    for wait in (future.result, future.exception):
        with pytest.raises(SideworkError, match="nobody runs it"):
            wait()
    with pytest.raises(SideworkError, match=r"app\.events\(\) has no end"):
        next(iter(shop.app.events()))
    with pytest.raises(SideworkError, match="nothing to do in a sandbox"), shop.app.worker():
        pass
    with pytest.raises(TypeError, match=r"^'x' is no handle of a job"):
        sidework.run("x")  # type: ignore[arg-type]
    sidework.run(job)
    assert future.result(timeout=20) == job.result()


def test_a_drain_that_does_not_end_is_refused(sidework: Sandbox) -> None:
    shop.again.enqueue()
    with pytest.raises(
        SideworkError, match=rf"ran 20 jobs \({shop.again.name} 20 times\).* 1 wait"
    ):
        sidework.drain(limit=20)


def test_a_drain_that_ends_with_its_limit_has_ended(sidework: Sandbox) -> None:
    shop.app.enqueue_many(shop.mail.bind("ann") for _ in range(5))
    with pytest.raises(SideworkError, match=r"ran 3 jobs .* and 2 wait still: say limit="):
        sidework.drain(limit=3)
    assert len(sidework.drain(limit=2)) == 2


def test_what_was_enqueued(sidework: Sandbox) -> None:
    with pytest.raises(AssertionError, match=r"mail\(\) was not enqueued; what was: nothing"):
        sidework.enqueued(shop.mail)
    for name in ("ann", "bob", "bob"):
        shop.mail.enqueue(name)
    assert len(sidework.enqueued(shop.mail, "bob")) == 2
    assert len(sidework.enqueued(shop.mail)) == 3
    [ann] = sidework.enqueued(shop.mail, to="ann", text="welcome")
    assert ann.arguments == {"to": "ann"}
    assert sidework.enqueued(shop.mail, ANY, "welcome")
    sidework.not_enqueued(shop.mail, "eve")
    with pytest.raises(AssertionError) as missed:
        sidework.enqueued(shop.mail, "eve")
    name = shop.mail.name
    assert str(missed.value).splitlines() == [
        f"{name}(to='eve') was not enqueued, but 3 of this task:",
        f"  {name}(to='ann', text='welcome'), available",
        *[f"  {name}(to='bob', text='welcome'), available"] * 2,
    ]
    with pytest.raises(AssertionError, match="was enqueued: 1 of this task"):
        sidework.not_enqueued(shop.mail, "ann")
    with pytest.raises(TypeError, match="unexpected keyword argument 'too'"):
        sidework.enqueued(shop.mail, too="ann")


def test_coroutine_tests_go_the_same_way(sidework: Sandbox) -> None:
    async def test() -> None:
        job = await shop.outer.aenqueue(2)
        with pytest.raises(SideworkError, match="await sidework"):
            sidework.drain()
        with pytest.raises(SideworkError, match="nobody runs it"):
            await job.aresult()
        assert (await sidework.arun(job)).state is State.COMPLETED
        assert await job.aresult() == ["welcome, 0", "welcome, 1", "ordered"]
        assert (await sidework.arun_next()).task == shop.mail.name
        sidework.fail(shop.order, OSError("no"))
        await shop.order.aenqueue("ann")
        assert [info.state for info in await sidework.adrain()] == ["discarded"]

    asyncio.run(test())


def test_a_coroutine_test_that_is_cut_off_is(sidework: Sandbox) -> None:
    async def test() -> None:
        await shop.slow.options(timeout="1h").aenqueue()
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.05):
                await sidework.adrain()

    asyncio.run(test())


def test_what_ends_the_test_ends_no_job_alone(sidework: Sandbox) -> None:
    job = shop.ends.enqueue("interrupt")
    with pytest.raises(KeyboardInterrupt):
        sidework.drain()
    assert job.state is State.DISCARDED


def test_the_app_is_as_it_was_before() -> None:
    url = shop.app.url
    with Sandbox(shop.app) as sandbox:
        inside = shop.app.url
        job = shop.mail.enqueue("ann")
        shop.app.close()  # as a web server does at its end: what it had is there all the same
        assert sandbox.run(job).state is State.COMPLETED
        with pytest.raises(SideworkError, match="in a sandbox already"), Sandbox(shop.app):
            pass
    assert (shop.app.url, inside != url) == (url, True)
    with Sandbox(shop.app) as sandbox:
        sandbox.not_enqueued(shop.mail)
    with pytest.raises(TypeError, match="is no app"):
        Sandbox(shop)  # type: ignore[arg-type]


def test_another_store_than_a_file(database: str) -> None:
    with Sandbox(shop.app, database) as sandbox:
        job = shop.outer.enqueue(1)
        later = shop.mail.options(delay="1h").enqueue("ann")
        sandbox.drain()
        assert job.result() == ["welcome, 0", "ordered"]
        sandbox.move_to(datetime.now(UTC) + timedelta(hours=2))
        assert sandbox.run(later).result == "welcome, ann"


def test_a_drain_ends_though_a_queue_is_paused(sidework: Sandbox) -> None:
    job = shop.mail.options(delay="1h").enqueue("ann")
    shop.app.store.pause("default", "me", "a test")
    assert sidework.drain(within="1d") == []
    with pytest.raises(SideworkError, match=r"does not end now: .* is available"):
        sidework.run(job)
    shop.app.store.resume("default")
    assert sidework.run(job).result == "welcome, ann"


def test_what_a_job_tells_is_kept_with_it(sidework: Sandbox) -> None:
    job = shop.tells.enqueue(3)
    sidework.run(job)
    assert job.progress is not None
    assert (job.progress.done, job.progress.total) == (3, 3)
    told = list(job.events())
    assert [event.value for event in told if event.kind == "value"] == [0, 1, 2]
    assert [event.log.text for event in told if event.log is not None] == ["all told"]


def test_the_clock_enqueues_when_it_is_moved() -> None:
    shop.seen.clear()
    with Sandbox(shop.nights) as sandbox:
        assert sandbox.drain() == []
        sandbox.move_to(sandbox.now.replace(hour=12) + timedelta(days=1))
        assert [info.task for info in sandbox.drain()] == [shop.nightly.name]
        assert len(sandbox.drain(within="3d")) == 3
        shop.nightly.enqueue()
        sandbox.drain()
    assert shop.seen == ["03:00"] * 4 + ["by hand"]


def test_who_is_called_later_is(sidework: Sandbox) -> None:
    called: Future[str] = Future()
    job = shop.mail.enqueue("ann")
    job.add_done_callback(lambda handle: called.set_result(handle.result()))
    future = job.future()
    assert not future.done()
    sidework.drain()
    assert (called.result(10), future.result(10)) == ("welcome, ann",) * 2


def test_a_workflow_is_drained(sidework: Sandbox) -> None:
    left, right = shop.add.enqueue(1, 2), shop.add.enqueue(3, 4)
    total = shop.add.enqueue(left.output, right.output)
    assert total.state is State.BLOCKED
    assert [info.id for info in sidework.drain()] == [left.id, right.id, total.id]
    assert total.result() == 10
    assert len(sidework.enqueued(shop.add)) == 3
    sidework.fail(shop.add, OSError("no"))
    child = shop.add.enqueue(shop.add.enqueue(1, 1).output, 1)
    sidework.drain()
    assert child.state is State.CANCELLED
