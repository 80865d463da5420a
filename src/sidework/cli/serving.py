"""``sidework worker`` and ``sidework run``."""

from __future__ import annotations

import json
import logging
import os
import signal
from typing import Any

import click

from ..errors import BadValue
from ..job import check_queue
from ..state import State
from ..store.opening import open_store
from ..store.protocol import Store
from ..wire import LOG_FORMAT
from .choosing import chosen_apps


@click.command()
@click.argument("apps", metavar="APP...", nargs=-1)
@click.option("--queues", default="", help="Only these queues, separated by commas.")
@click.option(
    "--children", type=click.IntRange(1, 256), default=os.cpu_count() or 1, show_default=True
)
@click.option(
    "--threads", type=click.IntRange(1, 1000), default=8, show_default=True, help="Per child."
)
@click.option("--concurrency", type=click.IntRange(1, 10_000), default=100, show_default=True,
              help="Coroutines at a time, per child.")  # fmt: skip
@click.option(
    "--grace", type=float, default=30.0, show_default=True, help="Seconds to finish when stopped."
)
def worker(
    apps: tuple[str, ...], queues: str, children: int, threads: int, concurrency: int, grace: float
) -> None:
    """Run the jobs of each APP (module, module:app or path/to/file.py) until stopped.

    Without APP that of the nearest pyproject.toml: [tool.sidework] app = "shop.jobs".

    SIGTERM or Control-C drains: what runs may end, what has not begun is handed back. A second
    Control-C leaves at once.
    """
    from ..worker.crew import Crew
    from ..worker.worker import Worker

    logging.basicConfig(level=logging.INFO, format=LOG_FORMAT)
    specs = chosen_apps(apps)
    lanes = tuple(check_queue(one.strip()) for one in queues.split(",") if one.strip())
    crew = Crew(specs, children, children, concurrency, threads, logging.INFO)
    log = logging.getLogger("sidework.worker")
    working = Worker(
        crew, _open_existing, lanes, grace, lambda: log.info("ready for %s", ", ".join(specs))
    )
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: working.stop())
    working.run()


def _open_existing(url: str) -> Store:
    """A worker never makes the database: it waits until the app has."""
    return open_store(url, create=False)


@click.command()
@click.argument("task")
@click.argument("arguments", nargs=-1)
@click.option("--wait", is_flag=True, help="Wait for the result and print it as JSON.")
@click.option("--timeout", default=None, help="How long to wait, like 30s.")
def run(task: str, arguments: tuple[str, ...], wait: bool, timeout: str | None) -> None:
    """Enqueue TASK (module:task) with ARGUMENTS: JSON values or plain text; name=value by name."""
    from ..tasks.finding import find_app

    app: Any = find_app(task)
    place, _, attribute = task.partition(":")
    if not attribute:
        raise BadValue(f"{task}: say which task, like {place}:name")
    module = next((n for n in app.registry.names() if n.endswith(f":{attribute}")), task)
    found = app.registry.get(module)
    args, kwargs = [], {}
    for text in arguments:
        name, equals, value = text.partition("=")
        if equals and name.isidentifier():
            kwargs[name] = _value(value)
        else:
            args.append(_value(text))
    try:
        job = found.enqueue(*args, **kwargs)
    except TypeError as wrong:
        raise BadValue(str(wrong)) from None
    if not wait:
        click.echo(job.id)
        return
    job.wait(timeout=timeout)
    info = job.info()
    if info.state is not State.COMPLETED:
        job.result(timeout=1)  # raises what became of it
    click.echo(json.dumps(info.result, ensure_ascii=False))


def _value(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text
