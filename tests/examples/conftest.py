"""Each example in a folder of its own, as a user would copy it; its programs as processes, on each engine."""

from __future__ import annotations

import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

import httpx
import pytest

from conftest import PATIENCE, Place, until
from engines import ENGINES
from sidework import Sidework

EXAMPLES = Path(__file__).parents[2] / "examples"


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "engine" in metafunc.fixturenames:
        alone = metafunc.definition.get_closest_marker("sqlite_alone")
        metafunc.parametrize("engine", ["sqlite"] if alone else sorted(ENGINES), indirect=False)


class Example:
    """The example's folder, its programs, and its store as whoever looks from outside sees it."""

    def __init__(self, place: Place, name: str) -> None:
        shutil.copytree(
            EXAMPLES / name, place.folder, dirs_exist_ok=True,
            ignore=shutil.ignore_patterns("__pycache__", "*.db*", "files"),
        )  # fmt: skip
        self.place = place
        self.folder = place.folder
        self.app = Sidework(place.url)
        self.app.store  # noqa: B018 - made, so that workers start

    def start(self, *words: str, **env: str) -> subprocess.Popen[str]:
        """``python words…`` in the folder; it is killed when the test ends."""
        with open(self.folder / "program.log", "a", encoding="utf-8") as log:
            process = subprocess.Popen(
                [sys.executable, *words], cwd=self.folder, env={**self.place.env, **env},
                stdout=log, stderr=log, text=True,
            )  # fmt: skip
        self.place.started.append(process)
        return process

    def serve(self, *words: str, **env: str) -> subprocess.Popen[str]:
        """The same, of a server: until it answers at ``PORT``."""
        process = self.start(*words, **env)

        def answers() -> bool:
            assert process.poll() is None, (self.folder / "program.log").read_text()
            with suppress(httpx.TransportError):
                return httpx.get(f"http://127.0.0.1:{env['PORT']}").status_code < 500
            return False

        until(answers, f"an answer of {words}")
        return process

    def run(self, *words: str, **env: str) -> str:
        """``python words…`` to its end; what it printed."""
        done = subprocess.run(
            [sys.executable, *words], cwd=self.folder, env={**self.place.env, **env},
            capture_output=True, text=True, timeout=60,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        return done.stdout


def ended(process: subprocess.Popen[Any], number: int = signal.SIGKILL) -> None:
    process.send_signal(number)
    process.wait(PATIENCE)


@pytest.fixture
def example(
    place: Place, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Example]:
    """Of the folder that the test's module is named after: ``test_mail`` has ``examples/mail``."""
    with ExitStack() as stack:
        if not place.engine.own_files:
            # The example's own tables are in no schema of ours: in one database the tests would share them.
            place.url = stack.enter_context(place.engine.elsewhere()).owner_url
            stack.callback(place.close)  # its programs end before their database
        monkeypatch.setenv("SIDEWORK_URL", place.url)
        made = Example(place, request.module.__name__.rpartition("test_")[2])
        yield made
        made.app.close()


@pytest.fixture
def free_port() -> Callable[[], str]:
    def port() -> str:
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", 0))
            return str(taken.getsockname()[1])

    return port
