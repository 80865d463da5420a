"""Starts the peers' programs (``rival/``), each in an environment of its own, and reads what they ran."""

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
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import apsw
import psutil
import psycopg
from peers import Peer

HERE = Path(__file__).resolve().parent
VENVS = HERE.parent / ".venv" / "rivals"
RAN = struct.Struct("<qqq")
SAFE = {"BENCH_SAFE": "1"}


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


def family(process: psutil.Process) -> list[psutil.Process]:
    """A process and those that it started, and they."""
    try:
        return [process, *process.children(recursive=True)]
    except psutil.NoSuchProcess:
        return []


def cpu_of(processes: list[psutil.Process]) -> float:
    """Seconds of CPU that they have used, and their children that have ended."""
    used = 0.0
    for process in processes:
        try:
            times = process.cpu_times()
        except psutil.NoSuchProcess:
            continue
        used += times.user + times.system + times.children_user + times.children_system
    return used


class Rival:
    """One peer, installed. Ours (no packages) runs in the environment of the benchmark."""

    def __init__(self, peer: Peer) -> None:
        self.peer = peer
        self.python = Path(sys.executable)
        if peer.packages:
            self.python = VENVS / peer.name / "bin" / "python"
            self._install(VENVS / peer.name)
        self.version = self._said([
            str(self.python), "-c", "import sys, importlib.metadata as m; "
            "print(m.version(sys.argv[1]), 'on Python', sys.version.split()[0])",
            [*peer.packages, peer.name][0].partition(">")[0].partition("[")[0],
        ]).strip()  # fmt: skip

    def _install(self, folder: Path) -> None:
        ready = folder / ".ready"
        if not ready.exists() or ready.read_text() != " ".join(self.peer.packages):
            self._said([interpreter(self.peer.python), "-m", "venv", "--clear", str(folder)])
            pip = [str(self.python), "-m", "pip", "install", "-q", "--disable-pip-version-check"]
            self._said([*pip, *self.peer.packages])
            ready.write_text(" ".join(self.peer.packages))

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

    def run(self, url: str, *words: str, **env: str) -> None:
        self._said(self._command(url, *words), **env)

    def _command(self, url: str, *words: str) -> list[str]:
        return [str(self.python), str(self.peer.program), url, *words]

    @contextmanager
    def workers(
        self, url: str, count: int, many: int, *, apart: bool = False, **env: str
    ) -> Iterator[Workers]:
        """So many worker processes, each with ``many`` jobs at a time: of one worker where that has
        several by itself, unless they are to be ``apart``."""
        with ExitStack() as stack:
            folder = Path(
                stack.enter_context(tempfile.TemporaryDirectory(prefix="sidework-bench-"))
            )
            said = stack.enter_context(open(folder / "said", "w+"))
            together = count if self.peer.forks and not apart else 1

            def start() -> psutil.Popen:
                return psutil.Popen(
                    self._command(url, "work", str(many), str(together)),
                    stdout=said, stderr=said, stdin=subprocess.DEVNULL,
                    start_new_session=True, cwd=HERE / "rival",
                    env={**os.environ, "BENCH_COUNTS": str(folder / "ran"), **env},
                )  # fmt: skip

            workers = Workers(folder / "ran", start, count // together)
            try:
                yield workers
            except TimeoutError as late:
                said.seek(0)
                lines = said.read().strip().splitlines() or ["it said nothing"]
                raise Failed(f"{late}: {lines[-1][:200]}") from late
            finally:
                for process in workers.processes:
                    workers.end(process)

    def timed(self, url: str, task: str, jobs: int, many: int, number: int = 0) -> float:
        """Seconds from when they begin to be handed to two waiting processes until the last has run."""
        with self.workers(url, 2, many) as workers:
            self.run(url, "fill", "noop", "4")
            workers.wait(4, 60)
            began = self.told(url, "fill", task, str(jobs), str(number))
            workers.wait(4 + jobs, 60)
            return (workers.last - began) / 1e9


class Workers:
    """Worker processes, and the jobs that they have run to the end, from a log that each adds to."""

    def __init__(self, path: Path, start: Callable[[], psutil.Popen], count: int) -> None:
        self.path, self._start = path, start
        path.write_bytes(b"")
        self.processes = [start() for _ in range(count)]

    @property
    def count(self) -> int:
        return self.path.stat().st_size // RAN.size

    @property
    def ran(self) -> list[tuple[int, int, int]]:
        """Numbers of jobs, when, in nanoseconds as ``time.time_ns``, and the worker's first process."""
        return list(RAN.iter_unpack(self.path.read_bytes()))

    @property
    def first(self) -> int:
        return min(at for _, at, _ in self.ran)

    @property
    def last(self) -> int:
        return max(at for _, at, _ in self.ran)

    def wait(self, jobs: int, seconds: float) -> None:
        pause, began = threading.Event(), time.perf_counter()
        while self.count < jobs:
            if time.perf_counter() - began > seconds:
                raise TimeoutError(f"{self.count} of {jobs} jobs in {seconds:.0f} s")
            if all(process.poll() is not None for process in self.processes):
                raise TimeoutError("its workers have ended")
            pause.wait(0.02)

    def recorded(self, peer: Peer, url: str) -> int:
        """Wait until the store says so too: the moment, like ``last``. Asked once all have run, so
        that it costs the peer nothing."""
        if peer.left is None:
            return self.last
        pause, began = threading.Event(), time.perf_counter()
        with asked(url) as ask:
            while ask(peer.left):
                if time.perf_counter() - began > 30:
                    raise TimeoutError("what ran was not recorded within 30 s")
                pause.wait(0.02)
        return max(self.last, time.time_ns())

    def kill(self) -> None:
        """SIGKILL to the worker that ran the last job, and all its processes; another is started, as a
        supervisor would."""
        last = self.ran[-1][2]
        busy = [process for process in self.processes if process.pid == last]
        if not busy:
            raise Failed("the worker that ran the last job is not one of those that were started")
        self.end(busy[0])
        self.processes.remove(busy[0])
        self.processes.append(self._start())

    @staticmethod
    def end(process: psutil.Popen) -> None:
        for each in family(process):
            try:
                each.send_signal(signal.SIGKILL)
            except psutil.NoSuchProcess:
                pass
        process.wait()

    @property
    def family(self) -> list[psutil.Process]:
        return [each for process in self.processes for each in family(process)]

    def memory(self) -> float:
        """Megabytes that the worker processes take, what they share divided."""
        kilobytes = 0
        for process in self.family:
            try:
                lines = Path(f"/proc/{process.pid}/smaps_rollup").read_text().splitlines()
            except (FileNotFoundError, ProcessLookupError):
                continue  # one that forks for each job
            kilobytes += sum(int(line.split()[1]) for line in lines if line.startswith("Pss:"))
        return kilobytes / 1024


@contextmanager
def asked(url: str) -> Iterator[Callable[[str], int]]:
    """Questions to a store that are answered with a number."""
    if url.startswith("postgres"):
        with psycopg.connect(url, autocommit=True) as server:
            yield lambda sql: int(server.execute(sql.encode()).fetchall()[0][0])
    else:
        # No other connection to the file is in this process: closing this one harms none.
        file = apsw.Connection(url, flags=apsw.SQLITE_OPEN_READONLY)
        file.set_busy_timeout(1000)
        try:
            yield lambda sql: int(file.execute(sql).get)
        finally:
            file.close()
