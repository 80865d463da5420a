"""The app of row 28: jobs that tell more than anybody could keep."""

import asyncio
import logging

from sidework import Sidework, emit, progress

app = Sidework()
log = logging.getLogger("flood")
log.propagate = False  # it is the store's flood that is looked at, not the terminal's


def flood(calls: int) -> int:
    for n in range(1, calls + 1):
        progress(n, calls, "x" * 200)
        log.info("record %d of %d: %s", n, calls, "y" * 300)
        if n % 2 == 0:
            emit({"n": n, "text": "z" * 500})
    return calls


@app.task
def thread(calls: int) -> int:
    return flood(calls)


@app.task
async def coroutine(calls: int) -> int:
    for _ in range(4):
        await asyncio.sleep(0)
    return await asyncio.to_thread(flood, calls)


@app.task(runner="process")
def process(calls: int) -> int:
    return flood(calls)


@app.task
def quick() -> None: ...
