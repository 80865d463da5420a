"""``sidework init``, ``top`` and ``completion``."""

from __future__ import annotations

import io
import os
import pty
import shutil
import signal
import subprocess
import sys
import threading

import pytest
from rich.console import Console

from commands import SHOP, ok, plain, refused
from conftest import Place, until
from sidework.cli.main import COMMANDS
from sidework.cli.top import Look, frame
from sidework.job import QueueRow, WorkerRow


def test_init_writes_an_app_that_runs_and_a_test_that_passes(place: Place) -> None:
    place.without_url = True
    said = ok(place, "init", "my shop")
    assert said.splitlines()[-2:] == [
        "  cd 'my shop' && sidework dev jobs",
        "  cd 'my shop' && sidework run jobs:greet world --wait",
    ]
    folder = place.folder / "my shop"
    tested = place.python("-m", "pytest", "-q", "-p", "no:hypothesispytest", str(folder))
    assert "2 passed" in tested.stdout, tested.stdout + tested.stderr
    assert len(ok(place, "run", f"{folder}/jobs.py:greet", "world")) == 36


def test_init_names_a_command_that_is_there(place: Place) -> None:
    place.write("watchfiles.py", "raise ImportError")
    assert "  cd new && sidework worker jobs" in ok(place, "init", "new").splitlines()


@pytest.mark.parametrize("name", ["jobs.py", "test_jobs.py"])
def test_init_overwrites_nothing(place: Place, name: str) -> None:
    place.write(name, "mine")
    assert f"{name} is there already, and stays as it is" in refused(place, "init")
    assert [(path.name, path.read_text()) for path in place.folder.iterdir()] == [(name, "mine")]


def test_top_shows_queues_jobs_and_workers(place: Place) -> None:
    place.write("shop.py", SHOP)
    ok(place, "run", "shop:add", "1")
    ok(place, "queues", "pause", "mail", "--app", "shop", "--why", "[red]no money")
    shown = ok(place, "top", "--app", "shop", "--once").splitlines()
    assert shown[1] == "1 available"
    rows = [line.split() for line in shown]
    assert ["default", "1", "0", "0", "0", "0", "0", "-"] in rows
    assert any("paused: [red]no money" in line for line in shown)
    assert "nothing runs" in shown
    assert "no workers" in shown


def test_top_counts_what_ends() -> None:
    def look(at: float, completed: int) -> Look:
        queue = QueueRow("mail", counts={"completed": completed, "running": 2})
        worker = WorkerRow(7, "box", 4, None, 0, (), True)
        return Look(at, [queue, QueueRow(f"new-{at}")], [], [worker])

    out = io.StringIO()
    console = Console(file=out, width=120)
    console.print(frame("jobs.db", look(1.0, 10), look(3.0, 1010)))
    rows = [line.split() for line in out.getvalue().splitlines()]
    assert ["mail", "0", "2", "0", "0", "0", "1,010", "500.0"] in rows
    assert ["new-3.0", *["0"] * 6, "-"] in rows
    assert ["7", "box", "4", "alive"] in [row[:4] for row in rows]


def test_top_lives_until_control_c(place: Place) -> None:
    place.write("shop.py", SHOP)
    ok(place, "run", "shop:add", "1")
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "sidework", "top", "--app", "shop", "--interval", "0.1"],
        cwd=place.folder, env={**place.env, "TERM": "xterm-256color"},
        stdin=theirs, stdout=theirs, stderr=theirs,
    )  # fmt: skip
    os.close(theirs)
    shown = bytearray()

    def read() -> None:
        try:
            while part := os.read(ours, 65536):
                shown.extend(part)
        except OSError:
            return  # Linux: nobody has the other end any more

    reader = threading.Thread(target=read)
    reader.start()
    until(lambda: shown.count(b"ended/s") >= 2, "a second frame")
    process.send_signal(signal.SIGINT)
    assert process.wait(20) == 0
    reader.join()
    os.close(ours)
    assert any("default" in line for line in plain(shown.decode()))


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_is_a_script_of_the_shell(place: Place, shell: str) -> None:
    script = ok(place, "completion", shell)
    assert "_SIDEWORK_COMPLETE" in script
    found = shutil.which(shell)
    if found:
        assert subprocess.run([found, "-n"], input=script, text=True, check=False).returncode == 0


def test_completion_knows_the_commands(place: Place) -> None:
    place.extra = {
        "_SIDEWORK_COMPLETE": "bash_complete", "COMP_WORDS": "sidework ", "COMP_CWORD": "1",
    }  # fmt: skip
    done = place.python("-c", "from sidework.cli.main import main; main(prog_name='sidework')")
    assert {f"plain,{name}" for name in COMMANDS} == set(done.stdout.split())
