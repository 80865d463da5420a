"""The app under fire: each job leaves a line at its start and at its end, outside the store."""

import asyncio
import os
import threading
import time
from pathlib import Path

from sidework import Sidework, current_job

app = Sidework()
HERE = Path(__file__).parent
LOG = HERE / "runs.log"
never = threading.Event()


def wrote(what: str) -> None:
    """One line, written whole (O_APPEND): what, job, fence, process, its worker, monotonic ns."""
    job = current_job()
    at = time.monotonic_ns()
    fd = os.open(LOG, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.write(fd, f"{what} {job.id} {job.fence} {os.getpid()} {os.getppid()} {at}\n".encode())
    os.close(fd)


@app.task
def work(milliseconds: int) -> int:
    wrote("start")
    never.wait(milliseconds / 1000)
    wrote("end")
    return milliseconds


@app.task
async def coroutine(milliseconds: int) -> int:
    wrote("start")
    await asyncio.sleep(milliseconds / 1000)
    wrote("end")
    return milliseconds


@app.task(runner="process")
def alone(milliseconds: int) -> int:
    wrote("start")
    never.wait(milliseconds / 1000)
    wrote("end")
    return milliseconds
