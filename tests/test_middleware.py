"""Middleware and signals: what an app puts around its work, and who looks on."""

from __future__ import annotations

import asyncio
import logging
from pathlib import Path
from typing import Any

import pytest

from sidework import (
    BadValue,
    JobFailed,
    Middleware,
    Retry,
    Sidework,
    SideworkError,
    Signal,
    current_job,
)
from sidework.tasks.middleware import Handover, Steps


class Noting(Middleware):
    """Writes down what it sees."""

    def __init__(self, name: str, said: list[str]) -> None:
        self._name, self._said = name, said

    def enqueue(self, handover: Handover) -> Steps:
        self._said.append(f"{self._name} hands over {len(handover.jobs)}")
        handover.context[self._name] = handover.jobs[0].id[:8]
        try:
            yield
        finally:
            self._said.append(f"{self._name} handed over")

    def attempt(self, job: Any) -> Steps:
        try:
            value = yield
            self._said.append(f"{self._name} saw {value}")
        except Exception as error:
            self._said.append(f"{self._name} saw {error!r}")
            raise


@pytest.fixture
def app(tmp_path: Path) -> Any:
    made = Sidework(str(tmp_path / "jobs.db"))
    yield made
    made.close()


def test_one_shape_around_plain_and_coroutine_code_in_a_defined_order(app: Sidework) -> None:
    said: list[str] = []
    app.use(Noting("a", said))
    app.use(Noting("b", said))

    @app.task(name="plain")
    def plain() -> dict[str, str]:
        return current_job().context

    @app.task(name="coroutine", timeout="5s")
    async def coroutine() -> str:
        return ",".join(sorted(current_job().context))

    @app.task(name="failing")
    def failing() -> None:
        raise ValueError("no")

    with app.worker():
        job = plain.enqueue()
        assert job.result(timeout=10) == {"a": job.id[:8], "b": job.id[:8]}
        assert said[:4] == ["a hands over 1", "b hands over 1", "b handed over", "a handed over"]
        assert [one.split()[0] for one in said[4:]] == ["b", "a"]
        del said[:]
        assert asyncio.run(_ahanded(coroutine)) == "a,b"
        assert said[4:] == ["b saw a,b", "a saw a,b"]
        with pytest.raises(JobFailed, match="no"):
            failing.enqueue().result(timeout=10)
        assert said[-2:] == ["b saw ValueError('no')", "a saw ValueError('no')"]
        del said[:]
        app.enqueue_many(plain.bind() for _ in range(3))
        assert said[0] == "a hands over 3"


async def _ahanded(task: Any) -> Any:
    return await (await task.aenqueue()).aresult(timeout=10)


def test_errors_of_middleware_have_a_meaning(
    app: Sidework, caplog: pytest.LogCaptureFixture
) -> None:
    class Gate(Middleware):
        before = after = ""

        def enqueue(self, handover: Handover) -> Steps:
            if self.before:
                raise PermissionError(self.before)
            yield
            if self.after:
                raise ValueError(self.after)

        def attempt(self, job: Any) -> Steps:
            try:
                yield
            except KeyError as error:
                raise Retry("another time", after=0) from error
            except LookupError:
                pass  # it cannot be swallowed

    gate = Gate()
    app.use(gate)

    @app.task(name="t", retries=1)
    def task(kind: str) -> int:
        if kind == "key" and current_job().attempt == 1:
            raise KeyError
        if kind == "index":
            raise IndexError("out")
        if kind == "stop":
            raise StopIteration("mine")
        return current_job().attempt

    gate.before = "not today"
    with pytest.raises(PermissionError, match="not today"):
        task.enqueue("")
    assert list(app.jobs()) == []
    gate.before, gate.after = "", "too late"
    job = task.enqueue("key")  # stored: the error is told and no more
    assert "too late" in caplog.text
    gate.after = ""
    with app.worker():
        assert job.result(timeout=10) == 2
        with pytest.raises(JobFailed, match="out"):
            task.options(retries=0).enqueue("index").result(timeout=10)
        with pytest.raises(JobFailed, match="mine") as stopped:
            task.options(retries=0).enqueue("stop").result(timeout=10)
        assert stopped.value.kind == "StopIteration"


@pytest.mark.parametrize("context", [{"a": 1}, {1: "a"}, {"a": "x" * 9_000}])
def test_a_context_that_cannot_be_carried_is_refused(app: Sidework, context: Any) -> None:
    class Adding(Middleware):
        def enqueue(self, handover: Handover) -> Steps:
            handover.context.update(context)
            yield

    app.use(Adding())

    @app.task(name="t")
    def task() -> None: ...

    with pytest.raises(BadValue, match="context"):
        task.enqueue()
    assert list(app.jobs()) == []


def test_what_is_no_middleware_is_refused_and_so_is_one_that_yields_never_or_twice(
    app: Sidework,
) -> None:
    with pytest.raises(BadValue, match=r"derived from sidework\.Middleware"):
        app.use(lambda call: None)  # type: ignore[arg-type]
    with pytest.raises(BadValue, match="expected one of enqueued, started, ended"):
        app.on("begun")  # type: ignore[arg-type]

    class Never(Middleware):
        def attempt(self, job: Any) -> Steps:
            if job.task == "twice":
                yield
                yield

    app.use(Never())

    @app.task(name="twice")
    def twice() -> None: ...

    @app.task(name="never")
    def never() -> None: ...

    class Awaiting(Middleware):
        async def enqueue(self, handover: Handover) -> Any:  # type: ignore[override]
            yield

    with app.worker():
        for task, said in ((twice, "yielded twice"), (never, "did not yield")):
            with pytest.raises(JobFailed, match=said):
                task.enqueue().result(timeout=10)
    app.use(Awaiting())
    with pytest.raises(SideworkError, match=r"Awaiting\.enqueue is no generator"):
        twice.enqueue()


def test_observers_look_on_and_never_disturb(
    app: Sidework, caplog: pytest.LogCaptureFixture
) -> None:
    seen: list[Signal] = []
    for kind in ("enqueued", "started", "ended"):
        app.on(kind)(seen.append)

    @app.on("started")
    @app.on("ended")
    def wrong(signal: Signal) -> None:
        # The second of these is no `Exception`: it must not end the thread, or the loop, that runs jobs.
        raise OSError("no disk") if signal.id == job.id else SystemExit(3)

    @app.task(name="t")
    def task() -> int:
        return 1

    @app.task(name="u")
    async def coroutine() -> int:
        return 2

    with caplog.at_level(logging.ERROR):
        job = task.enqueue()
        exits = [task.enqueue(), coroutine.enqueue()]
        with app.worker():
            assert job.result(timeout=10) == 1
            assert [one.result(timeout=10) for one in exits] == [1, 2]
            seen = [one for one in seen if one.id == job.id]
    assert [(one.kind, one.id, one.attempt, one.outcome) for one in seen] == [
        ("enqueued", job.id, 0, None),
        ("started", job.id, 1, None),
        ("ended", job.id, 1, "completed"),
    ]
    assert "an observer of 'started' failed" in caplog.text
