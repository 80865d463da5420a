"""What is injected is no argument: it is refused at the call, needed by a plain call, left out of what
is stored. Mistakes in declaring it are told in a line."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Annotated, Any

import pytest

from sidework import BadTask, Resource, Sidework, injected
from sidework.testing import Sandbox


def get() -> str:
    return "opened"


told: list[str] = []


async def aget() -> AsyncIterator[str]:
    told.append("+aget")
    yield "awaited"
    told.append("-aget")


Got = Annotated[str, Resource(get)]


@pytest.fixture
def app(tmp_path: Path) -> Sidework:
    return Sidework(str(tmp_path / "jobs.db"))


def test_whoever_enqueues_leaves_it_out(app: Sidework) -> None:
    @app.task(name="save")
    def save(
        n: int, got: Got = injected, *, more: Annotated[Any, Resource(get)] = None
    ) -> None: ...

    assert save.enqueue(1).info().arguments == {"n": 1}
    assert save.enqueue(n=1).info().arguments == {"n": 1}
    for name, give in {
        "got": lambda: save.enqueue(1, "mine"),  # by position
        "got ": lambda: save.bind(1, got="mine"),
        "more": lambda: save.options(delay=1).enqueue(1, more="mine"),
    }.items():
        with pytest.raises(
            TypeError, match=f"save: '{name.strip()}' is injected when the job runs"
        ):
            give()
    with pytest.raises(TypeError, match=r"save\(n: 'int'\) -> 'None': missing a required"):
        save.enqueue()
    assert len(list(app.jobs())) == 2


def test_not_even_as_one_of_any_names(app: Sidework) -> None:
    @app.task(name="save")
    def save(*, got: Got = injected, **names: str) -> None: ...

    with pytest.raises(TypeError, match="'got' is injected"):
        save.enqueue(got="mine")


def test_a_plain_call_passes_it(app: Sidework) -> None:
    @app.task(name="save")
    def save(n: int, got: Got = injected) -> str:
        return f"{n} {got}"

    assert save(1, "mine") == save(1, got="mine") == "1 mine"
    with pytest.raises(
        TypeError, match="save: 'got' is injected in a job only: a plain call passes"
    ):
        save(1)


def test_a_plain_call_may_have_a_default_of_its_own(app: Sidework) -> None:
    @app.task(name="save")
    def save(n: int, got: Annotated[str | None, Resource(get)] = None) -> str:
        return f"{n} {got}"

    assert save(1) == "1 None"


def test_what_cannot_be_injected_is_told(app: Sidework) -> None:
    def no_resource(got: str = injected) -> None: ...

    def no_call(got: Annotated[str, Resource] = injected) -> None: ...

    def first(got: Got, n: int) -> None: ...

    def before_many(got: Got = injected, *many: int) -> None: ...

    def many(*got: Got) -> None: ...

    for function, said in {
        no_resource: "no_resource: nothing says what 'got' is given: annotate it as got: Annotated",
        no_call: r"no_call: 'got' is annotated Resource: say what it is given: Resource\(get\)",
        first: r"first: 'got' is injected: put it behind 'n', or behind \*",
        before_many: "before_many: 'got' is injected: put it behind 'many'",
        many: "many: 'got' cannot be injected",
    }.items():
        with pytest.raises(BadTask, match=said):
            app.task(name=function.__name__)(function)

    @app.task(name="later")
    def later(of: Later, got: Got, n: int) -> None: ...  # type: ignore[name-defined]  # noqa: F821

    with pytest.raises(BadTask, match="annotation cannot be read: name 'Later' is not defined"):
        later.enqueue()
    with pytest.raises(
        BadTask, match=r"Resource\(.*lambda>\): expected .* no arguments: missing .* 'x'"
    ):
        Resource(lambda x: x)
    with pytest.raises(
        BadTask, match=r"lifespan .*lambda.*: expected a function that takes no arguments"
    ):
        app.lifespan(lambda x: x)


def test_a_sandbox_gives_them_too(app: Sidework) -> None:
    told.clear()

    @app.lifespan
    def span() -> Iterator[None]:
        told.append("+span")
        yield
        told.append("-span")

    @app.task(name="plain")
    def plain(
        got: Annotated[str, Resource(get)] = injected, *, more: Annotated[str, Resource(aget)] = ""
    ) -> str:
        return got + more

    @app.task(name="coroutine")
    async def coroutine(more: Annotated[str, Resource(aget)] = injected) -> str:
        return more

    with Sandbox(app) as sandbox:
        assert sandbox.run(plain.enqueue()).result == "openedawaited"
        assert sandbox.run(coroutine.enqueue()).result == "awaited"
    assert told == ["+span", "+aget", "-aget", "-span"]

    async def in_a_coroutine() -> None:
        with Sandbox(app) as sandbox:
            assert (await sandbox.arun(await coroutine.aenqueue())).result == "awaited"
            assert (await sandbox.arun(await plain.aenqueue())).result == "openedawaited"

    asyncio.run(in_a_coroutine())
    assert told[4:] == ["+span", "+aget", "-aget", "-span"]
