"""``sidework dev``: it follows the code, loses nothing that runs, and survives what cannot be read."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
from pathlib import Path

from commands import ok, refused
from conftest import PATIENCE, Place, Worker, until

SHOP = """
from pathlib import Path
from time import sleep
from sidework import Sidework

app = Sidework()

@app.task
def version() -> int:
    return 1

@app.task
def lasting() -> int:
    Path("begun").touch()
    while not Path("enough").exists():
        sleep(0.01)
    return 1
"""


def dev(place: Place, *words: str) -> Worker:
    log = place.folder / "dev.log"
    with open(log, "w", encoding="utf-8") as file:
        process = subprocess.Popen(
            [sys.executable, "-m", "sidework", "dev", *words, "--children", "1"],
            cwd=place.folder, env=place.env, stdout=file, stderr=file, text=True,
        )  # fmt: skip
    place.started.append(process)
    worker = Worker(process, log)
    worker.says("ready for")
    return worker


def ready(worker: Worker) -> int:
    return len(re.findall("ready for", worker.said))


def test_it_follows_the_code(place: Place) -> None:
    place.write("shop.py", SHOP)
    worker = dev(place, "shop")  # makes the database too: nobody has enqueued yet
    assert ok(place, "run", "shop:version", "--wait") == "1"
    worker.says(r"\(shop:version\), attempt 1 of 1: completed in .+ \(\d\d:\d\d:\d\d\.\d{3} to ")
    lasting = ok(place, "run", "shop:lasting")
    until(lambda: (place.folder / "begun").exists(), "the start of the job")

    place.write("shop.py", SHOP + "def broken(:\n")
    worker.says(
        r"shop\.py: SyntaxError: invalid syntax \(line \d+\); the worker from before .* goes on"
    )
    place.write("shop.py", SHOP + "import nowhere\n")
    worker.says(r"No module named 'nowhere'[^\n]*\n[^\n]*could not start; the worker from before")
    assert ready(worker) == 1

    place.write("shop.py", SHOP.replace("return 1", "return 2"))
    worker.says(r"shop\.py changed: starting a new worker\n(.*\n)+.*draining")
    assert ok(place, "run", "shop:version", "--wait") == "2"
    # The old one drains already: to it this is not a second word.
    worker.process.send_signal(signal.SIGINT)
    worker.says(r"(?s)draining.*draining")
    place.write("enough", "")
    worker.says(r"\(shop:lasting\), attempt 1 of 1: completed")
    assert worker.process.wait(PATIENCE) == 0
    shown = ok(place, "jobs", "show", lasting, "--json", "--app", "shop")
    assert '"result": 1' in shown, "by the code that it began with"
    assert ready(worker) == 2
    assert "the worker ended" not in worker.said


def test_without_it_the_worker_leaves_too(place: Place) -> None:
    place.write("shop.py", SHOP)
    worker = dev(place, "shop", "--log-format", "json")
    (child,) = worker.children()
    worker.process.kill()
    worker.process.wait()
    until(lambda: '"draining' in worker.said, "the end of the worker")
    until(lambda: not Path(f"/proc/{child}/exe").exists(), "its end")


def test_what_it_needs_is_said(place: Place) -> None:
    place.write("watchfiles.py", "raise ImportError")
    assert "pip install 'sidework[dev]'" in refused(place, "dev", "shop")
