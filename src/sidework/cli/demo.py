"""``sidework demo``: real work in a real worker, one of whose children is killed in the middle."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import sysconfig
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click

from ..clock import monotonic
from ..errors import SideworkError
from ..state import State
from .showing import counted

_PATIENCE = 60.0
_FLAKY = 40
"""Every fortieth file fails at its first attempt."""


@click.command(short_help="Real work; a child is killed, nothing is lost.")
@click.option("--files", type=click.IntRange(20), default=1500, show_default=True,
              help="So many files of the standard library.")  # fmt: skip
def demo(files: int) -> None:
    """Compress and count the words of the standard library; a child is killed, nothing is lost."""
    paths = _sources(files)
    with tempfile.TemporaryDirectory(prefix="sidework-demo-") as folder:
        os.environ["SIDEWORK_URL"] = os.path.join(folder, "demo.db")
        from .demo_app import app, squeeze

        # One file a third of the way is being worked on, for certain, when its process is killed.
        sign, held = Path(folder, "held"), len(paths) // 3
        began = monotonic()
        app.enqueue_many(
            squeeze.bind(path, at % _FLAKY == 0 and at != held, str(sign) if at == held else None)
            for at, path in enumerate(paths)
        )
        click.echo(
            f"{len(paths):,} jobs handed over in {monotonic() - began:.2f} s: durable in one file"
        )
        with open(os.path.join(folder, "worker.log"), "w+", encoding="utf-8") as log:
            worker = subprocess.Popen(
                [sys.executable, "-m", "sidework", "worker", "sidework.cli.demo_app", "--children", "2"],
                stderr=log,
            )  # fmt: skip
            try:
                took, killed = _watch(app, worker, len(paths), sign)
            finally:
                worker.send_signal(signal.SIGTERM)
                worker.wait(30)
            log.seek(0)
            told = log.read()
        lost = _report(app, paths, took, killed, told)
        app.close()
    if lost:
        raise SideworkError(f"{counted(lost, 'job')} lost: please report this")


def _sources(most: int) -> list[str]:
    folder = sysconfig.get_path("stdlib")
    found = sorted(
        str(path)
        for path in Path(folder).rglob("*.py")
        if "site-packages" not in path.parts and path.is_file() and os.access(path, os.R_OK)
    )
    # Spread over the whole library, whatever its size.
    step = max(1, len(found) // most)
    return found[::step][:most]


def _watch(app: Any, worker: subprocess.Popen[bytes], total: int, sign: Path) -> tuple[float, int]:
    """Wait for the last job, kill a child on the way; seconds from the first job, the child's pid."""
    began, first, killed = monotonic(), 0.0, 0
    pause = threading.Event()
    with _progress(total) as show:
        while True:
            counts = {q.name: q.counts for q in app.store.queues()}["default"]
            done = sum(counts.get(str(state), 0) for state in ("completed", "discarded"))
            first = first or (monotonic() if done else 0.0)
            if not killed and sign.exists():
                killed = int(sign.read_text("utf-8"))
                os.kill(killed, signal.SIGKILL)
            show(done, killed)
            if done >= total:
                return monotonic() - first, killed
            if worker.poll() is not None:
                raise SideworkError(f"the worker ended with exit code {worker.returncode}")
            if monotonic() - began > _PATIENCE:
                raise SideworkError(f"only {done} of {total} jobs ended in {_PATIENCE:.0f} s")
            pause.wait(0.03)


@contextmanager
def _progress(total: int) -> Iterator[Any]:
    if not sys.stdout.isatty():
        told: list[int] = []

        def say(done: int, killed: int) -> None:
            if killed and not told:
                told.append(killed)
                click.echo(f"{done:,} done; child {killed} was killed with SIGKILL, work goes on")

        yield say
        return
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

    bar = Progress(BarColumn(), MofNCompleteColumn(), TextColumn("{task.description}"))
    with bar:
        task = bar.add_task("working", total=total)
        yield lambda done, killed: bar.update(
            task,
            completed=done,
            description=f"child {killed} was killed, work goes on" if killed else "working",
        )


def _report(app: Any, paths: list[str], took: float, killed: int, told: str) -> int:
    """The table; how many jobs were lost: files without a result that fits them."""
    from .demo_app import Squeezed

    results: dict[str, Squeezed] = {}
    failed = crashed = 0
    for row in app.jobs():
        path = row.arguments["path"]
        if row.state is State.COMPLETED:
            results[path] = Squeezed(**row.result)
        if row.fence > 2:  # claimed more than once
            outcomes = [one.outcome for one in app.job(row.id).attempts()]
            failed += outcomes.count("retry")
            crashed += outcomes.count("crashed")
    lost = sum(path not in results or results[path].size != os.path.getsize(path) for path in paths)
    size = sum(one.size for one in results.values())
    small = sum(one.compressed for one in results.values())
    table = {
        "jobs": f"{len(paths):,}",
        "words counted": f"{sum(one.words for one in results.values()):,}",
        "megabytes": f"{size / 1e6:.1f} squeezed to {small / 1e6:.1f}",
        "failures retried": f"{failed}",
        "child killed with SIGKILL": f"pid {killed}",
        "jobs it was running, run again": f"{crashed}",
        "jobs lost": f"{lost} (each result compared with its file)",
        "jobs/s": f"{len(paths) / took:,.0f}",
    }
    click.echo()
    for what, value in table.items():
        click.echo(f"{what:<32} {value}")
    click.echo()
    if "SIGKILL" not in told:
        raise SideworkError(f"the worker did not tell of the killed child:\n{told}")
    if not crashed:
        raise SideworkError(f"child {killed} held no job when it was killed: please report this")
    click.echo(
        "Where to go next: write hello.py from the README, then\n"
        "  sidework worker hello                    in one terminal\n"
        "  sidework run hello:add 2 3 --wait        in another\n"
        "  sidework jobs list --app hello           what became of it\n"
        "  docs/start.md                            the rest"
    )
    return lost
