"""The app of row 27: it hands back what it gets, and returns and raises what nobody should."""

import asyncio
import os
from collections.abc import Callable
from typing import Any

from sidework import Discard, Retry, Sidework, Snooze, current_job

app = Sidework()


@app.task
def echo(value: Any) -> Any:
    return value


@app.task
async def echo_coroutine(value: Any) -> Any:
    await asyncio.sleep(0)
    return value


@app.task(runner="process")
def echo_alone(value: Any) -> Any:
    return value


@app.task
def process() -> int:
    return os.getpid()


# Text is sent as numbers of characters: lone surrogates could not come in as arguments.


def text(points: list[int]) -> str:
    return "".join(map(chr, points))


@app.task
def give_text(points: list[int]) -> str:
    return text(points)


@app.task
async def give_text_coroutine(points: list[int]) -> str:
    return text(points)


ENDS: dict[str, Callable[[str], BaseException]] = {
    "error": ValueError,
    "retry": Retry,
    "discard": Discard,
    "snooze": lambda reason: Snooze(0, reason),
}


def end(kind: str, points: list[int]) -> None:
    job = current_job()
    if kind == "snooze" and job.fence > 2:  # once is enough
        kind = "error"
    raise ENDS[kind](text(points))


@app.task
def raise_text(kind: str, points: list[int]) -> None:
    end(kind, points)


@app.task
async def raise_text_coroutine(kind: str, points: list[int]) -> None:
    end(kind, points)


@app.task(runner="process")
def raise_text_alone(kind: str, points: list[int]) -> None:
    end(kind, points)


# Results and errors that are worse than text --------------------------------------------------------


def cycle() -> Any:
    made: list[Any] = []
    made.append(made)
    return made


def deep(levels: int) -> Any:
    made: Any = 0
    for _ in range(levels):
        made = [made]
    return made


class Loud:
    def __repr__(self) -> str:
        raise SystemExit

    __str__ = __repr__


class Pretender(dict[Any, Any]):
    def items(self) -> Any:
        raise SystemExit

    __iter__ = keys = values = items


class Model:
    __pydantic_core_schema__ = None

    def model_dump(self, **how: Any) -> Any:
        raise SystemExit


RESULTS: list[Callable[[], Any]] = [
    lambda: float("nan"),
    lambda: {"a": [float("inf")]},
    lambda: {1: 2},
    lambda: {None: 2},
    lambda: {("a",): 2},
    lambda: {"\ud800": 1},
    cycle,
    lambda: deep(100_000),
    lambda: object(),
    lambda: print,
    lambda: (n for n in "abc"),
    lambda: Loud(),
    lambda: [Loud()],
    lambda: Model(),
    lambda: Exception("\ud800"),
    lambda: 10**5_000,
    lambda: 1j,
    lambda: "x" * (2 * 2**20),
    lambda: ["x" * 2**10] * 2**11,
    lambda: type("\ud800", (), {})(),
]


class Silent(Exception):
    def __str__(self) -> str:
        raise RuntimeError


class Leaves(Exception):
    def __str__(self) -> str:
        raise SystemExit(3)


class NoText(Exception):
    def __str__(self) -> Any:
        return 7


class Unmade(Snooze):
    def __init__(self) -> None:
        pass


class Untold(Retry):
    def __init__(self) -> None:
        pass


def circular() -> BaseException:
    first, second = ValueError("a"), ValueError("b")
    first.__cause__, second.__cause__ = second, first
    return first


def chained() -> BaseException:
    made: BaseException = ValueError(0)
    for n in range(5_000):
        outer = ValueError(n)
        outer.__cause__ = made
        made = outer
    return made


def nested() -> BaseException:
    made: Exception = ValueError("\0")
    for _ in range(2_000):
        made = ExceptionGroup("\ud800", [made])
    return made


def noted() -> BaseException:
    made = ValueError("a")
    made.__notes__ = [Loud(), "\ud800", 7]
    return made


ERRORS: list[Callable[[], BaseException]] = [
    Silent,
    Leaves,
    NoText,
    Unmade,
    Untold,
    circular,
    chained,
    nested,
    noted,
    lambda: ValueError("\0\ud800" * 10),
    lambda: ValueError("x" * 5_000_000),
    lambda: ValueError("\ud800" * 2_000_000),
    lambda: ValueError(Loud()),
    lambda: type("\ud800\0" * 1000, (Exception,), {})("a"),
    lambda: UnicodeDecodeError("utf-8", b"\xff" * 100, 0, 1, "\ud800"),
    lambda: SystemExit(Loud()),
    KeyboardInterrupt,
    GeneratorExit,
    asyncio.CancelledError,
    StopIteration,
    StopAsyncIteration,
    MemoryError,
    RecursionError,
    lambda: BaseException("\0"),
]


@app.task
def give(number: int) -> Any:
    return RESULTS[number]()


@app.task
async def give_coroutine(number: int) -> Any:
    return RESULTS[number]()


@app.task(runner="process")
def give_alone(number: int) -> Any:
    return RESULTS[number]()


@app.task
def fail(number: int) -> None:
    raise ERRORS[number]()


@app.task
async def fail_coroutine(number: int) -> None:
    raise ERRORS[number]()


@app.task(runner="process")
def fail_alone(number: int) -> None:
    raise ERRORS[number]()
