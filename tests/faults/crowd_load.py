"""The app of row 26: calls to a service that keeps everybody waiting, and then refuses all at once."""

import asyncio
import os
import time
from pathlib import Path

from sidework import Retry, Sidework, current_job

app = Sidework()
HERE = Path(__file__).parent
LOG = HERE / "runs.log"


def wrote(what: str) -> None:
    """One line, written whole (O_APPEND): what, job, fence, process, its worker, monotonic ns."""
    job = current_job()
    at = time.monotonic_ns()
    fd = os.open(LOG, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.write(fd, f"{what} {job.id} {job.fence} {os.getpid()} {os.getppid()} {at}\n".encode())
    os.close(fd)


watching: list["asyncio.Future[None]"] = []


async def refusal() -> None:
    """One of a process looks, for all of its calls."""
    if not watching:
        watching.append(asyncio.ensure_future(look()))
    await asyncio.wait(watching)


async def look() -> None:
    while not (HERE / "refused").exists():
        await asyncio.sleep(0.05)


@app.task(retries=10)
async def call(refused_at: int) -> str:
    """The service keeps it waiting at this attempt and then refuses, and answers at the next."""
    attempt = current_job().attempt
    if attempt < refused_at:
        raise Retry(after="1ms")
    wrote("start")
    try:
        if attempt > refused_at:
            return "answered"
        await refusal()
        raise ConnectionResetError("refused")
    finally:
        wrote("end")
