"""The app of the tests of what jobs tell."""

import asyncio
import logging
import os
import threading
from collections.abc import AsyncIterator
from pathlib import Path

from sidework import Retry, Sidework, current_job, emit, progress, track

app = Sidework()
HERE = Path(__file__).parent
log = logging.getLogger("shop")
log.setLevel(logging.INFO)  # in an embedded worker the program says what is logged
never = threading.Event()


def tell(count: int) -> None:
    for n in range(count):
        progress(n, count, f"item {n}")
        log.info("item %d", n)
        emit({"item": n})
    progress(count, count, "done")


@app.task
async def coroutine(count: int) -> int:
    await asyncio.to_thread(tell, count)
    return count


@app.task
def thread(count: int) -> int:
    tell(count)
    return count


@app.task(runner="process")
def process(count: int) -> int:
    tell(count)
    return count


async def several(count: int) -> AsyncIterator[int]:
    for n in range(count):
        yield n


@app.task
async def tracks() -> list[int]:
    found = [n for n in track(range(3), note="plain")]
    async for n in track(several(2), total=2, note="async"):
        found.append(n)
    return found


@app.task
def waits(tag: int) -> None:
    """Tells a step whenever it is let on."""
    for step in range(1, 4):
        progress(step, 3)
        while not (HERE / f"step-{tag}-{step}").exists():
            never.wait(0.005)


@app.task(retries=1)
def fails_once() -> int:
    emit(f"attempt {current_job().attempt}")
    if current_job().attempt == 1:
        log.warning("it goes wrong", exc_info=ValueError("inside"))
        raise Retry("not yet", after=0)
    return 2


class Counted(float):
    """As the numbers of other libraries are: a float, and of a type of its own."""


class Unsaid:
    def __str__(self) -> str:
        raise OSError("no text")


@app.task
def wrong(how: str) -> None:
    if how == "backwards":
        progress(2)
        progress(1)
    elif how == "thread":
        failed: list[Exception] = []

        def run() -> None:
            try:
                progress(1)
            except Exception as error:  # noqa: BLE001
                failed.append(error)

        apart = threading.Thread(target=run)
        apart.start()
        apart.join()
        raise failed[0]
    elif how == "fork":
        pid = os.fork()
        if pid == 0:
            try:
                progress(1)
            except Exception:  # noqa: BLE001
                os._exit(7)
            os._exit(0)
        raise OSError(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
    elif how == "large":
        emit("x" * 70_000)
    elif how == "digits":
        progress(1, 10**5_000)
    elif how == "kind":
        progress(Counted(2), Counted(3))
        log.info(Unsaid())
        raise OSError("told")
    else:
        progress(float(how))


@app.task
def floods(count: int) -> int:
    for n in range(count):
        progress(n, count)
        log.info("record %d %s", n, "x" * 100)
        emit(n)
    return count
