"""The app of row 36: a wide fan and what it leads to; each run leaves lines outside the store."""

import asyncio
import os
import time
from pathlib import Path

from sidework import JobEnd, Sidework, current_job

app = Sidework()
LOG = Path(__file__).parent / "runs.log"


def wrote(what: str) -> None:
    """One line, written whole (O_APPEND): what, job, fence, process, its worker, monotonic ns."""
    job = current_job()
    at = time.monotonic_ns()
    fd = os.open(LOG, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.write(fd, f"{what} {job.id} {job.fence} {os.getpid()} {os.getppid()} {at}\n".encode())
    os.close(fd)


@app.task
async def coroutine(milliseconds: int) -> int:
    wrote("start")
    await asyncio.sleep(milliseconds / 1000)
    wrote("end")
    return milliseconds


@app.task
def told(end: JobEnd) -> str:
    return f"{end.state} {end.result}"


@app.task(on_final=told)
def gathered(parts: list[int]) -> int:
    wrote("start")
    wrote("end")
    return len(parts)
