"""The app under fire: its job leaves a line at its start and at its end, outside the store."""

import os
import threading
from pathlib import Path

from sidework import Sidework, current_job

app = Sidework()
LOG = Path(__file__).parent / "runs.log"


def wrote(what: str) -> None:
    job = current_job()
    fd = os.open(LOG, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.write(fd, f"{what} {job.id} {job.fence}\n".encode())
    os.close(fd)


@app.task
def work(milliseconds: int) -> int:
    wrote("start")
    threading.Event().wait(milliseconds / 1000)
    wrote("end")
    return milliseconds
