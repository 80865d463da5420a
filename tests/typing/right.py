"""Users' code that type checkers must accept, and what they must find its types to be."""

from collections.abc import AsyncIterator, Coroutine, Iterator
from concurrent.futures import Future
from typing import Annotated, Any, assert_type

from sidework import (
    InputFailed,
    JobEnd,
    JobHandle,
    Resource,
    Sidework,
    State,
    as_completed,
    injected,
)
from sidework.tasks.task import Bound

app = Sidework()


@app.task
def add(a: int, b: int = 1) -> int:
    return a + b


@app.task(queue="mail", retries=3, timeout="30s", backoff=lambda attempt: attempt * 2,
          on_partition="stop")  # fmt: skip
async def welcome(user: str) -> list[str]:
    return [user]


@app.task()
def nothing() -> None: ...


assert_type(add(1, 2), int)
coroutine = assert_type(welcome("a"), Coroutine[Any, Any, list[str]])
assert_type(add.enqueue(1, b=2), JobHandle[int])
assert_type(add.enqueue(1).result(timeout=5), int)
assert_type(welcome.enqueue("a").result(), list[str])
assert_type(nothing.enqueue().result(), None)
assert_type(add.bind(1, 2), Bound[int])
assert_type(add.options(delay="5m", priority=3).enqueue(1), JobHandle[int])
assert_type(app.enqueue_many(add.bind(n) for n in range(3)), int)
assert_type(add.enqueue(1).state, State)


@app.lifespan
async def connected() -> AsyncIterator[None]:
    yield


def get_file() -> Iterator[bytes]:
    yield b""


@app.task
def given(n: int, file: Annotated[bytes, Resource(get_file)] = injected) -> bytes:
    return file[:n]


assert_type(given.enqueue(1), JobHandle[bytes])  # what is injected may be left out
assert_type(given(1, b"mine"), bytes)


@app.task
def risky(n: int | InputFailed) -> int:
    return 0 if isinstance(n, InputFailed) else n


@app.task
def ended(end: JobEnd, mood: str = "") -> None: ...


@app.task(on_final=ended, on_failure=ended.options(priority=5), on_input_failure="continue")
def joined(numbers: list[int]) -> int:
    return sum(numbers)


assert_type(add.enqueue(1).output, int)
assert_type(add.bind(1).output, int)
joined.enqueue([add.enqueue(1).output, add.bind(2).output, 3])
risky.options(after=[add.enqueue(1), add.bind(1)], on_final=None).enqueue(add.enqueue(1).output)
add.enqueue(add.enqueue(1).output, add.enqueue(2).output)


assert_type(add.enqueue(1).future(), Future[int])
assert_type([job.result() for job in as_completed([add.enqueue(1), add.enqueue(2)])], list[int])
welcome.enqueue("a").add_done_callback(lambda job: assert_type(job, JobHandle[list[str]]))


async def main() -> None:
    assert_type(await welcome("a"), list[str])
    assert_type(await add.aenqueue(1), JobHandle[int])
    assert_type(await (await welcome.aenqueue("a")).aresult(), list[str])
    async with app.worker():
        assert_type(await welcome.options(tags=["x"]).aenqueue("a"), JobHandle[list[str]])


def later(job: JobHandle[int]) -> int:
    return job.result("5s")


later(add.enqueue(1))
