"""Transactions of ours that callers write in: for ``insert_on`` and tables of their own."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

import psycopg

from ...errors import StoreRefused
from .connection import translate
from .place import Place
from .session import leave


class Transactions:
    """Of one store, each on a connection of its own; which threads are in one."""

    def __init__(self, place: Place) -> None:
        self._place = place
        self._inside: set[int] = set()

    @contextmanager
    def open(self) -> Iterator[psycopg.Connection[Any]]:
        """A connection inside a transaction, committed at the end of the block."""
        self.outside()
        try:
            made = psycopg.connect(self._place.conninfo, application_name="sidework")
        except psycopg.Error as error:
            raise translate(error, self._place) from error.with_traceback(None)
        # Named in a session that a pooler hands on, a statement would be in the way of another's.
        made.prepare_threshold = None
        self._inside.add(threading.get_ident())
        owner = os.getpid()
        try:
            yield made  # an error of the caller's own statements stays as it is
            if os.getpid() != owner:
                raise StoreRefused(
                    "this process was forked within a transaction of the store, which is its parent's: "
                    "end it within the block (os._exit), or fork before"
                )
            _commit(made, self._place)
        except psycopg.OperationalError as error:
            if made.broken:
                raise translate(error, self._place, made) from error
            raise
        finally:
            self._inside.discard(threading.get_ident())
            if os.getpid() == owner:
                # Closing alone would let the server undo it in its own time: whoever left the block
                # would meet its locks still.
                with suppress(psycopg.Error):
                    made.rollback()
                made.close()
            else:
                leave(made)  # a goodbye would end the parent's transaction

    def outside(self) -> None:
        """``StoreRefused`` for a thread in one: what it wrote or waited for now would not be part of that,
        and could wait for it for ever."""
        if self._inside and threading.get_ident() in self._inside:
            raise StoreRefused(
                "this thread is in a transaction of the store: pass its connection "
                "(options(connection=...)), or write and wait after the with block"
            )


def _commit(connection: psycopg.Connection[Any], place: Place) -> None:
    """``StoreRefused`` where a statement has failed and the caller went on: the server would answer COMMIT by
    a rollback, and psycopg takes that for a success."""
    if connection.info.transaction_status == psycopg.pq.TransactionStatus.INERROR:
        raise StoreRefused(
            "a statement of this transaction has failed, so nothing of it is stored: let its error leave the "
            "with block, or put what may fail into a savepoint (with connection.transaction())"
        )
    try:
        connection.commit()
    except psycopg.OperationalError as error:
        raise translate(error, place, connection) from error
