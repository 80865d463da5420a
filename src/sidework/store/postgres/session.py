"""One connection of a store with its lock: statements, and transactions that are tried again when the
server undid them for reasons of its own.

Fork rule: a forked child never speaks on its parent's connection, not even to say goodbye. It leaves
it, with its descriptor turned to nowhere, and opens its own.
"""

from __future__ import annotations

import os
import random
import select
import threading
from collections.abc import Callable, Sequence
from typing import Any, TypeVar
from uuid import UUID

import psycopg

from ...clock import monotonic
from ...errors import StoreError, StoreRefused
from ...forking import forgets
from ..protocol import STOP_SECONDS
from .connection import (
    AGAIN,
    READ_ONLY,
    TRIES,
    Connection,
    Opened,
    Sql,
    check_version,
    rows,
    settings,
    translate,
)
from .opening import Opening
from .place import Place

T = TypeVar("T")

PATIENCE = 10.0
"""Seconds within which the server has to answer a client's statement."""
PATIENCE_SHARE = 4
"""A worker's statement may take this part of its lease: then it looks whether it is still trusted."""

LEAST_SECONDS = 0.3
"""What a statement gets even when the time to leave is over, or trust is about to be."""

_left: list[Any] = []
"""Connections of a parent process: kept for ever, since collecting one would say goodbye on its socket."""


class Session:
    """A connection that opens at its first use. Safe from several threads: one at a time.

    ``patience``: seconds within which the server has to answer a statement. ``trust``: a worker's; its
    loop must be free to stop jobs when so little of it is left that they have to be.
    """

    def __init__(self, place: Place, patience: float) -> None:
        self.place = place
        self.patience = patience
        self.trust: Callable[[], float] | None = None
        self._lock = threading.RLock()
        self._opened: Opened | None = None
        self._opening: Opening | None = None
        self._pid = 0
        self._leaves_at: float | None = None
        self.mark: UUID | None = None
        """The schema's, as it was when the connection was last opened; None before."""
        forgets(self)

    @property
    def pooled(self) -> bool:
        """Whether a pooler was found between, as far as that is known."""
        return self._opened is not None and self._opened.pooled

    @property
    def version(self) -> int | None:
        """The schema version that the open connection found."""
        return None if self._opened is None else self._opened.version

    def one(self, sql: Sql, values: Sequence[Any], *, again: bool = False) -> list[tuple[Any, ...]]:
        """Run one statement, a transaction by itself; its rows. ``again``: it may be sent twice, so a
        connection that breaks under it is no error as long as another can be had."""
        return self._run(self._alone(lambda connection: rows(connection, sql, values)), again=again)

    def read(self, work: Callable[[Connection], T]) -> T:
        """Run ``work``, which only reads."""
        return self._run(self._alone(work), again=True, writes=False)

    def _alone(self, work: Callable[[Connection], T]) -> Callable[[Connection], T]:
        """``work`` that needs no transaction but for our settings, which no session behind a pooler keeps."""
        whole = self._whole(work)
        return lambda connection: whole(connection) if self.pooled else work(connection)

    def write(self, work: Callable[[Connection], T], *, again: bool = False) -> T:
        """Run ``work`` in one transaction; all of it is stored, or nothing. It may be called twice."""
        return self._run(self._whole(work), again=again)

    def _whole(self, work: Callable[[Connection], T]) -> Callable[[Connection], T]:
        """``work`` as one transaction."""

        def whole(connection: Connection) -> T:
            connection.execute(b"BEGIN ISOLATION LEVEL READ COMMITTED")
            try:
                if self.pooled:
                    connection.execute(*settings(local=True))
                result = work(connection)
                connection.execute(b"COMMIT")
            except BaseException:
                _undo(connection)
                raise
            return result

        return whole

    def piped(self, work: Callable[[Connection], Callable[[], T]]) -> T:
        """As ``write``, in the protocol's pipeline mode: a statement whose rows nobody waits for costs no
        round trip of its own. ``work`` returns what makes the result of the rows, once all is stored.

        Not behind a pooler: PgBouncer 1.18 now and then keeps what a pipeline sends while its connections are
        taken (of 40 runs of two workers on one, five stood still until they gave up)."""

        def whole(connection: Connection) -> T:
            if self.pooled:
                return self._whole(work)(connection)()
            try:
                result = self._in_pipeline(connection, work)
            except psycopg.Error:
                # Statements behind the one that failed did not reach the server; the driver may hold them for
                # prepared there, and would call them by names that do not exist, for ever.
                connection.close()
                raise
            except BaseException:
                _undo(connection)
                raise
            return result()

        return self._run(whole, again=False)

    def _in_pipeline(
        self, connection: Connection, work: Callable[[Connection], Callable[[], T]]
    ) -> Callable[[], T]:
        failure: BaseException | None = None
        result: Callable[[], T] | None = None
        try:
            with connection.pipeline():
                # What fails is kept until the pipeline has ended: psycopg would log what follows from it.
                try:
                    connection.execute(b"BEGIN ISOLATION LEVEL READ COMMITTED")
                    result = work(connection)
                    # Behind a statement that failed the server does not run it.
                    connection.execute(b"COMMIT")
                except BaseException as error:  # noqa: BLE001 - raised below
                    failure = error
        except psycopg.Error as error:
            failure = failure or error
        if failure is not None:
            raise failure
        assert result is not None  # else there was a failure
        return result

    def _run(self, work: Callable[[Connection], T], *, again: bool, writes: bool = True) -> T:
        tries, began = 0, monotonic()
        lost: StoreError | None = None
        while True:
            tries += 1
            with self._lock:
                try:
                    connection, patience = self._open(), self._patience()
                except StoreError as away:
                    # That another connection is not to be had says nothing of what was sent on the first.
                    if lost is None:
                        raise
                    raise lost from away
                try:
                    return work(connection)
                except psycopg.Error as error:
                    broken = connection.closed or connection.broken
                    demoted = error.sqlstate == READ_ONLY
                    if broken or demoted:
                        self._shut()
                    undone = (
                        error.sqlstate in AGAIN or (broken and again) or (demoted and tries == 1)
                    )
                    ours = translate(error, self.place, connection if writes else None)
                    if not undone or tries >= TRIES or monotonic() - began >= patience:
                        raise ours from error
                    if broken:
                        lost = ours if writes else None
                        # The second connection is asked at once, further ones with a pause for the
                        # server to come up again.
                        threading.Event().wait(0.0 if tries == 1 else 0.1 * tries)
                    elif tries > 1:
                        # Whoever was in the way takes a while to be through: at once, all tries would
                        # meet the same one. 0.3 to 0.6 s in all.
                        threading.Event().wait(random.uniform(0.5, 1) * 0.005 * 2 ** (tries - 1))
                except BaseException:
                    # A signal's handler that raises (a program's own timeout) leaves a statement under way:
                    # the driver cancels it for Control-C only, and would take no other one any more.
                    if connection.closed or not _is_idle(connection):
                        self._shut()
                    raise

    def _patience(self) -> float:
        patience = self.patience
        if self._leaves_at is not None:
            patience = min(patience, self._leaves_at - monotonic())
        if self.trust is not None and (trust := self.trust()) > 0:
            # Below zero nothing runs any more that has to be stopped, and it may take its time again.
            patience = min(patience, trust - STOP_SECONDS)
        return max(LEAST_SECONDS, patience)

    def _open(self) -> Connection:
        if self._opened is not None:
            if self._pid != os.getpid():
                raise StoreRefused(
                    f"this process was forked with a connection to {self.place.shown} open, by something "
                    "that skips Python's fork hooks: open the app after the fork, or start processes by spawn"
                )
            if not _has_ended(self._opened.connection):
                return self._opened.connection
            self._shut()
        opened = self._connect()
        try:
            check_version(opened.version, self.place)
        except StoreError:
            opened.connection.close()
            raise
        self._opened, self._pid, self.mark = opened, os.getpid(), opened.mark
        return opened.connection

    def _connect(self) -> Opened:
        if self._opening is None or self._opening.failed:  # also since somebody lost patience
            self._opening = Opening(self.place)
        opened = self._opening.wait(self._patience())
        self._opening = None
        opened.connection.patience = self._patience
        return opened

    def hurry(self, seconds: float) -> None:
        """Until it is closed, wait for the server no longer than this, all waits together."""
        self._leaves_at = monotonic() + seconds

    def close(self) -> None:
        """Close the connection; the next use opens it again, and is in no hurry."""
        with self._lock:
            self._shut()
            if self._opening is not None:
                self._opening.abandon()
                self._opening = None
            self._leaves_at = None

    def _shut(self) -> None:
        opened, self._opened = self._opened, None
        if opened is not None and self._pid == os.getpid():
            opened.connection.close()

    def forget_in_child(self) -> None:
        """In a forked child: the connection is the parent's."""
        self._lock = threading.RLock()
        self._opening = None
        opened, self._opened = self._opened, None
        if opened is not None:
            leave(opened.connection)


def leave(connection: psycopg.Connection[Any]) -> None:
    """Give up a parent's connection without a word: whatever is still written to it goes nowhere."""
    _left.append(connection)
    try:
        nowhere = os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC)
        os.dup2(nowhere, connection.pgconn.socket, inheritable=False)
        os.close(nowhere)
    except (OSError, psycopg.Error):
        pass  # it was closed: there is no socket to speak on


def _has_ended(connection: Connection) -> bool:
    """Whether the server has ended a connection that lay idle: there is something to read, if only the
    end. Seen before anything is sent, so that nothing is in doubt."""
    if connection.closed:
        return True
    poll = select.poll()
    poll.register(connection.pgconn.socket, select.POLLIN)
    if not poll.poll(0):
        return False
    # It may be no more than a notice or a changed parameter.
    try:
        connection.pgconn.consume_input()
    except psycopg.Error:
        return True
    return connection.pgconn.status != psycopg.pq.ConnStatus.OK or bool(poll.poll(0))


def _undo(connection: Connection) -> None:
    """Leave no transaction open; a connection that cannot even do that is closed."""
    try:
        if connection.pgconn.pipeline_status != psycopg.pq.PipelineStatus.OFF:
            connection.close()  # interrupted (Control-C) while its pipeline ended
        if not connection.closed and not _is_idle(connection):
            connection.execute(b"ROLLBACK")
    except psycopg.Error:
        connection.close()


def _is_idle(connection: Connection) -> bool:
    """Whether it is in no transaction and no statement."""
    return connection.info.transaction_status == psycopg.pq.TransactionStatus.IDLE
