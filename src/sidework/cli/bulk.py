"""``sidework jobs retry|cancel|delete``: by id, or all that fit a filter."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Callable, Iterator, Sequence

import click
from msgspec.structs import replace

from ..errors import JobNotFound, SideworkError
from ..ids import id_text, parse_id
from ..job import JobFilter, JobRow
from ..state import FINAL, LIVE, State
from ..store.protocol import Store
from ..url import shown
from . import values
from .choosing import on_store
from .filters import filtered, pages
from .roots import root_of
from .showing import counted

Act = Callable[[Store, bytes], str | None]
"""Does it to one job: its state afterwards in words, or ``None`` when its state does not allow it."""

_targets = click.argument("job_ids", metavar="[ID]...", nargs=-1, callback=values.job_id)
_yes = click.option("--yes", is_flag=True, help="With filters: do not ask on a terminal.")


@click.command(short_help="Run final jobs again.")
@on_store
@_targets
@filtered
@_yes
def retry(store: Store, job_ids: tuple[str, ...], want: JobFilter, yes: bool) -> None:
    """Run final jobs again: these IDs, or all that fit the filters.

    One whose input did not complete would be cancelled again, and is refused by id: use
    sidework workflows retry.

    By filters, discarded and cancelled jobs are meant unless --state says otherwise: completed work
    is not done twice by accident.
    """

    def act(store: Store, job_id: bytes) -> str | None:
        return "available" if store.retry(job_id) else None

    def one(store: Store, job_id: bytes) -> str | None:
        (row,) = store.get([job_id])
        root = None if row is None or row.state is State.COMPLETED else root_of(store, row)
        if root is not None:
            raise SideworkError(
                f"job {id_text(job_id)} would be cancelled again, since {id_text(root.id)} ({root.task}) is "
                f"{root.state}: sidework workflows retry {id_text(job_id)} runs both again"
            )
        return act(store, job_id)

    if job_ids:
        _each(store, job_ids, want, one, "only a final job is retried")
    else:
        usual = (State.DISCARDED, State.CANCELLED)
        _all(store, _may(want, FINAL, usual, "retried"), act, "retry", yes)


@click.command(short_help="Cancel jobs that wait; ask those that run.")
@on_store
@_targets
@filtered
@_yes
def cancel(store: Store, job_ids: tuple[str, ...], want: JobFilter, yes: bool) -> None:
    """Cancel jobs that wait and ask those that run: these IDs, or all that fit the filters."""

    def act(store: Store, job_id: bytes) -> str | None:
        state = store.cancel(job_id, "cancelled by hand")
        return "asked to cancel (running)" if state == "running" else state

    if job_ids:
        _each(store, job_ids, want, act, "it has ended already")
    else:
        live = tuple(state for state in State if state in LIVE)
        _all(store, _may(want, LIVE, live, "cancelled"), act, "cancel", yes)


@click.command(short_help="Delete final jobs with their attempts.")
@on_store
@_targets
@filtered
@_yes
def delete(store: Store, job_ids: tuple[str, ...], want: JobFilter, yes: bool) -> None:
    """Delete final jobs with their attempts: these IDs, or all that fit the filters."""

    def act(store: Store, job_id: bytes) -> str | None:
        return "deleted" if store.delete(job_id) else None

    if job_ids:
        _each(store, job_ids, want, act, "cancel it first")
    else:
        final = tuple(state for state in State if state in FINAL)
        _all(store, _may(want, FINAL, final, "deleted"), act, "delete", yes)


def job_of(store: Store, job_id: str) -> JobRow:
    """The job of an id as typed; ``JobNotFound`` when there is none."""
    raw = parse_id(job_id)
    (row,) = store.get([raw])
    if row is None:
        raise JobNotFound(f"there is no job {id_text(raw)} in {shown(store.url)}")
    return row


def _each(store: Store, job_ids: Sequence[str], want: JobFilter, act: Act, refused: str) -> None:
    """Do it to each id, in order; none is touched when one of them leads to no job."""
    if want != JobFilter():
        raise click.UsageError("give IDs or filters, not both")
    if len(set(job_ids)) < len(job_ids):
        raise click.UsageError("an id was given twice")
    for row in [job_of(store, job_id) for job_id in job_ids]:
        became = act(store, row.id)
        if became is None:
            raise SideworkError(f"job {id_text(row.id)} is {row.state}: {refused}")
        click.echo(f"{id_text(row.id)} {became}")


def _may(
    want: JobFilter, allowed: frozenset[State], usual: tuple[State, ...], done: str
) -> JobFilter:
    """The filter with states that the verb can act on; a usage error for others, or for none at all."""
    if want == JobFilter():
        raise click.UsageError("which jobs? Give IDs, or --state, --queue, --task or --tag")
    for state in want.states:
        if state not in allowed:
            fitting = ", ".join(one for one in State if one in allowed)
            raise click.UsageError(f"{state} jobs cannot be {done}, only {fitting} ones")
    return want if want.states else replace(want, states=usual)


def _all(store: Store, want: JobFilter, act: Act, verb: str, yes: bool) -> None:
    """Do it to all that fit, page by page, and say to how many; on a terminal ask first."""
    ids: Iterator[bytes] = (row.id for page in pages(store, want) for row in page)
    if not yes and sys.stdin.isatty() and sys.stdout.isatty():
        found = {row.id: row.state for page in pages(store, want) for row in page}
        if found:
            by_state = Counter(found.values())
            parts = ", ".join(f"{by_state[one]:,} {one}" for one in State if one in by_state)
            question = f"{verb} {counted(len(found), 'job')} ({parts}) in {shown(store.url)}?"
            click.confirm(question, abort=True)
        ids = iter(found)  # what was asked about, not what came while someone thought
    # Another program may be faster with some of them: what counts is what was done here.
    became = Counter(act(store, job_id) for job_id in ids)
    del became[None]
    for words, count in became.items():
        click.echo(f"{counted(count, 'job')} {words}")
    if not became:
        click.echo("no jobs fit")
