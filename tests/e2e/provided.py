"""An app whose tasks are given resources of every kind; each opening and closing leaves a line in a log."""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Annotated

from sidework import Resource, Sidework, injected

app = Sidework()
HERE = Path(__file__).parent


def note(what: str) -> None:
    with open(HERE / "opened.log", "a") as file:
        file.write(f"{os.getpid()} {what}\n")


class Thing:
    def __init__(self, name: str) -> None:
        self.name = name
        self.open = True


@app.lifespan
async def first() -> AsyncIterator[None]:
    async with asyncio.TaskGroup() as group:  # has to be left in the task that entered it
        heart = group.create_task(asyncio.Event().wait())
        note("+first")
        yield
        heart.cancel()
    note("-first")


@app.lifespan
@contextlib.contextmanager
def second() -> Iterator[None]:
    note("+second")
    yield
    note("-second")


def _thing(name: str) -> Iterator[Thing]:
    note(f"+{name}")
    thing = Thing(name)
    yield thing
    thing.open = False
    note(f"-{name}")


def generator() -> Iterator[Thing]:
    yield from _thing("generator")


async def agenerator() -> AsyncIterator[Thing]:
    await asyncio.sleep(0)
    for thing in _thing("agenerator"):
        yield thing


@contextlib.contextmanager
def manager() -> Iterator[Thing]:
    yield from _thing("manager")


@contextlib.asynccontextmanager
async def amanager() -> AsyncIterator[Thing]:
    async with asyncio.TaskGroup() as group:
        beat = group.create_task(asyncio.Event().wait())
        for thing in _thing("amanager"):
            yield thing
        beat.cancel()


def function() -> Thing:
    note("+function")
    return Thing("function")


async def afunction() -> Thing:
    note("+afunction")
    return Thing("afunction")


Generator = Annotated[Thing, Resource(generator)]
AGenerator = Annotated[Thing, Resource(agenerator)]


def _told(*things: Thing) -> list[str]:
    assert all(thing.open for thing in things)
    return [thing.name for thing in things]


@app.task
async def on_loop(
    n: int,
    one: Generator = injected,
    two: AGenerator = injected,
    three: Annotated[Thing, Resource(manager)] = injected,
    *,
    four: Annotated[Thing, Resource(amanager)] = injected,
    five: Annotated[Thing, Resource(function)] = injected,
    six: Annotated[Thing | None, Resource(afunction)] = None,
) -> list[str]:
    assert six
    return _told(one, two, three, four, five, six)


@app.task
def in_thread(
    *numbers: int,
    one: Generator = injected,
    two: AGenerator = injected,
    **names: int,
) -> list[str]:
    return _told(one, two)


@app.task(runner="process")
def alone(one: Generator = injected, two: AGenerator = injected) -> tuple[int, list[str]]:
    return os.getpid(), _told(one, two)


@app.task(runner="process")
async def alone_too(
    one: Generator = injected,
    two: AGenerator = injected,
    *,
    four: Annotated[Thing, Resource(amanager)] = injected,
) -> tuple[int, list[str]]:
    _left.add(asyncio.create_task(asyncio.sleep(3600), name="left behind"))
    names = [task.get_name() for task in asyncio.all_tasks()]
    assert names.count("left behind") == 1  # not that of the job before
    return os.getpid(), _told(one, two, four)


_left: set[asyncio.Task[None]] = set()


def away() -> Thing:
    marker = HERE / "there"
    if not marker.exists():
        raise ConnectionError("nobody listens")
    return Thing("there")


async def away_too() -> AsyncIterator[Thing]:
    yield away()


@app.task(retries=1, backoff="1s", discard_on=Exception)
def needs(thing: Annotated[Thing, Resource(away)] = injected) -> str:
    return thing.name


@app.task(retries=1, backoff="1s", retry_on=KeyError)
async def needs_too(thing: Annotated[Thing, Resource(away_too)] = injected) -> str:
    return thing.name
