"""``sidework db copy``: outgrow a machine, or come back to one."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager

import click
from msgspec.structs import asdict

from ..errors import StoreError, StoreRefused
from ..ids import id_text
from ..store.copying import Moved, Tell, copy, refuse_workers
from ..store.opening import absolute, file_path, open_store
from ..store.protocol import Store
from .choosing import as_json
from .showing import counted, show_json

_NAMED = 3


@click.command(name="copy", short_help="Move all jobs to another store.")
@click.argument("source", metavar="SRC")
@click.argument("target", metavar="DST")
@as_json
def copy_command(source: str, target: str, as_json: bool) -> None:
    """Move all jobs, live and final, from the store SRC to the store DST (URLs or paths), checked.

    No worker may live on SRC. Its jobs stay, but none of them runs there any more: what waited is
    cancelled as moved, and its queues stay paused. Interrupted, or to bring what came since: run it
    again. Exit code 1 when not all jobs of SRC are in DST.
    """
    source, target = absolute(source, os.getcwd()), absolute(target, os.getcwd())
    with closing(open_store(source, create=False)) as here:
        _refuse_same(source, target)
        refuse_workers(here)  # before the file of the target is made
        with closing(open_store(target)) as there, _progress(here, not as_json) as tell:
            moved = copy(here, there, tell)
    _show(moved, as_json)


def _refuse_same(source: str, target: str) -> None:
    """Before the file is opened a second time; stores behind other URLs show it when they are closed."""
    ours, theirs = file_path(source), file_path(target)
    same = source == target
    if ours is not None and theirs is not None and os.path.exists(theirs):
        same = os.path.samefile(ours, theirs)
    if same:
        raise StoreRefused("SRC and DST are one store: name another one")


@contextmanager
def _progress(source: Store, wanted: bool) -> Iterator[Tell]:
    if not wanted or not sys.stdout.isatty():
        yield lambda doing, done: None
        return
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

    total = sum(source.info()["jobs"].values())
    with Progress(TextColumn("{task.description:<8}"), BarColumn(), MofNCompleteColumn()) as bars:
        tasks = {name: bars.add_task(name, total=total) for name in ("copying", "checking")}
        yield lambda doing, done: bars.update(tasks[doing], completed=done, total=max(done, total))


def _show(moved: Moved, as_json: bool) -> None:
    """The report; a ``StoreError`` when not all is there."""
    ids = [id_text(job_id) for job_id in moved.conflicts]
    if as_json:
        show_json({**asdict(moved), "conflicts": ids})
    else:
        click.echo(f"{moved.source} is copied to {moved.target}")
        earlier = f", {moved.earlier:,} since an earlier run" if moved.earlier else ""
        click.echo(
            f"{counted(moved.stored, 'job')} stored, {moved.present:,} there before; "
            f"{moved.disowned:,} live ones run there from now on{earlier}"
        )
    if ids:
        named = ", ".join(ids[:_NAMED]) + (" …" if len(ids) > _NAMED else "")
        raise StoreError(
            f"{counted(len(ids), 'job')} of SRC and of DST have one id but differ ({named}): they "
            "stay as they are in both; delete them in one, then run this again"
        )
    if moved.left:
        raise StoreError(
            f"{counted(moved.left, 'job')} came into SRC meanwhile: let what enqueues use DST, then "
            "run this again"
        )
