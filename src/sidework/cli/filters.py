"""Which jobs a command means: ``--state``, ``--queue``, ``--task`` and ``--tag``."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import click

from ..job import JobFilter, JobRow
from ..state import State
from ..store.protocol import Store

PAGE = 200


def _states(ctx: click.Context, param: click.Parameter, given: Sequence[str]) -> tuple[State, ...]:
    """The states given, each option one or several by commas; an unknown one lists those there are."""
    words = [word.strip() for one in given for word in one.split(",")]
    for word in words:
        if word not in State.__members__.values():
            raise click.BadParameter(f"there is no state {word!r}; there are: {', '.join(State)}")
    return tuple(State(word) for word in words)


def _begun(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:
    """For the shell: the states that begin like what stands after the last comma."""
    before, comma, begun = incomplete.rpartition(",")
    return [before + comma + state for state in State if state.startswith(begun)]


def filtered(command: Callable[..., Any]) -> Callable[..., Any]:
    """Adds the options; the command gets them as ``want``, a ``JobFilter``."""

    @click.option("--state", "states", multiple=True, callback=_states, shell_complete=_begun,
                  help="In this state; may be repeated, or several by commas.")  # fmt: skip
    @click.option("--queue", "queues", multiple=True, help="Of this queue; may be repeated.")
    @click.option("--task", "tasks", multiple=True,
                  help="Of this task, as function or module:function; may be repeated.")  # fmt: skip
    @click.option("--tag", help="With this tag.")
    @functools.wraps(command)
    def with_filter(
        states: tuple[State, ...],
        queues: tuple[str, ...],
        tasks: tuple[str, ...],
        tag: str | None,
        **given: Any,
    ) -> Any:
        want = JobFilter(states=states, lanes=queues, tasks=tasks, tag=tag)
        return command(want=want, **given)

    return with_filter


def pages(store: Store, want: JobFilter, size: int = PAGE) -> Iterator[list[JobRow]]:
    """The jobs that fit, newest first, page by page. Each is met once, whatever becomes of it on the
    way: the next page begins below the last id, and jobs handed over meanwhile have higher ones."""
    before: bytes | None = None
    while page := store.page(want, before, size):
        yield page
        before = page[-1].id
