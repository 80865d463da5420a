"""Jobs that depend on jobs, and callbacks, with a real worker: as a program and on the command line."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from conftest import Place, until
from sidework import BadTask, BadValue, JobConflict, JobFailed
from sidework.tasks.finding import find_app

APP = """
    from __future__ import annotations

    import threading
    from dataclasses import dataclass

    from sidework import InputFailed, JobEnd, JobFailure, Sidework, current_job

    app = Sidework()


    @dataclass
    class Point:
        x: int


    @app.task
    def told(end: JobEnd) -> str:
        return f"{end.state} {end.result} {end.failure and end.failure.kind}"


    @app.task(queue="complaints")
    def complained(failure: JobFailure) -> str:
        return failure.message


    @app.task(on_final=told, on_failure=complained)
    def plus(a: int, b: int = 0) -> int:
        if a < 0:
            raise ValueError(f"{a} is below 0")
        return a + b


    @app.task(unique=True)
    def once(n: int, other: int = 0) -> int:
        return n


    @app.task
    def total(numbers: list[int]) -> int:
        return sum(numbers)


    @app.task(on_input_failure="continue")
    async def judged(one: Point | InputFailed, more: dict[str, int | InputFailed], rest) -> list[str]:
        kinds = [type(value).__name__ for value in (one, *more.values(), *rest)]
        return kinds


    @app.task
    def point(x: int) -> Point:
        return Point(10 // x)


    @app.task
    def grow(width: int) -> str:
        parts = [plus.bind(n, 1) for n in range(width)]
        whole = total.bind([part.output for part in parts])
        app.enqueue_many([*parts, whole])
        return whole.id


    @app.task
    def large(megabytes: float) -> str:
        return "x" * int(megabytes * 1_000_000)


    @app.task
    def lengths(texts: list[str]) -> int:
        return sum(map(len, texts))
"""


@contextmanager
def shop(place: Place) -> Iterator[Any]:
    """The app as the test's own program sees it, and a worker of it."""
    path = place.write("shop.py", APP)
    app: Any = find_app(str(path))
    app.url = f"sqlite:///{place.url}" if place.url.startswith("/") else place.url
    app.store  # noqa: B018 - made, so that workers start
    yield app
    app.close()


def test_a_graph_runs_in_order_and_a_whole_is_shown_and_retried(place: Place) -> None:
    with shop(place) as app:
        plus, total, judged, point = (
            app.registry.get(f"shop:{name}") for name in ("plus", "total", "judged", "point")
        )
        place.worker("shop", "--children", "1")
        first = plus.enqueue(1, 2)
        second = plus.enqueue(first.output, b=first.output)
        assert total.enqueue([first.output, second.output, 5]).result(timeout=20) == 14
        grown = app.registry.get("shop:grow").enqueue(520).result(timeout=20)
        assert app.job(grown).result(timeout=20) == sum(range(1, 521))
        late = total.options(after=[second, first]).enqueue([1])
        assert late.result(timeout=20) == 1

        # An input fails: what waits is cancelled, or told, in whatever it was to stand.
        failed = plus.enqueue(-1)
        gone = plus.enqueue(failed.output)
        lost = point.enqueue(0)
        brave = judged.enqueue(
            lost.output, {"a": failed.output, "b": first.output}, [gone.output, 1]
        )
        assert brave.result(timeout=20) == [
            "InputFailed", "InputFailed", "int", "InputFailed", "int",
        ]  # fmt: skip
        assert gone.info().note == f"its input {failed.id} was discarded"
        mute = total.options(on_input_failure="continue").enqueue([failed.output])
        with pytest.raises(JobFailed, match=r"-1 is below 0.*no InputFailed is annotated"):
            mute.result(timeout=20)
        ended = [job.result for job in app.jobs(task="told") if job.result != "completed 1 None"]
        assert "discarded None ValueError" in ended
        until(lambda: any(job.result == "-1 is below 0" for job in app.jobs(task="complained")))
        assert {job.queue for job in app.jobs(task="complained")} == {"complaints"}

        whole = app.workflow(gone.id)
        assert {job.id for job in whole.jobs()} >= {failed.id, gone.id, lost.id, brave.id, mute.id}
        shown = place.sidework("workflows", "show", gone.id, "--url", app.url).stdout
        assert f"shop:plus {gone.id} cancelled after" in shown
        shown = place.sidework("workflows", "show", grown, "--url", app.url).stdout
        assert "… 515 more shop:plus: 515 completed" in shown
        assert f"└─ 521 shop:total {grown} completed after 1, 2, 3, 4, 516 more" in shown

        # Which of them failed is told to the last in the line, and a retry of that alone is no help.
        deep = plus.enqueue(plus.enqueue(gone.output).output)
        assert deep.wait(timeout=20) == "cancelled"
        assert place.sidework("explain", deep.id, "--url", app.url).stdout.splitlines()[2:] == [
            f"- it began with {failed.id} (shop:plus), discarded: ValueError: -1 is below 0",
            f"- to run it again, and what it needs: sidework workflows retry {deep.id}",
        ]
        refused = place.sidework("jobs", "retry", deep.id, "--url", app.url)
        assert f"sidework workflows retry {deep.id}" in refused.stderr
        assert deep.state == "cancelled"
        assert deep.retry()
        assert deep.wait(timeout=20) == "cancelled"
        shown = place.sidework("jobs", "show", deep.id, "--url", app.url).stdout.splitlines()
        assert shown[-1] == "attempt 1: cancelled"
        told = place.sidework("workflows", "retry", gone.id, "--url", app.url).stdout
        assert told == "6 jobs live again\n"
        assert mute.wait(timeout=20) == "discarded"

        # More than a job may be given shows only when it is there.
        large, lengths = (app.registry.get(f"shop:{name}") for name in ("large", "lengths"))
        much = lengths.enqueue([large.enqueue(0.6).output for _ in range(2)])
        with pytest.raises(JobFailed, match="2 inputs take more than the cap"):
            much.result(timeout=20)


def test_what_many_together_cannot_be_is_told_with_what_is_stored(place: Place) -> None:
    with shop(place) as app:
        plus, once = app.registry.get("shop:plus"), app.registry.get("shop:once")
        held = once.options(delay="1h").enqueue(3)
        first, second = plus.enqueue(0), once.bind(3)
        assert once.options(id=held.id).enqueue(3).existing is False
        for clash, why in (
            ([second, plus.bind(second.output)], "another holds its unique key"),
            ([plus.options(id=held.id, after=[first]).bind(1)], "an id names one job for ever"),
        ):
            many = [plus.bind(n) for n in range(500)]
            with pytest.raises(JobConflict) as refused:
                app.enqueue_many([*many, plus.bind(1), *clash])
            told = f"{why}; nothing of its chunk is stored, and the 500 before it are"
            assert str(refused.value).endswith(told)
        assert sum(1 for _ in app.jobs()) == 2 + 2 * 500

        async def neighbours() -> list[object]:
            wrong = plus.options(id=held.id, after=[first])
            calls = [plus.aenqueue(0), wrong.aenqueue(1), wrong.aenqueue(1), plus.aenqueue(2)]
            return await asyncio.gather(*calls, return_exceptions=True)

        kinds = [type(one).__name__ for one in asyncio.run(neighbours())]
        assert kinds == ["Handle", "JobConflict", "JobConflict", "Handle"]


def test_an_output_where_its_value_is_wanted_says_what_to_do(place: Place) -> None:
    with shop(place) as app:
        once, first = app.registry.get("shop:once"), app.registry.get("shop:plus").enqueue(1)
        for unique, what in (
            (True, "`n` is not known yet"),
            (lambda n: n, "what its function gives is not known yet"),
        ):
            with pytest.raises(BadValue, match=f"{what}.*options.unique=False"):
                once.options(unique=unique).enqueue(first.output)
        assert not once.options(unique="other").enqueue(first.output).existing
        assert not once.options(unique=False).enqueue(first.output).existing
        point = app.registry.get("shop:point").signature.returns
        with pytest.raises(BadValue, match="in a list, tuple or dict") as refused:
            once.options(unique=False).enqueue(point(first.output))
        assert type(refused.value) is BadValue


def test_a_whole_is_cancelled_and_what_is_asked_for_wrongly_is_refused(place: Place) -> None:
    with shop(place) as app:
        plus, total = app.registry.get("shop:plus"), app.registry.get("shop:total")
        first = plus.options(delay="1h").enqueue(1)
        last = total.enqueue([plus.enqueue(first.output).output, 1])
        assert app.job(last.id).info().arguments["numbers"][1] == 1
        assert place.sidework("explain", last.id, "--url", app.url).stdout.count("waits for 1 job")
        told = place.sidework("workflows", "cancel", first.id, "--url", app.url).stdout
        assert told == "3 jobs cancelled or asked\n"
        assert {job.note for job in app.workflow(last.id).jobs()} == {"cancelled with its workflow"}

        other: Any = type(app)(f"sqlite:///{place.folder}/elsewhere.db")

        @other.task(name="far")
        def far(n: int) -> int:
            return n

        there = far.enqueue(1)
        for call in (
            lambda: plus.enqueue(there.output),
            lambda: plus.options(after=[there]).enqueue(1),
            lambda: plus.options(after=first).enqueue(1),
            lambda: plus.options(on_final=far).enqueue(1),
            lambda: plus.options(on_final=print).enqueue(1),
            lambda: plus.options(on_final=plus.options(id=first.id)).enqueue(1),
            lambda: plus.options(on_input_failure="wait").enqueue(1),
            lambda: plus.enqueue({first.output}),
            lambda: total.enqueue([first.output] * 30_000),
        ):
            with pytest.raises(BadValue) as refused:
                call()
            assert "\n" not in str(refused.value)
        with pytest.raises(BadTask, match="one argument"):
            plus.options(on_final=app.registry.get("shop:judged"))
        with pytest.raises(TypeError, match=r"\$\.b"):
            plus.enqueue(first.output, "x")
        other.close()
