"""Starts the peers' programs (``rival/``), each in an environment of its own, and reads what they counted."""

from __future__ import annotations

import json
import os
import shutil
import signal
import struct
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import psycopg

HERE = Path(__file__).resolve().parent
VENVS = HERE.parent / ".venv" / "rivals"
SLOT = struct.Struct("<qqq")
SLOTS = 4


@dataclass(frozen=True)
class Peer:
    """``jobs``: how many it drains in some seconds; ``keeps``: what is left of a job that is done;
    ``left``: asks how many are not recorded as done, if that can be asked cheaply."""

    name: str
    packages: tuple[str, ...]
    jobs: int
    keeps: str
    left: str | None
    python: tuple[int, int] = (3, 11)

    @property
    def program(self) -> Path:
        return HERE / "rival" / f"with_{self.name}.py"


PEERS = (
    Peer(
        "pgqueuer", ("pgqueuer[asyncpg]>=1.6", "uvloop"), 40_000,
        "deletes the job; a line in a log says how it ended; no result",
        "SELECT count(*) FROM pgqueuer",
    ),
    Peer("awa", ("awa-pg>=0.6.9", "uvloop"), 8_000, "keeps the job for some time; no result", None),
    Peer(
        "chancy", ("chancy>=0.26", "uvloop"), 16_000,
        "keeps the job for a day; no result",
        "SELECT count(*) FROM chancy_jobs WHERE state NOT IN ('succeeded', 'failed')",
    ),
    Peer(
        "oban", ("oban>=0.7",), 10_000,
        "keeps the job for a day; no result",
        "SELECT count(*) FROM oban_jobs WHERE state <> 'completed'",
        (3, 12),
    ),
    Peer(
        "procrastinate", ("procrastinate>=3.10", "uvloop"), 1_500,
        "keeps the job and its events; no result",
        "SELECT count(*) FROM procrastinate_jobs WHERE status IN ('todo', 'doing')",
    ),
)  # fmt: skip


class Failed(Exception):
    """A peer could not be measured; why, in one line."""


def interpreter(least: tuple[int, int]) -> str:
    """A Python that is new enough: this one, one on the path, one of pyenv's."""
    if sys.version_info >= least:
        return sys.executable
    found = [shutil.which(f"python3.{minor}") for minor in range(least[1], least[1] + 4)]
    found += map(str, sorted(Path.home().glob(".pyenv/versions/*/bin/python")))
    check = f"import sys; sys.exit(sys.version_info < {least})"
    for python in filter(None, found):
        if subprocess.run([python, "-c", check], capture_output=True).returncode == 0:
            return python
    raise Failed(f"needs Python {least[0]}.{least[1]}; none was found")


class Rival:
    """One peer, installed."""

    def __init__(self, peer: Peer) -> None:
        self.peer = peer
        self.python = VENVS / peer.name / "bin" / "python"
        ready = VENVS / peer.name / ".ready"
        if not ready.exists() or ready.read_text() != " ".join(peer.packages):
            venv = [interpreter(peer.python), "-m", "venv", "--clear", str(VENVS / peer.name)]
            self._said(venv)
            pip = [str(self.python), "-m", "pip", "install", "-q", "--disable-pip-version-check"]
            self._said([*pip, *peer.packages])
            ready.write_text(" ".join(peer.packages))
        self.version = self._said([
            str(self.python), "-c", "import sys, importlib.metadata as m; "
            "print(m.version(sys.argv[1]), 'on Python', sys.version.split()[0])",
            peer.packages[0].partition(">")[0].partition("[")[0],
        ]).strip()  # fmt: skip

    def _said(self, command: list[str], **env: str) -> str:
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=180, env={**os.environ, **env}
        )
        if done.returncode:
            told = (done.stderr.strip() or done.stdout.strip() or "it said nothing").splitlines()
            raise Failed(told[-1][:300])
        return done.stdout

    def told(self, url: str, *words: str, **env: str) -> float:
        """Run a verb that answers with a number."""
        return float(json.loads(self._said(self._command(url, *words), **env)))

    def run(self, url: str, *words: str) -> None:
        self._said(self._command(url, *words))

    def _command(self, url: str, *words: str) -> list[str]:
        return [str(self.python), str(self.peer.program), url, *words]

    @contextmanager
    def workers(self, url: str, count: int, many: int) -> Iterator[Counts]:
        """So many worker processes, each with ``many`` jobs at a time."""
        with ExitStack() as stack:
            folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="sidework-bench-"))
            counts = Counts(Path(folder) / "counts")
            said = stack.enter_context(open(Path(folder) / "said", "w+"))
            processes = [
                subprocess.Popen(
                    self._command(url, "work", str(many)), stdout=said, stderr=said,
                    start_new_session=True, cwd=HERE / "rival",
                    env={**os.environ, "BENCH_COUNTS": str(counts.path), "BENCH_SLOT": str(slot)},
                )
                for slot in range(count)
            ]  # fmt: skip
            counts.processes = processes
            try:
                yield counts
            except TimeoutError as late:
                said.seek(0)
                lines = said.read().strip().splitlines() or ["it said nothing"]
                raise Failed(f"{late}: {lines[-1][:200]}") from late
            finally:
                for process in processes:
                    if process.poll() is None:
                        os.killpg(process.pid, signal.SIGKILL)
                    process.wait()


class Counts:
    """What worker processes ran: a slot for each."""

    def __init__(self, path: Path) -> None:
        self.path = path
        path.write_bytes(bytes(SLOT.size * SLOTS))
        self.processes: list[subprocess.Popen[bytes]] = []

    def _slots(self) -> list[tuple[int, int, int]]:
        return [slot for slot in SLOT.iter_unpack(self.path.read_bytes()) if slot[0]]

    @property
    def count(self) -> int:
        return sum(count for count, _, _ in self._slots())

    @property
    def first(self) -> int:
        """Nanoseconds, as ``time.time_ns``."""
        return min(first for _, first, _ in self._slots())

    @property
    def last(self) -> int:
        return max(last for _, _, last in self._slots())

    def wait(self, jobs: int, seconds: float) -> None:
        pause, began = threading.Event(), time.perf_counter()
        while self.count < jobs:
            if time.perf_counter() - began > seconds:
                raise TimeoutError(f"{self.count} of {jobs} jobs in {seconds:.0f} s")
            if all(process.poll() is not None for process in self.processes):
                raise TimeoutError("its workers have ended")
            pause.wait(0.02)

    def recorded(self, peer: Peer, url: str) -> int:
        """Wait until the database says so too: the moment, like ``last``. Asked once all have run, so
        that it costs the peer nothing."""
        if peer.left is None:
            return self.last
        with psycopg.connect(url, autocommit=True) as connection:
            pause, began = threading.Event(), time.perf_counter()
            while connection.execute(peer.left.encode()).fetchall() != [(0,)]:
                if time.perf_counter() - began > 30:
                    raise TimeoutError("what ran was not recorded within 30 s")
                pause.wait(0.02)
        return max(self.last, time.time_ns())

    def memory(self) -> float:
        """Megabytes that the worker processes take, what they share divided."""
        kilobytes = 0
        for process in self.processes:
            children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
            for pid in (str(process.pid), *children):
                lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
                kilobytes += sum(int(ln.split()[1]) for ln in lines if ln.startswith("Pss:"))
        return kilobytes / 1024
