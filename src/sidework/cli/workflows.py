"""``sidework workflows``: jobs that wait for one another, as a whole, by the id of any of them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator

import click

from ..flow import Flow
from ..ids import id_text
from ..job import JobRow
from ..state import State
from ..store.protocol import Store
from . import values
from .bulk import job_of
from .choosing import as_json, on_store
from .showing import counted, first_line, job_json, show_json

_SHOWN = 5
"""Of more alike jobs than twice so many, so many are shown."""
_NAMED = 4


@click.group(short_help="Show, cancel and retry jobs that wait for one another.")
def workflows() -> None:
    """Show, cancel and retry workflows: jobs that wait for one another."""


@workflows.command(short_help="Draw who waits for whom.")
@on_store
@click.argument("job_id", metavar="ID", callback=values.job_id)
@as_json
def show(store: Store, job_id: str, as_json: bool) -> None:
    """Draw the workflow that job ID is part of: inputs above, what waits for them below."""
    flow = _flow(store, job_id)
    if as_json:
        show_json(
            [
                {**job_json(row), "inputs": [id_text(one) for one in flow.inputs.get(row.id, ())]}
                for row in flow.in_order()
            ]
        )
        return
    click.echo(f"{counted(len(flow.jobs), 'job')}: {_states(flow.jobs.values())}")
    for line in drawn(flow):
        click.echo(line)


@workflows.command(short_help="Cancel all that have not ended.")
@on_store
@click.argument("job_id", metavar="ID", callback=values.job_id)
def cancel(store: Store, job_id: str) -> None:
    """Cancel all jobs of the workflow that have not ended, and ask those that run."""
    count = _flow(store, job_id).cancel(store.cancel)
    click.echo(f"{counted(count, 'job')} cancelled or asked")


@workflows.command(short_help="Run again what did not complete.")
@on_store
@click.argument("job_id", metavar="ID", callback=values.job_id)
def retry(store: Store, job_id: str) -> None:
    """Run all jobs of the workflow again that did not complete; those that need them wait for them."""
    click.echo(f"{counted(_flow(store, job_id).retry(store.retry), 'job')} live again")


def _flow(store: Store, job_id: str) -> Flow:
    return Flow.found(job_of(store, job_id).id, store.flows.edges, store.get)


def drawn(flow: Flow) -> Iterator[str]:
    """A line for each job, deeper than its inputs; many that are alike are folded into one."""
    outputs = flow.outputs()
    depth: dict[bytes, int] = {}
    alike: dict[object, list[JobRow]] = {}
    for row in flow.in_order():
        inputs = tuple(one for one in flow.inputs.get(row.id, ()) if one in flow.jobs)
        depth[row.id] = 1 + max((depth[one] for one in inputs), default=-1)
        kind = (depth[row.id], row.task, inputs, tuple(outputs.get(row.id, ())))
        alike.setdefault(kind, []).append(row)
    groups = sorted(alike.values(), key=lambda rows: depth[rows[0].id])
    order = [row for rows in groups for row in rows]
    numbers = {row.id: number for number, row in enumerate(order, 1)}
    for rows in groups:
        shown = rows if len(rows) <= 2 * _SHOWN else rows[:_SHOWN]
        level = depth[rows[0].id]
        lead = "   " * (level - 1) + "└─ " if level else ""
        for row in shown:
            after = _after(flow, row, numbers)
            note = f": {first_line(row.note)}" if row.note else ""
            yield f"{lead}{numbers[row.id]} {row.task} {id_text(row.id)} {row.state}{after}{note}"
        rest = rows[len(shown) :]
        if rest:
            yield f"{lead}… {len(rest):,} more {rest[0].task}: {_states(rest)}"


def _after(flow: Flow, row: JobRow, numbers: dict[bytes, int]) -> str:
    inputs = flow.inputs.get(row.id, [])
    if not inputs:
        return ""
    known = sorted(numbers[one] for one in inputs if one in numbers)
    named = [f"{number:,}" for number in known[:_NAMED]]
    more = len(inputs) - len(named)
    if more:
        gone = len(inputs) - len(known)
        named.append(f"{more:,} more" + (f" ({gone:,} deleted)" if gone else ""))
    return " after " + ", ".join(named)


def _states(rows: Iterable[JobRow]) -> str:
    counts = Counter(row.state for row in rows)
    return ", ".join(f"{counts[state]:,} {state}" for state in State if counts[state])
