"""Whether an app is being imported to find its tasks: then its module must not start to work.

A module that enqueues, starts a worker or waits for a result at its top level would do so in every
child that imports it, each of which would start workers of its own, without end.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from ..errors import SideworkError

_importing: list[str] = []
"""Modules under way in this process, on whichever thread: what they start may be on another."""


@contextmanager
def importing(module: str) -> Iterator[None]:
    """Around the import of an app's module."""
    _importing.append(module)
    try:
        yield
    finally:
        _importing.remove(module)


def refuse_at_import(what: str) -> None:
    """``SideworkError`` when this process is importing an app for a worker or a command."""
    if _importing:
        raise SideworkError(
            f"module {_importing[-1]} {what} while it is imported: "
            'put that under if __name__ == "__main__":'
        )
