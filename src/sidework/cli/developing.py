"""``sidework dev``: a worker that follows the code.

After each change a new worker is started beside the old one, which is told to drain once the new one is
ready: what runs ends as it began, and what waits is run by the new code. A new one that cannot start leaves
the old one as it is. This process runs no user code and holds no store.
"""

from __future__ import annotations

import logging
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from types import FrameType

import click

from .. import logs
from ..errors import SideworkError
from ..extras import how_to_install
from ..tasks.project import file_of_path, folder_of_module, is_path, project_folder
from .choosing import chosen_apps
from .serving import working

log = logging.getLogger("sidework.dev")

_LOOK_MS = 100
"""How often it is looked whether a worker is ready, or has ended."""


@click.command(short_help="A worker that follows changes of the code.")
@working
@click.option("--log-format", type=click.Choice(logs.LOG_FORMATS), default=None,
              help="How it is said: with colours on a terminal, else as text.")  # fmt: skip
def dev(
    apps: tuple[str, ...],
    queues: str,
    children: int,
    threads: int,
    concurrency: int,
    grace: float,
    log_level: str,
    log_format: logs.LogFormat | None,
) -> None:
    """Run the jobs of each APP, and start anew when a Python file of the project changes.

    What runs at a change is finished by the old code, in --grace seconds. A file that cannot be read
    changes nothing: it is said, and the old code goes on. Each attempt is told in a line: how it ended,
    from when to when.

    Needs the extra dev: pip install 'sidework[dev]' (in a clone: pip install '.[dev]').
    """
    try:
        import watchfiles as _  # noqa: F401 - asked for here, so that the answer is one line
    except ImportError:
        raise SideworkError(
            f"sidework dev needs watchfiles, which is not installed: {how_to_install('dev')}"
        ) from None
    if log_format is None:
        coloured = sys.stderr.isatty() and not os.environ.get("NO_COLOR")
        log_format = "colour" if coloured else "text"
    logs.configure(logging.getLevelNamesMapping()[log_level.upper()], log_format)
    logging.getLogger("watchfiles").setLevel(logging.WARNING)  # it would say each change once more
    specs = chosen_apps(apps)
    command = [
        sys.executable, "-m", "sidework", "worker", *specs, "--queues", queues,
        "--children", str(children), "--threads", str(threads), "--concurrency", str(concurrency),
        "--grace", str(grace), "--log-level", log_level, "--log-format", log_format,
    ]  # fmt: skip
    Dev(command, _folders(specs)).run()


class Dev:
    """Runs workers by ``command``, a new one for each change of a Python file in the folders."""

    def __init__(self, command: Sequence[str], folders: Iterable[Path]) -> None:
        self._command = command
        self._folders = list(folders)
        self._stopped = threading.Event()
        self._signals = 0
        self._current: Working | None = None
        self._coming: Working | None = None
        self._leaving: list[Working] = []

    def run(self) -> None:
        """Until told to stop, by a signal; a second one has the workers leave at once."""
        from watchfiles import PythonFilter, watch

        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, self._stop)
        log.info("watching %s", ", ".join(str(folder) for folder in self._folders))
        self._coming = Working(self._command)
        for changes in watch(
            *self._folders,
            watch_filter=PythonFilter(),
            stop_event=self._stopped,
            rust_timeout=_LOOK_MS,
            yield_on_timeout=True,
            raise_interrupt=False,
        ):
            self._look()  # first: a worker that is ready by now has the code of before the change
            if changes:
                self._follow(sorted({Path(path) for _, path in changes}))
        workers = self._all()
        for one in workers:
            one.drain()
        while any(one.process.poll() is None for one in workers):
            if self._signals > 1:
                for one in workers:
                    one.leave()
            time.sleep(_LOOK_MS / 1000)

    def _stop(self, number: int, frame: FrameType | None) -> None:
        # Nothing is done here: it may come amid a change of the workers.
        self._signals += 1
        self._stopped.set()

    def _all(self) -> list[Working]:
        return [one for one in (self._current, self._coming, *self._leaving) if one is not None]

    def _follow(self, paths: list[Path]) -> None:
        for path in paths:
            wrong = unreadable(path)
            if wrong:
                log.error("%s: %s; %s", _short(path), wrong, self._goes_on())
                return
        more = f" and {len(paths) - 1} more" if len(paths) > 1 else ""
        log.info("%s%s changed: starting a new worker", _short(paths[0]), more)
        if self._coming is not None:  # it has the code of before
            self._coming.drain()
            self._leaving.append(self._coming)
        self._coming = Working(self._command)

    def _look(self) -> None:
        self._leaving = [one for one in self._leaving if one.process.poll() is None]
        coming, current = self._coming, self._current
        if coming is not None and coming.ready():
            self._current, self._coming = coming, None
            if current is not None:
                current.drain()
                self._leaving.append(current)
        elif coming is not None and coming.process.poll() is not None:
            self._coming = None
            log.error("the new worker could not start; %s", self._goes_on())
        if self._current is not None and (code := self._current.process.poll()) is not None:
            self._current = None
            log.error("the worker ended (exit code %d); the next change starts another", code)

    def _goes_on(self) -> str:
        if self._current is None:
            return "the next change starts another"
        return "the worker from before the change goes on"


class Working:
    """A worker's process, and whether it is ready."""

    def __init__(self, command: Sequence[str]) -> None:
        self._told = 0
        self._socket, theirs = socket.socketpair()
        self._socket.setblocking(False)
        with theirs:
            self.process = subprocess.Popen(
                [*command, "--parent", str(theirs.fileno())],
                pass_fds=(theirs.fileno(),),
                stdin=subprocess.DEVNULL,
                process_group=0,  # Control-C in a terminal is for this process to pass on, once
            )

    def ready(self) -> bool:
        """Whether it has said by now that it takes jobs."""
        try:
            return bool(self._socket.recv(16))
        except BlockingIOError:
            return False

    def drain(self) -> None:
        """Have it end what runs; once, for a second word would have it leave at once."""
        self._tell(1)

    def leave(self) -> None:
        """Have it leave at once."""
        self._tell(2)

    def _tell(self, words: int) -> None:
        if self._told < words and self.process.poll() is None:
            self._told += 1
            self.process.send_signal(signal.SIGTERM)


def unreadable(path: Path) -> str:
    """Why the file is no Python, in words; empty when it is, or is gone."""
    try:
        compile(path.read_bytes(), str(path), "exec", dont_inherit=True)
    except FileNotFoundError:
        return ""
    except SyntaxError as error:
        return f"{type(error).__name__}: {error.msg} (line {error.lineno})"
    except (OSError, ValueError) as error:
        return str(error)
    return ""


def _folders(specs: Sequence[str]) -> list[Path]:
    """Where the code is that a worker of these apps runs: the project, else the folders of the apps."""
    here = Path.cwd()
    project = project_folder(here)
    found = {project or here}
    for spec in specs:
        place = spec.partition(":")[0]
        file = file_of_path(place, here) if is_path(place) else None
        folder = file.parent if file is not None else folder_of_module(place, here)
        if not any(folder.is_relative_to(one) for one in found):
            found.add(folder)
    return sorted(found)


def _short(path: Path) -> str:
    here = Path.cwd()
    return str(path.relative_to(here)) if path.is_relative_to(here) else str(path)
