"""The pulse of a store: one thread with one connection that listens, rings and beats.

It has nothing that waits for a lock: each of its statements is short and a transaction by itself. So a
worker's heart beats whatever its claims wait for, and a ring is never part of anybody's transaction (one
inside would take a lock that all committing transactions of the cluster share: 12.1k against 2.4k
transactions/s at 32 clients). An answered heartbeat shows as well that the line is open on which the
bells come.
"""

from __future__ import annotations

import contextlib
import logging
import os
import random
import select
import threading
import weakref
from collections.abc import Iterable

import psycopg

from ...clock import monotonic
from ...errors import StoreError
from ...forking import forgets
from .arrays import Texts
from .bells import KINDS, Bell, Kind, channel, ids_in, payloads_of
from .connection import Connection, Opened, open_connection, rows, statement
from .place import Place
from .session import leave

log = logging.getLogger("sidework.store")

RING_SECONDS = 0.002
"""Between two rings at least: what comes meanwhile goes with the next."""
PROBE_SECONDS = 5.0
"""How often a line on which nobody beats is shown to be open."""
BEATS = 4
"""Heartbeats in one lease: three may be lost."""
WATCH_FIRST, WATCH_MOST, WATCH_GROWTH = 0.002, 0.25, 1.5
"""Seconds until a stranger's open transaction is looked at again."""
RETRY_FIRST, RETRY_MOST = 0.05, 0.5
POLL_FIRST, POLL_MOST, POLL_GROWTH, POLL_HEARD = 0.05, 0.5, 1.3, 1.0
"""Seconds between two looks for news without bells: after a find, and at most; and while they are heard."""
IDLE_SECONDS = 10.0
"""A connection that nobody needs any more is kept for so long."""


class Pulse:
    """Starts at its first use, and again after ``close``."""

    def __init__(self, place: Place) -> None:
        self._place = place
        self._patience = max(1.0, place.lease / BEATS)
        self._told_of_pooler = False
        self._forget()
        forgets(self)

    def _forget(self) -> None:
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._closing = False
        self._wake_read, self._wake_write = -1, -1
        self._opened: Opened | None = None
        self._bells: list[Bell] = []
        self._listens: set[Kind] = set()
        self._rings: dict[Kind, list[bytes] | None] = {}
        self._watched: dict[str, tuple[float, float]] = {}
        self._beats: dict[int, float] = {}
        self._trusted: dict[int, float] = {}
        self._rung_at = self._probed_at = self._used_at = 0.0
        self._retry_at, self._retry_wait = 0.0, RETRY_FIRST
        self._away = False  # no connection was to be had when it was last tried
        self.hears = False

    def forget_in_child(self) -> None:
        """The thread is the parent's, and so is the connection."""
        opened, ends = self._opened, (self._wake_read, self._wake_write)
        self._forget()
        for end in ends:
            if end >= 0:
                os.close(end)
        if opened is not None:
            leave(opened.connection)

    # From any thread ----------------------------------------------------------------------------

    def listen(self, kind: Kind) -> Bell:
        """A bell that rings at every notification of its kind."""
        bell = Bell(kind, self._left)
        with self._lock:
            self._bells.append(bell)
            self._start()
        return bell

    def _left(self, bell: Bell) -> None:
        with self._lock:
            if bell in self._bells:
                self._bells.remove(bell)

    def ring(self, kind: Kind, ids: Iterable[bytes] = ()) -> None:
        """Notify all who listen, soon."""
        found = list(ids)
        with self._lock:
            waiting = self._rings.get(kind, [])
            if kind in self._rings and (waiting is None or not found):
                self._rings[kind] = None  # "look at everything" is said already, or is now
            else:
                self._rings[kind] = [*(waiting or ()), *found] if found else None
            # Soon after a ring the thread looks by itself whether another has come (`_due`).
            if self._thread is None or self._closing or not self._rang():
                self._start()

    def watch(self, transaction: str) -> None:
        """Ring for work when a stranger's transaction, by its id, is committed."""
        with self._lock:
            self._watched[transaction] = (monotonic() + WATCH_FIRST, WATCH_FIRST)
            self._start()

    def beat_for(self, worker: int, since: float) -> None:
        """Keep a worker alive that was registered by a statement sent at ``since`` (monotonic)."""
        with self._lock:
            self._beats[worker] = since + self._place.lease / BEATS
            self._trusted[worker] = since + self._place.lease
            self._start()

    def stop_beating(self, worker: int) -> None:
        """It has left."""
        with self._lock:
            self._beats.pop(worker, None)
            self._trusted.pop(worker, None)

    def trust(self, worker: int) -> float:
        """Seconds for which nobody takes the worker for dead: a lease from when its last answered beat was
        *sent*. Whoever watches cannot have seen that beat earlier, and waits a lease from there."""
        return self._trusted.get(worker, 0.0) - monotonic()

    def close(self, patience: float = 1.0) -> None:
        """Ring what is still to be rung, within ``patience`` seconds, and end; unless another store of this
        process listens or beats by it."""
        with self._lock:
            if self._bells or self._beats:
                return
            thread, self._closing = self._thread, True
            self._wake()
        if thread is not None and thread is not threading.current_thread():
            thread.join(patience + self._patience)

    def _start(self) -> None:
        """With the lock in hand: have the thread run, and look."""
        self._closing = False
        if self._thread is None:
            self._wake_read, self._wake_write = os.pipe()
            os.set_blocking(self._wake_read, False)
            os.set_blocking(self._wake_write, False)
            self._thread = threading.Thread(target=self._run, name="sidework-pulse", daemon=True)
            self._thread.start()
        self._wake()

    def _wake(self) -> None:
        if self._wake_write >= 0:
            with contextlib.suppress(BlockingIOError):  # full: woken already
                os.write(self._wake_write, b"\0")

    # The thread ---------------------------------------------------------------------------------

    def _run(self) -> None:
        while not self._ended():
            try:
                if not self._needed():
                    self._rest()
                elif monotonic() >= self._retry_at:
                    self._turn(self._open().connection)
                    self._retry_wait = RETRY_FIRST
                self._wait()
            except (StoreError, psycopg.Error):
                self._lost()
            except Exception:  # a fault of ours must not stop a heart
                log.exception("the pulse of the store stumbled; it goes on")
                self._lost()

    def _ended(self) -> bool:
        """Whether it is to end; then it has, and another thread may begin."""
        with self._lock:
            if not self._closing or (self._rings and not self._away):
                return False
            opened, self._opened = self._opened, None
            ends, self._thread = (self._wake_read, self._wake_write), None
            self._wake_read = self._wake_write = -1
            self._closing = self.hears = False
            self._rings.clear()
        if opened is not None:
            opened.connection.close()
        for end in ends:
            os.close(end)
        return True

    def _needed(self) -> bool:
        with self._lock:
            return bool(self._bells or self._rings or self._watched or self._beats)

    def _rest(self) -> None:
        """Nobody needs it: after a while its connection is the server's again."""
        opened = self._opened
        if opened is not None and monotonic() >= self._used_at + IDLE_SECONDS:
            self._opened, self.hears = None, False
            opened.connection.close()

    def _wait(self) -> None:
        """Until there is something to hear or to do."""
        poll = select.poll()
        poll.register(self._wake_read, select.POLLIN)
        connection = None if self._opened is None else self._opened.connection
        if connection is not None:
            poll.register(connection.pgconn.socket, select.POLLIN)
        for fd, _ in poll.poll(max(0.0, self._due() - monotonic()) * 1000):
            if fd == self._wake_read:
                os.read(self._wake_read, 65536)
            elif connection is not None:
                self._hear(connection)

    def _due(self) -> float:
        now = monotonic()
        with self._lock:
            if self._closing and not self._rings:
                return now
            if now < self._retry_at:
                return self._retry_at
            times = [*self._beats.values(), *(at for at, _ in self._watched.values())]
            if self._rings or self._rang():
                times.append(self._rung_at + RING_SECONDS)
            if self._opened is not None and self._bells:
                times.append(self._probed_at + PROBE_SECONDS)
            elif (
                self._opened is not None and not times
            ):  # else somebody needs it, however idle it was
                times.append(self._used_at + IDLE_SECONDS)
        return min(times, default=now + 60)

    def _rang(self) -> bool:
        """Whether it is too early for the next ring."""
        return monotonic() < self._rung_at + RING_SECONDS

    def _open(self) -> Opened:
        if self._opened is None:
            opened = open_connection(
                self._place,
                self._patience,
                name="sidework pulse",
                plan_proof=False,
            )
            connection = opened.connection
            connection.add_notify_handler(self._heard)
            self._opened, self._probed_at, self._away = opened, monotonic(), False
            self._used_at = self._probed_at
            self._listens.clear()
            if opened.pooled and not self._told_of_pooler:
                self._told_of_pooler = True
                log.info(
                    "a pooler is between here and %s: bells are off, news are looked for every %g to %g s",
                    self._place.shown, POLL_FIRST, POLL_MOST,
                )  # fmt: skip
        return self._opened

    def _listen(self, connection: Connection) -> None:
        """Hear what there are bells for, and nothing else: a client that only enqueues would be woken by
        every ring of its own."""
        with self._lock:
            wanted: set[Kind] = {bell.kind for bell in self._bells}
        fresh = wanted - self._listens
        for kind in fresh:
            connection.execute(f"LISTEN {self._quoted(kind)}".encode())
            self._listens.add(kind)
            # Whatever was rung while nobody listened is lost: look at everything.
            self._tell_all(kind)
        self.hears = True

    def _lost(self) -> None:
        opened, self._opened = self._opened, None
        self.hears, self._away = False, opened is None
        if opened is not None:
            opened.connection.close()
        self._retry_at = monotonic() + self._retry_wait * random.uniform(0.5, 1.0)
        self._retry_wait = min(RETRY_MOST, self._retry_wait * 2)

    def _turn(self, connection: Connection) -> None:
        """Everything that is due."""
        if self._opened is not None and not self._opened.pooled:
            self._listen(connection)
        now = monotonic()
        with self._lock:
            beats = [worker for worker, at in self._beats.items() if at <= now]
            watched = [one for one, (at, _) in self._watched.items() if at <= now]
            rings: dict[Kind, list[bytes] | None] = {}
            if self._rings and now >= self._rung_at + RING_SECONDS:
                rings, self._rings = self._rings, {}
        for worker in beats:
            self._beat(connection, worker)
        if watched:
            self._look_after(connection, watched)
        if rings:
            self._notify(connection, rings)
        if beats or watched or rings:
            self._used_at = monotonic()
        elif self._bells and now >= self._probed_at + PROBE_SECONDS:
            connection.execute(b"SELECT 1")
            self._probed_at = monotonic()

    def _beat(self, connection: Connection, worker: int) -> None:
        sent = monotonic()
        sql = statement("beat", self._place.schema)
        known = rows(connection, sql, sql.values({"worker": worker, "now": None}))
        self._probed_at = monotonic()
        with self._lock:
            if worker in self._beats and known:
                self._beats[worker] = sent + self._place.lease / BEATS
                self._trusted[worker] = sent + self._place.lease
            elif not known:
                # Taken for dead, and numbers do not come again. The worker learns it when it next asks
                # what it holds.
                self._beats.pop(worker, None)
                self._trusted.pop(worker, None)

    def _look_after(self, connection: Connection, transactions: list[str]) -> None:
        sql = b"SELECT id, pg_xact_status(id::xid8) FROM unnest($1::text[]) AS watched (id)"
        now = monotonic()
        try:
            found = connection.execute(sql, [Texts(transactions)], binary=True).fetchall()
        except psycopg.errors.InvalidParameterValue:
            # Of a server that a failover or a restored backup has put behind them: it has yet to give out one
            # of these numbers. Asked again it would only say so again, and no bell would ring any more.
            with self._lock:
                for id_ in transactions:
                    del self._watched[id_]
                self._rings["work"] = None
            return
        for id_, status in found:
            with self._lock:
                _, wait = self._watched.pop(id_)
                if status == "in progress":
                    wait = min(WATCH_MOST, wait * WATCH_GROWTH)
                    self._watched[id_] = (now + wait, wait)
                elif status == "committed":
                    self._rings["work"] = None

    def _notify(self, connection: Connection, rings: dict[Kind, list[bytes] | None]) -> None:
        calls = [
            f"NOTIFY {self._quoted(kind)}, '{payload}'"
            for kind, ids in rings.items()
            for payload in payloads_of(ids)
        ]
        connection.tell("; ".join(calls).encode())
        self._rung_at = monotonic()

    def _quoted(self, kind: Kind) -> str:
        return '"' + channel(self._place.schema, kind).replace('"', '""') + '"'

    def _hear(self, connection: Connection) -> None:
        connection.pgconn.consume_input()
        while (heard := connection.pgconn.notifies()) is not None:
            self._ring_here(heard.relname.decode(), heard.extra.decode())

    def _heard(self, heard: psycopg.Notify) -> None:
        self._ring_here(heard.channel, heard.payload)

    def _ring_here(self, name: str, payload: str) -> None:
        for kind in KINDS:
            if name == channel(self._place.schema, kind):
                with self._lock:
                    listening = [bell for bell in self._bells if bell.kind == kind]
                for bell in listening:
                    bell.ring(ids_in(payload))

    def _tell_all(self, kind: Kind) -> None:
        with self._lock:
            listening = [bell for bell in self._bells if bell.kind == kind]
        for bell in listening:
            bell.ring(b"")


_pulses: weakref.WeakValueDictionary[str, Pulse] = weakref.WeakValueDictionary()
_guard = threading.Lock()


def pulse_of(place: Place) -> Pulse:
    """The one of this process for a place: its stores share it, and so its connection."""
    with _guard:
        pulse = _pulses.get(place.url)
        if pulse is None:
            pulse = _pulses[place.url] = Pulse(place)
        return pulse


def _forked() -> None:
    global _guard
    _guard = threading.Lock()  # a thread that is not there may have held it


os.register_at_fork(after_in_child=_forked)
