"""The child's parts on their own: whatever user code does, its worker is told how the job ended."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from typing import Any, cast

import pytest

from conftest import until
from sidework import Discard, InputFailed, Retry, Sidework, Snooze
from sidework.child.executor import Attempt, attempt_of
from sidework.child.loop import Loop
from sidework.child.notebook import Notebook
from sidework.child.resources import Resources
from sidework.child.threads import Threads
from sidework.ids import id_text, new_id
from sidework.inputs import with_inputs
from sidework.job import Claimed, Input, OnInputFailure
from sidework.outputs import Output
from sidework.state import State
from sidework.wire import Done, HandedBack, decode_to_worker, frame


class Unmade(Snooze):
    def __init__(self) -> None:
        pass


class UnmadeRetry(Retry):
    def __init__(self) -> None:
        pass


class Leaves(Exception):
    def __str__(self) -> str:
        raise SystemExit(3)


class LeavesToo(Snooze):
    def __str__(self) -> str:
        raise KeyboardInterrupt


class Nameless(type):
    @property
    def __module__(cls) -> str:  # type: ignore[override]
        raise RuntimeError


def changed(error: Any, **attributes: object) -> BaseException:
    for name, value in attributes.items():
        setattr(error, name, value)
    made: BaseException = error
    return made


def of(error: BaseException, attempts: int = 2, **options: Any) -> Attempt:
    app = Sidework("sqlite:////nowhere/jobs.db")

    @app.task(name="t", **options)
    def task() -> None:
        raise error

    job = Claimed(new_id(), 1, 1, attempts, "t", "default", "thread", 0, 0, None, None, "rescue",
                  b"\x01{}")  # fmt: skip
    made = attempt_of(job, app.registry, Resources(asyncio.run))
    assert isinstance(made, Attempt)
    return made


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (Unmade(), "retry"),
        (UnmadeRetry(), "retry"),
        (changed(Snooze(1), duration=float("nan")), "retry"),
        (changed(Snooze(1), duration=1e300), "retry"),
        (changed(Snooze(1), duration="soon"), "retry"),
        (changed(Retry(after=1), after=-1), "retry"),
        (changed(Retry(after=1), after=10**400), "retry"),
        (Snooze(1, "lone \ud800, NUL \0, and long " + "x" * 10**6), "snoozed"),
        (LeavesToo(1), "snoozed"),
        (Leaves(), "retry"),
        (Discard("\udfff"), "discarded"),
        (SystemExit(1), "discarded"),
        (KeyboardInterrupt(), "discarded"),
        (Nameless("Odd", (Exception,), {})(), "retry"),
    ],
    ids=lambda value: value if isinstance(value, str) else type(value).__name__,
)
def test_whatever_is_raised_becomes_an_outcome_that_can_be_sent(
    error: BaseException, kind: str
) -> None:
    outcome = of(error).run()
    assert outcome.kind == kind
    assert decode_to_worker(frame(Done([1], [outcome]))[4:]) == Done([1], [outcome])
    assert 0 <= outcome.delay < 2**62


@pytest.mark.parametrize(
    ("state", "policy", "kind"),
    [
        (State.DISCARDED, "cancel", "cancelled"),
        (None, "cancel", "cancelled"),
        (State.AVAILABLE, "cancel", "snoozed"),
        (State.DISCARDED, "continue", "completed"),
        (None, "continue", "completed"),
    ],
)
def test_a_task_that_did_not_ask_for_failed_inputs_is_given_none(
    state: State | None, policy: OnInputFailure, kind: str
) -> None:
    """It, or its input after that had released it, was retried by hand."""
    app, given = Sidework("sqlite:////nowhere/jobs.db"), list[Any]()

    @app.task(name="t")
    def pay(amount: Any) -> None:
        given.append(amount)

    parent = new_id()
    args = with_inputs(b'\x01{"amount":null}', [(["amount"], Output(parent, ""))], "t")
    job = Claimed(new_id(), 1, 1, 1, "t", "default", "thread", 0, 0, None, None, "rescue", args,
                  inputs=(Input(parent, state, None, None, policy),))  # fmt: skip
    made = attempt_of(job, app.registry, Resources(asyncio.run))
    assert isinstance(made, Attempt)
    outcome = made.run()
    assert outcome.kind == kind, outcome
    assert [type(one) for one in given] == [InputFailed] * (kind == "completed")
    assert (
        kind != "cancelled" or outcome.note == f"its input {id_text(parent)} was {state or 'gone'}"
    )


def raising(error: type[BaseException]) -> Callable[[int], float]:
    def backoff(attempt: int) -> float:
        raise error

    return backoff


@pytest.mark.parametrize("error", [ValueError, SystemExit, KeyboardInterrupt])
def test_a_backoff_that_raises_anything_leaves_the_default_wait(error: type[BaseException]) -> None:
    outcome = of(RuntimeError("first"), backoff=raising(error)).run()
    assert outcome.kind == "retry"
    assert b"RuntimeError" in (outcome.failure or b"")


class Sent:
    """A link that keeps what it is given."""

    def __init__(self) -> None:
        self.messages: list[Any] = []

    def send(self, *messages: Any) -> None:
        self.messages += messages

    def of(self, kind: type) -> list[Any]:
        return [message for message in self.messages if isinstance(message, kind)]


def attempts_of(function: Callable[..., Any], count: int) -> list[Attempt]:
    app = Sidework("sqlite:////nowhere/jobs.db")
    app.task(name="t")(function)
    made = [
        attempt_of(
            Claimed(new_id(), 1, 1, 1, "t", "default", "loop", 0, 0, None, None, "rescue",
                    b'\x01{"n":%d}' % n),
            app.registry,
            Resources(asyncio.run),
        )
        for n in range(count)
    ]  # fmt: skip
    assert all(isinstance(attempt, Attempt) for attempt in made)
    return cast("list[Attempt]", made)


def test_a_coroutine_cancelled_before_its_first_line_is_told_of() -> None:
    """Its start and its cancel are in one turn of the loop: a task that is cancelled before its first
    step runs no line at all, not even those that report it."""
    ran: list[int] = []

    async def task(n: int) -> None:
        ran.append(n)

    async def main() -> Sent:
        link: Any = Sent()
        loop = Loop(1, link, Notebook(link), own_process=False)
        loop.post([(7, attempts_of(task, 1)[0])])
        loop.loop.call_soon_threadsafe(loop.cancel, 7, "cancelled")
        await asyncio.sleep(0)
        await asyncio.wait_for(loop.finish(), 5)
        return cast(Sent, link)

    (done,) = asyncio.run(main()).of(Done)
    assert (done.seqs, [outcome.kind for outcome in done.outcomes]) == ([7], ["cancelled"])
    assert ran == []


def test_a_coroutine_cancelled_while_it_waits_for_a_place_is_handed_back() -> None:
    ran: list[int] = []

    async def main() -> Sent:
        link: Any = Sent()
        loop = Loop(1, link, Notebook(link), own_process=False)
        go = asyncio.Event()

        async def task(n: int) -> None:
            ran.append(n)
            await go.wait()

        loop.post(list(enumerate(attempts_of(task, 2))))
        while not ran:
            await asyncio.sleep(0)
        loop.cancel(1, "cancelled")
        go.set()
        await asyncio.wait_for(loop.finish(), 5)
        return cast(Sent, link)

    link = asyncio.run(main())
    assert [message.seqs for message in link.of(HandedBack)] == [[1]]
    assert [message.seqs for message in link.of(Done)] == [[0]]
    assert ran == [0]


def test_a_function_cancelled_while_it_waits_for_a_thread_is_handed_back() -> None:
    ran: list[int] = []
    began, go = threading.Event(), threading.Event()

    def task(n: int) -> None:
        ran.append(n)
        began.set()
        assert go.wait(10)

    link: Any = Sent()
    threads = Threads(1, link, Notebook(link), own_process=False)
    first, second, third = attempts_of(task, 3)
    threads.accept(0, first)
    assert began.wait(10)
    threads.accept(1, second)
    threads.accept(2, third)
    threads.cancel(1, "cancelled")
    go.set()
    until(lambda: len(link.of(Done)) == 2, "both ends")
    threads.finish()
    assert [message.seqs for message in link.of(HandedBack)] == [[1], []]
    assert ran == [0, 2]
