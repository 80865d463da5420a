"""Transactions of ours that callers write in: for ``insert_on`` and tables of their own."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import apsw

from ...errors import StoreRefused
from .session import Session


class Transactions:
    """Of one store, on a session of their own, for their length is theirs to choose; which threads are
    in one."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._inside: set[int] = set()

    @contextmanager
    def open(self) -> Iterator[apsw.Connection]:
        """A connection inside a write transaction, committed at the end of the block."""
        self.outside()
        self._inside.add(threading.get_ident())
        try:
            with self._session.transaction() as connection:
                yield connection
        finally:
            self._inside.discard(threading.get_ident())

    def outside(self) -> None:
        """``StoreRefused`` for a thread in one: that keeps all other writers waiting, and so this thread, if
        it waited for one of them."""
        if self._inside and threading.get_ident() in self._inside:
            raise StoreRefused(
                "this thread is in a transaction of the store: pass its connection "
                "(options(connection=...)), or write and wait after the with block"
            )
