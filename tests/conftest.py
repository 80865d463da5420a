"""What several test files need: an app in a folder of its own, and ways to run ours as processes."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import textwrap
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from time import monotonic
from typing import Any

import pytest

import starter
from engines import ENGINES

pytest_plugins = ("servers.fixtures",)

PATIENCE = float(os.environ.get("SIDEWORK_PATIENCE", "20"))
"""Seconds after which a test gives up; generous, since nothing waits that long when all is well."""


def until(condition: Callable[[], Any], what: str = "the condition") -> Any:
    """Look until the condition holds; its value."""
    pause, deadline = threading.Event(), monotonic() + PATIENCE
    while not (value := condition()):
        assert monotonic() < deadline, f"{what} did not come in {PATIENCE:.0f} s"
        pause.wait(0.01)
    return value


class Place:
    """A folder with modules, a store of its own, and the processes that a test starts there."""

    def __init__(self, folder: Path, engine: str = "sqlite") -> None:
        self.folder = folder
        self.engine = ENGINES[engine](folder)
        self.url = str(folder / "jobs.db") if engine == "sqlite" else self.engine.owner_url
        self.without_url = False
        self.extra: dict[str, str] = {}
        self.started: list[subprocess.Popen[str]] = []

    @property
    def env(self) -> dict[str, str]:
        here = {name: value for name, value in os.environ.items() if name != "COLUMNS"}
        env = {**here, "SIDEWORK_URL": self.url, "PYTHONUNBUFFERED": "1", **self.extra}
        if self.without_url:
            del env["SIDEWORK_URL"]
        return env

    def write(self, name: str, text: str) -> Path:
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(textwrap.dedent(text), encoding="utf-8")
        return path

    def sidework(self, *words: str, timeout: float = 60) -> subprocess.CompletedProcess[str]:
        """Run the command to its end."""
        if not self.extra:
            return starter.run(words, self.folder, self.env, timeout)
        # What it is to find in its environment may be looked at as it starts.
        return self.python("-m", "sidework", *words, timeout=timeout)

    def python(self, *words: str, timeout: float = 60) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, *words],
            cwd=self.folder, env=self.env, capture_output=True, text=True, timeout=timeout,
        )  # fmt: skip

    def worker(self, *words: str, ready: bool = True) -> Worker:
        """Start a worker; by default wait until it is ready."""
        log = self.folder / f"worker-{len(self.started)}.log"
        with open(log, "w", encoding="utf-8") as file:
            process = subprocess.Popen(
                [sys.executable, "-m", "sidework", "worker", *words],
                cwd=self.folder, env=self.env, stdout=file, stderr=file, text=True,
            )  # fmt: skip
        self.started.append(process)
        worker = Worker(process, log)
        if ready:
            worker.says("ready for")
        return worker

    def close(self) -> None:
        for process in self.started:
            if process.poll() is None:
                process.kill()
            process.wait()


class Worker:
    """A worker process and what it says."""

    def __init__(self, process: subprocess.Popen[str], log: Path) -> None:
        self.process = process
        self.log = log
        self._from = 0

    @property
    def pid(self) -> int:
        return self.process.pid

    @property
    def said(self) -> str:
        return self.log.read_bytes()[self._from :].decode("utf-8", "replace")

    def forget(self) -> None:
        """What it has said until now: a test that comes looks at its own."""
        self._from = self.log.stat().st_size

    def says(self, pattern: str) -> re.Match[str]:
        """Wait until its log has it."""

        def look() -> re.Match[str] | None:
            found = re.search(pattern, self.said)
            assert found or self.process.poll() is None, f"the worker ended:\n{self.said}"
            return found

        return until(look, f"{pattern!r} in the worker's log")

    def children(self) -> list[int]:
        listed = Path(f"/proc/{self.pid}/task/{self.pid}/children").read_text()
        return [int(pid) for pid in listed.split()]

    def stop(self, number: int = signal.SIGTERM) -> int:
        """Send a signal and wait for the end; the exit code."""
        self.process.send_signal(number)
        return self.process.wait(PATIENCE)


@pytest.fixture
def engine() -> str:
    """Of the place's store; a folder of tests may have its tests run with each."""
    return "sqlite"


@pytest.fixture
def place(tmp_path: Path, engine: str) -> Iterator[Place]:
    made = Place(tmp_path, engine)
    yield made
    made.close()
