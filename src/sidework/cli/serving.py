"""``sidework worker`` and ``sidework run``."""

from __future__ import annotations

import contextlib
import difflib
import json
import logging
import os
import re
import signal
import socket
import sys
import threading
from collections.abc import Callable
from typing import Any

import click

from .. import logs
from ..errors import BadValue, JobCancelled, JobFailed, SideworkError
from ..handle import JobHandle
from ..state import State
from ..store.opening import load_engine, open_store
from ..store.protocol import Store
from . import values
from .choosing import chosen_apps
from .showing import failure_line

_LEVELS = ("debug", "info", "warning", "error")
_NEGATIVE = re.compile(r"-(\d|\.\d)").match


_OPTIONS = (
    click.argument("apps", metavar="[APP]...", nargs=-1),
    click.option("--queues", default="", callback=values.queues,
                 help="Only these queues, separated by commas; mail=10: at most "
                 "10 of its jobs at a time in this worker."),
    click.option("--children", type=click.IntRange(1, 256), default=os.cpu_count() or 1,
                 show_default="one per core", help="Processes that run the jobs."),
    click.option("--threads", type=click.IntRange(1, 1000), default=8, show_default=True,
                 help="Per child."),
    click.option("--concurrency", type=click.IntRange(1, 10_000), default=100, show_default=True,
                 help="Coroutines at a time, per child."),
    click.option("--grace", type=click.FloatRange(min=0), default=30.0, show_default=True,
                 help="Seconds to finish when stopped."),
    click.option("--log-level", type=click.Choice(_LEVELS, case_sensitive=False), default="info",
                 show_default=True, help="What is said on stderr, from this level up."),
)  # fmt: skip


def working(command: Callable[..., Any]) -> Callable[..., Any]:
    """Adds what a worker can be told, to ``worker`` and to ``dev``."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


@click.command(short_help="Run the jobs of an app until stopped.")
@working
@click.option("--ready-file", type=click.Path(dir_okay=False), metavar="PATH",
              help="A file that is there, and young, while the worker works.")  # fmt: skip
@click.option("--log-format", type=click.Choice(logs.LOG_FORMATS), default="text", show_default=True,
              help="How it is said: json is an object a line, for programs.")  # fmt: skip
@click.option("--parent", type=int, hidden=True)
def worker(
    apps: tuple[str, ...],
    queues: str,
    children: int,
    threads: int,
    concurrency: int,
    grace: float,
    ready_file: str | None,
    log_level: str,
    log_format: logs.LogFormat,
    parent: int | None,
) -> None:
    """Run the jobs of each APP (module, module:app or path/to/file.py) until stopped.

    Without APP that of the nearest pyproject.toml: [tool.sidework] app = "shop.jobs".

    SIGTERM or Control-C drains: what runs may end, what has not begun is handed back. A second
    Control-C leaves at once.
    """
    from ..worker.beacon import Beacon
    from ..worker.crew import Crew
    from ..worker.worker import Worker

    level = logging.getLevelNamesMapping()[log_level.upper()]
    logs.configure(level, log_format)
    log = logging.getLogger("sidework.worker")
    # Who develops sees each job, and has not enqueued any yet; a worker in earnest makes no database.
    dev = None if parent is None else socket.socket(fileno=parent)

    def ready() -> None:
        log.info("ready for %s", ", ".join(specs))
        if dev is not None:
            with contextlib.suppress(OSError):
                dev.send(b"ready")  # gone: then this worker drains

    try:
        specs = chosen_apps(apps)
        lanes, widths = values.split_queues(queues)
        crew = Crew(specs, children, children, concurrency, threads, level, log_format)
        opens = _open_existing if dev is None else open_store
        each_at = logging.DEBUG if dev is None else logging.INFO
        beacon = Beacon(ready_file, os.environ)
        working = Worker(
            crew, opens, lanes, grace, ready,
            each_at=each_at, widths=widths, beacon=beacon, makes=open_store,
        )  # fmt: skip
        signal.signal(
            signal.SIGCHLD, signal.SIG_DFL
        )  # who starts us may have ignored it, and that is inherited
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: working.stop())
        if dev is not None:
            follow = threading.Thread(target=_outlived, args=(dev, working.stop), daemon=True)
            follow.start()
        if url := os.environ.get("SIDEWORK_URL"):
            load_engine(url)  # while the children start, who will say which it is
        working.run()
    except SideworkError as error:
        if log_format != "json":
            raise
        log.critical("%s", error)
        sys.exit(1)


def _open_existing(url: str) -> Store:
    """A worker does not make the database where a path may be wrong: it waits until the app has."""
    return open_store(url, create=False)


def _outlived(parent: socket.socket, stop: Callable[[], None]) -> None:
    """Drain when the process at the other end is gone, however it ended."""
    with contextlib.suppress(OSError):  # a reset is an end as well
        parent.recv(1)
    stop()


class Run(click.Command):
    """Lets a negative number be an argument, and refuses an unknown option all the same."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """click takes ``-5`` for options; told to ignore those, it would ignore ``--wiat`` too."""
        ctx.ignore_unknown_options = True
        before = args[: args.index("--")] if "--" in args else args
        options = {name for option in self.params for name in option.opts} | {"--help"}
        for word in before:
            name = word.partition("=")[0]
            option = word.startswith("-") and word != "-" and not _NEGATIVE(word)
            if option and name not in options and not ctx.resilient_parsing:
                close = difflib.get_close_matches(name, options)
                raise click.NoSuchOption(name, possibilities=close, ctx=ctx)
        return super().parse_args(ctx, args)


@click.command(cls=Run, short_help="Enqueue one job, and wait for it if asked.")
@click.argument("task")
@click.argument("arguments", nargs=-1)
@click.option("--wait", is_flag=True, help="Wait for the result and print it as JSON.")
@click.option("--timeout", metavar="DURATION", callback=values.duration,
              help="With --wait: how long, like 30s.")  # fmt: skip
def run(task: str, arguments: tuple[str, ...], wait: bool, timeout: float | None) -> None:
    """Enqueue TASK: module:function, module:Class.function or module:name.

    ARGUMENTS are in order, or by name as name=value. Where the task wants text they are taken as they
    are, elsewhere read as JSON, or as text when they are none.
    """
    if timeout is not None and not wait:
        raise click.UsageError("--timeout says how long to --wait: give both or neither")
    from ..tasks.finding import find_task
    from .arguments import arguments_of, not_parameters

    _, found = find_task(task)
    args, kwargs = arguments_of(found.signature, arguments)
    try:
        job = found.enqueue(*args, **kwargs)
    except TypeError as wrong:
        raise BadValue(f"{wrong}{not_parameters(found.signature, arguments)}") from None
    if not wait:
        click.echo(job.id)
        return
    if job.wait(timeout=timeout) is not State.COMPLETED:
        raise SideworkError(_why(job))
    click.echo(json.dumps(job.info().result, ensure_ascii=False))


def _why(job: JobHandle[Any]) -> str:
    """In one line, why the job has no result."""
    try:
        job.result()
    except JobCancelled as cancelled:
        return str(cancelled)
    except JobFailed as failed:
        said = failure_line(failed.kind, failed.message)
        return f"job {job.id} failed: {said}; sidework jobs show {job.id} tells more"
    return f"job {job.id} was retried by hand meanwhile: sidework jobs show {job.id}"
