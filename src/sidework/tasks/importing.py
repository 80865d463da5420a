"""Whether an app is being imported to find its tasks: then its module must not start to work.

A module that starts a worker or waits for a result at its top level would do so in every child that
imports it, each of which would start workers of its own, without end.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from ..errors import SideworkError

_importing: dict[int, str] = {}  # by thread


@contextmanager
def importing(module: str) -> Iterator[None]:
    """Around the import of an app's module."""
    me = threading.get_ident()
    before = _importing.get(me)
    _importing[me] = module
    try:
        yield
    finally:
        if before is None:
            del _importing[me]
        else:
            _importing[me] = before


def refuse_at_import(what: str) -> None:
    """``SideworkError`` when this thread is importing an app for a worker or a command."""
    module = _importing.get(threading.get_ident())
    if module is not None:
        raise SideworkError(
            f'module {module} {what} while it is imported: put that under if __name__ == "__main__":'
        )
