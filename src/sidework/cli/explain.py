"""``sidework explain``: why a job does not run."""

from __future__ import annotations

from collections.abc import Iterator

import click

from ..ids import id_text
from ..job import JobFilter, JobRow, QueueRow
from ..outcome import decode_failure
from ..state import FINAL, State
from ..store.protocol import Store
from . import values
from .bulk import job_of
from .choosing import as_json, on_store
from .roots import root_of
from .showing import ago, counted, failure_line, first_line, lasted, show_json

_AHEAD = 1000


@click.command(short_help="Say why a job does not run, and what to do.")
@on_store
@click.argument("job_id", metavar="ID", callback=values.job_id)
@as_json
def explain(store: Store, job_id: str, as_json: bool) -> None:
    """Say why job ID is not running, and what to do."""
    row = job_of(store, job_id)
    reasons = list(reasons_of(store, row))
    if as_json:
        show_json({"id": id_text(row.id), "state": row.state, "reasons": reasons})
        return
    click.echo(f"job {id_text(row.id)} ({row.task}) is {row.state}")
    for reason in reasons:
        click.echo(f"- {reason}")


def reasons_of(store: Store, row: JobRow) -> Iterator[str]:
    """Each reason as one line, the most decisive first."""
    if row.state in FINAL:
        yield f"it ended {ago(row.finished_at)}{_because(store, row)}"
        yield from _again(store, row)
        return
    if row.state is State.RUNNING:
        yield f"it has run for {lasted(row.started_at)} at worker {row.worker}, attempt {row.attempt}"
        yield from _dead(store, row)
        yield from _unique(row)
        if row.cancel_requested:
            yield "it was asked to cancel; a thread must look at current_job().should_stop itself"
        return
    switch = store.switch(row.lane)
    if switch.paused_at is not None:
        why = f": {switch.paused_why}" if switch.paused_why else ""
        yield f"queue {row.lane} was paused {ago(switch.paused_at)} by {switch.paused_by}{why}"
        yield f"to go on: sidework queues resume {row.lane}"
    held = {one.name: one for one in store.limits.paused()}.get(row.task)
    if held is not None:
        why = f": {held.why}" if held.why else ""
        yield f"task {row.task} was paused {ago(held.at)} by {held.by}{why}"
        yield f"to go on: sidework tasks resume {row.task}"
    elif row.state is State.BLOCKED and not row.pending:
        yield "its task was paused, and is open again: it comes back within seconds"
    if row.state is State.BLOCKED and row.pending:
        yield f"it waits for {counted(row.pending, 'job')}: sidework workflows show {id_text(row.id)}"
    if row.state is State.SCHEDULED:
        yield f"it is due {ago(row.due_at)}{': ' + first_line(row.note) if row.note else ''}"
    if row.state is State.RETRYABLE:
        yield f"its attempt {row.attempt} of {row.max_attempts} failed; again {ago(row.due_at)}"
        yield f"the failure{_because(store, row)}"
    if row.state is State.AVAILABLE and row.note:
        yield f"it was brought back: {first_line(row.note)}"
    if row.crashes:
        yield f"its process died {counted(row.crashes, 'time')}; it runs alone until it ends well"
    yield from _workers(store, row)
    if row.state is State.AVAILABLE and switch.paused_at is None and held is None:
        yield from _full(store, switch)
        yield _ahead(store, row)
    yield from _unique(row)


def _again(store: Store, row: JobRow) -> Iterator[str]:
    root = None if row.state is State.COMPLETED else root_of(store, row)
    if root is None:
        yield "to run it again: sidework jobs retry " + id_text(row.id)
        return
    yield f"it began with {id_text(root.id)} ({root.task}), {root.state}{_because(store, root)}"
    yield "to run it again, and what it needs: sidework workflows retry " + id_text(row.id)


def _full(store: Store, switch: QueueRow) -> Iterator[str]:
    if switch.most is None:
        return
    running = store.limits.running(switch.name)
    if running >= switch.most:
        places = "all taken" if running == switch.most else f"and {running} of its jobs run"
        yield f"its queue has a limit of {switch.most}, {places}: it waits for one of them to end"


def _unique(row: JobRow) -> Iterator[str]:
    if row.unique_key is not None:
        until = "starts" if row.unique_until == "started" else "ends"
        yield f"it holds the unique key {row.unique_key}: no other job of that key until it {until}"


def _dead(store: Store, row: JobRow) -> Iterator[str]:
    workers = {worker.id: worker for worker in store.workers()}
    mine = workers.get(row.worker or 0)
    if mine is None or mine.alive:
        return
    gone = f"its worker (pid {mine.pid}) is dead"
    if any(worker.alive for worker in workers.values()):
        yield f"{gone}; a worker that lives brings it back within seconds"
    else:
        yield f"{gone}; the next worker brings it back: start one by sidework worker APP"


def _workers(store: Store, row: JobRow) -> Iterator[str]:
    living = [worker for worker in store.workers() if worker.alive]
    if not living:
        yield "no worker is running on this store: start one by sidework worker APP"
    elif not any(not worker.queues or row.lane in worker.queues for worker in living):
        served = ", ".join(sorted({queue for worker in living for queue in worker.queues}))
        yield f"no running worker serves queue {row.lane}; they serve {served}"


def _ahead(store: Store, row: JobRow) -> str:
    page = store.page(JobFilter(states=(State.AVAILABLE,), lanes=(row.lane,)), None, _AHEAD)
    mine = (-row.priority, row.due_at, row.id)
    before = sum((-one.priority, one.due_at, one.id) < mine for one in page)
    if len(page) == _AHEAD:
        return f"its queue holds more than {_AHEAD} jobs that are ready"
    if not before:
        return "it is next in its queue"
    return f"{counted(before, 'job')} of its queue {'is' if before == 1 else 'are'} ahead of it"


def _because(store: Store, row: JobRow) -> str:
    attempts = store.attempts(row.id)
    failure = decode_failure(attempts[-1].failure) if attempts else None
    if failure is not None and row.state is not State.COMPLETED:
        return f": {failure_line(failure.kind, failure.message)}"
    return f": {first_line(row.note)}" if row.note else ""
