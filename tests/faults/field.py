"""Where a row is fought: a folder with the app under fire, its store, and the processes started there."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from time import monotonic
from types import ModuleType, TracebackType
from typing import Any

from sidework.client.app import Sidework
from sidework.ids import id_text
from sidework.job import JobFilter, JobRow
from sidework.state import State
from sidework.tasks.task import Bound

Figures = dict[str, Any]
LOAD = Path(__file__).parent / "load.py"


class Field:
    """For ``with``: whatever still runs at the end of the block is killed.

    ``url`` is that of the store, by default of a file in the folder (``ground.py`` makes others).
    """

    def __init__(self, folder: Path, load: Path = LOAD, url: str | None = None) -> None:
        self.folder = folder
        (folder / "load.py").write_text(load.read_text())
        self.env = self.environment(folder, url)
        self.load = self._imported()
        self.app: Sidework = self.load.app
        self.made()
        self.workers: list[subprocess.Popen[bytes]] = []

    def made(self) -> None:
        """Have the store made, so that workers start."""
        self.app.store  # noqa: B018

    @staticmethod
    def environment(folder: Path, url: str | None = None) -> dict[str, str]:
        """Of whatever program is to find the load's store."""
        return {**os.environ, "SIDEWORK_URL": url or str(folder / "jobs.db")}

    def _imported(self) -> ModuleType:
        """The app as this program sees it, on this folder's store, under the name its workers know."""
        spec = importlib.util.spec_from_file_location("load", self.folder / "load.py")
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        before = os.environ.get("SIDEWORK_URL")
        os.environ["SIDEWORK_URL"] = self.env["SIDEWORK_URL"]
        try:
            sys.modules["load"] = module  # annotations are looked up there
            spec.loader.exec_module(module)
        finally:
            if before is None:
                del os.environ["SIDEWORK_URL"]
            else:
                os.environ["SIDEWORK_URL"] = before
        return module

    def __enter__(self) -> Field:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for worker in self.workers:
            if worker.poll() is None:
                worker.kill()
            worker.wait()
        self.app.close()

    # Workers ------------------------------------------------------------------------------------

    def worker(
        self, *words: str, log: Path | None = None, before: Callable[[], None] | None = None
    ) -> subprocess.Popen[bytes]:
        """Start a worker of the load; what it says goes to ``log``; ``before`` runs in its process
        before the program does."""
        with open(log or os.devnull, "ab") as said:
            process = subprocess.Popen(
                [sys.executable, "-m", "sidework", "worker", "load", *words],
                cwd=self.folder, env=self.env, stdout=said, stderr=said, preexec_fn=before,
            )  # fmt: skip
        self.workers.append(process)
        return process

    def ready(self, *workers: subprocess.Popen[bytes]) -> None:
        """Wait until the workers are known in the store: from then on they take signals in their own
        way. A program whose handlers are not there yet is ended by SIGTERM like any other."""
        wanted = {worker.pid for worker in workers}

        def known() -> bool:
            for worker in workers:
                if worker.poll() is not None:
                    raise AssertionError(f"a worker ended by itself: {worker.returncode}")
            return wanted <= {worker.pid for worker in self.app.store.workers()}

        until(known, "the workers")

    def stop(self, *workers: subprocess.Popen[bytes]) -> list[str]:
        """Drain the workers; what was wrong with how they left."""
        self.ready(*workers)
        for worker in workers:
            worker.terminate()
        codes = [worker.wait(60) for worker in workers]
        return [f"a worker left with exit code {code}" for code in codes if code]

    def children(self, worker: subprocess.Popen[bytes]) -> list[int]:
        """The worker's children, as the kernel lists them."""
        try:
            text = Path(f"/proc/{worker.pid}/task/{worker.pid}/children").read_text()
        except FileNotFoundError:
            return []
        return [int(pid) for pid in text.split()]

    # Jobs ---------------------------------------------------------------------------------------

    def enqueue(self, bound: Sequence[Bound[Any]]) -> list[str]:
        """Store the jobs; their ids, which were acknowledged."""
        self.app.enqueue_many(bound)
        return [id_text(one.job.id) for one in bound]

    def rows(self) -> dict[str, JobRow]:
        """All jobs as the store has them, by id."""
        return {id_text(row.id): row for row in self.jobs()}

    def jobs(self, *states: State) -> Iterator[JobRow]:
        """Jobs as the store has them, newest first."""
        before: bytes | None = None
        while page := self.app.store.page(JobFilter(states=states), before, 500):
            yield from page
            before = page[-1].id

    def counts(self) -> dict[str, int]:
        """How many jobs there are in each state."""
        told: dict[str, int] = {}
        for queue in self.app.store.queues():
            for state, count in queue.counts.items():
                told[state] = told.get(state, 0) + count
        return told


def until(condition: Callable[[], Any], what: str = "the condition", seconds: float = 60) -> Any:
    """Look until the condition holds, the more seldom the longer it takes; its value.

    Some looks are dear (on PostgreSQL, one at all queues is a connection of its own): most of the time is
    left to what is waited for.
    """
    pause, began = threading.Event(), monotonic()
    while True:
        looked = monotonic()
        if value := condition():
            return value
        now = monotonic()
        if now - began > seconds:
            raise TimeoutError(f"{what} did not come in {seconds:.0f} s")
        pause.wait(max(min(0.05, max(0.005, (now - began) / 20)), min(0.3, 3 * (now - looked))))


def pause(seconds: float) -> None:
    """Let the processes run on for a drawn time: the moment of a fault, never a wait for something."""
    threading.Event().wait(seconds)


def quantile(values: Iterable[float], part: float) -> float:
    """The value below which ``part`` of the values lie; 0 without any."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * part))] if ordered else 0.0
