"""``sidework doctor``: what an installation and a store look like, and what is wrong with them."""

from __future__ import annotations

import platform
import sys
from collections.abc import Iterator

import click
from msgspec.structs import asdict

from ..errors import SideworkError, StoreError, StoreMissing
from ..job import WorkerRow
from ..store.protocol import Finding, Store
from ..url import shown
from .choosing import as_json, chosen, which_store
from .showing import show_findings, show_json


@click.command(short_help="Look for what is wrong here.")
@which_store
@as_json
def doctor(app: str | None, url: str | None, as_json: bool) -> None:
    """Look at the installation, the place of the store and the workers; exit code 1 on a problem."""
    findings = [*_installed(), *_store(app, url)]
    if as_json:
        show_json([asdict(one) for one in findings])
    else:
        show_findings(findings)
    sys.exit(1 if any(one.problem for one in findings) else 0)


def _installed() -> Iterator[Finding]:
    yield Finding("python", f"{platform.python_version()} on {platform.platform()}")


def _judged(what: str, value: str, advice: str) -> Finding:
    """A problem if there is something to do about it."""
    return Finding(what, value, advice, problem=bool(advice))


def _store(app: str | None, url: str | None) -> Iterator[Finding]:
    try:
        store, _ = chosen(app, url)
    except StoreMissing as missing:
        yield Finding("store", f"{missing}; nothing is wrong with that")
        return
    except SideworkError as wrong:
        kind = "store" if isinstance(wrong, StoreError) else "app"
        yield Finding(kind, str(wrong), problem=True)
        return
    try:
        yield Finding("store", shown(store.url))
        yield from store.findings()
        yield from _inside(store)
    except StoreMissing:
        pass  # the findings have told it
    except StoreError as wrong:
        yield Finding("store", str(wrong), problem=True)
    finally:
        store.close()


def _inside(store: Store) -> Iterator[Finding]:
    damage = store.check()
    yield _judged(
        "content",
        damage[0] if damage else "not damaged",
        "stop the workers and restore a backup" if damage else "",
    )
    yield from _workers(store.workers(), store.info()["jobs"].get("available", 0))
    for queue in store.queues():
        if queue.paused_at is not None:
            yield Finding("paused", f"{queue.name} by {queue.paused_by}: {queue.paused_why}")
        if queue.most is not None:
            yield Finding("limited", f"{queue.name} to {queue.most} jobs at a time")
    for task in store.limits.paused():
        yield Finding("paused", f"task {task.name} by {task.by}: {task.why}")


def _workers(workers: list[WorkerRow], waiting: int) -> Iterator[Finding]:
    living = [worker for worker in workers if worker.alive]
    wait = "job waits" if waiting == 1 else "jobs wait"
    yield _judged(
        "workers",
        ", ".join(f"{worker.host} pid {worker.pid}" for worker in living) or "none",
        f"{waiting:,} {wait}: start one by sidework worker APP" if waiting and not living else "",
    )
    for worker in workers:
        if not worker.alive:
            yield _judged(
                "dead worker",
                f"{worker.host} pid {worker.pid}",
                "a worker that lives brings back its jobs within seconds"
                if living
                else "the next worker brings back its jobs: start one by sidework worker APP",
            )
