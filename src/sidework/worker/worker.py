"""The worker's loop: hear the children, record and claim in one transaction, hand out, look after.

It runs no user code and nothing calls back into it. Everything that waits is waited for in one
place, `select`; everything else is done in a moment.
"""

from __future__ import annotations

import logging
import math
import os
import selectors
import socket
import subprocess
from collections.abc import Callable, Mapping

from ..clock import monotonic
from ..crashpoint import reach
from ..duration import text_of
from ..errors import SideworkError, StoreError, StoreMissing, StoreUnavailable
from ..store.protocol import Demand, Listener, Store
from ..wire import Hold, Stop, TakeBack
from .beacon import Beacon
from .chores import Chores
from .crew import Crew
from .dispatcher import Dispatcher
from .guard import Guard
from .hunger import Hunger
from .inbox import Inbox
from .peer import Peer
from .periodics import Periodics
from .recorder import Recorder
from .supervisor import Supervisor
from .telling import Teller, declare, introduce
from .widths import Widths

log = logging.getLogger("sidework.worker")

CANCELLING_SECONDS = 0.25
"""How often the store is asked for jobs to cancel when no bell rings."""
DEATH_SECONDS = 0.5
"""How often it is looked whether a child has died behind an open pipe."""
VERIFY_SECONDS, VERIFY_CUT_OFF = 5.0, 0.5
"""How often the worker makes sure that it is known and holds what the store believes it to hold; and
while it claims nothing, since it may have been taken for dead."""
LEAVE_SECONDS, LEAVE_AT_ONCE = 5.0, 1.0
"""How long a worker that leaves waits for a store that is held by others; a second signal is urgent."""
RETRY_FIRST, RETRY_MOST = 0.1, 2.0
"""Seconds until a store that did not answer is tried again, at first and at most."""
BEGIN_MOST = 0.5
"""The same at most for one that is not there yet: whoever waits for the first job looks at the clock."""


class Worker:
    """Claims for its children until asked to stop."""

    def __init__(
        self,
        crew: Crew,
        open_store: Callable[[str], Store],
        lanes: tuple[str, ...] = (),
        grace: float = 30.0,
        on_ready: Callable[[], None] = lambda: None,
        *,
        waits: bool = True,
        widths: Mapping[str, int] | None = None,
        each_at: int = logging.DEBUG,
        beacon: Beacon | None = None,
        makes: Callable[[str], Store] | None = None,
    ) -> None:
        self._crew = crew
        self._open_store = open_store
        self._makes = (
            makes or open_store
        )  # for an app of whose jobs the clock may enqueue the first
        self._lanes = lanes
        self._grace = grace
        self._on_ready = on_ready
        self._beacon = beacon or Beacon(None, {})
        self._waits = waits  # for a store that is not there, or does not answer, at the start
        self._dispatcher = Dispatcher(crew)
        self._teller = Teller(each_at)
        self._supervisor = Supervisor(crew, self._teller)
        self._guard = Guard(crew, self._supervisor)
        self._recorder = Recorder(self._teller)
        self._widths = Widths(widths or {})
        self._hunger = Hunger()
        self._inbox = Inbox(self._supervisor, self._recorder, self._teller, self._hunger)
        self._selector = selectors.DefaultSelector()
        self._wake_read, self._wake_write = socket.socketpair()
        for end in (self._wake_read, self._wake_write):
            end.setblocking(False)
        self._selector.register(self._wake_read, selectors.EVENT_READ, "wake")
        self._store: Store | None = None
        self._bell: Listener | None = None
        self._chores: Chores | None = None
        self._worker = 0
        self._life: str | None = None
        self._told_waiting = ""
        self._asked_at = self._counted_at = self._verified_at = 0.0
        self._retry_at, self._retry_wait = 0.0, RETRY_FIRST
        self._stops = 0
        self._drain_until: float | None = None
        self._alone = False  # no other worker would run what parked jobs wait for
        self._fatal: SideworkError | None = None

    # From outside -------------------------------------------------------------------------------

    def stop(self) -> None:
        """Drain; the second time, leave at once. Safe from signal handlers and other threads."""
        self._stops += 1
        if self._stops > 1 and self._store is not None:
            self._store.hurry(LEAVE_AT_ONCE)  # the loop itself may stand in line for the store
        try:
            self._wake_write.send(b"\0")
        except OSError:
            pass  # full: already woken; closed: already gone

    def run(self) -> None:
        """Work until stopped; raises ``SideworkError`` when it cannot begin."""
        try:
            while not self._finished():
                self._turn()
        finally:
            self._leave()
        if self._fatal is not None:
            raise self._fatal

    def watch(self, peer: Peer) -> None:
        """Listen to a child that was started."""
        self._selector.register(peer.socket, selectors.EVENT_READ, peer)

    # The loop -----------------------------------------------------------------------------------

    def _turn(self) -> None:
        if not self._stops:
            for peer in self._crew.refill():
                self.watch(peer)
        elif self._drain_until is None:
            self._begin_drain()
        for key, _ in self._selector.select(self._pause()):
            if isinstance(key.data, Peer):
                self._hear(key.data)
            elif key.data == "wake":
                self._wake_read.recv(4096)
            elif self._bell is not None and self._bell.read():
                self._hunger.wake()
                self._asked_at = 0.0
        now = monotonic()
        self._beacon.turn(now)
        for peer in self._crew.peers:
            peer.flush()
            peer.measure(now)
            events = selectors.EVENT_READ | (selectors.EVENT_WRITE if peer.wants_to_write else 0)
            self._selector.modify(peer.socket, events, peer)
        self._supervisor.look(now)
        if now - self._counted_at >= DEATH_SECONDS:
            self._counted_at = now
            self._look_for_dead()
            self._crew.reap_orphans()
            self._crew.dismiss_idle(now)
        self._tell_failures()
        if self._store is None:
            self._begin()
            return
        if self._guard.look(self._store, self._worker, now):
            self._retry_at = 0.0
        if now >= self._retry_at and not self._guard.stopping:
            self._exchange(self._store, now)

    def _pause(self) -> float:
        """How long to wait for news, in seconds."""
        if self._store is None:
            return 0.1
        if self._guard.stopping:
            return 0.05
        late = self._retry_at - monotonic()
        if late > 0:
            return min(late, 0.1)
        if self._recorder.has_news or self._demand() is not None:
            return 0.0
        return self._hunger.patience()

    def _exchange(self, store: Store, now: float) -> None:
        """Everything that is said to the store. When it does not answer nothing is lost: outcomes
        stay here until it takes them, and children go on with what they have."""
        try:
            every = VERIFY_CUT_OFF if self._guard.cut_off else VERIFY_SECONDS
            if self._recorder.unsure or now - self._verified_at >= every:
                self._verified_at = now
                self._reconcile(store)
            self._hunger.look(store, now)
            self._recorder.look(now)
            self._record_and_claim(store)
            if now - self._asked_at >= CANCELLING_SECONDS:
                self._asked_at = now
                if any(peer.jobs for peer in self._crew.peers):
                    self._supervisor.cancel(set(store.cancelling(self._worker)), now)
            self._retry_wait = RETRY_FIRST
        except StoreError as error:
            waiting = len(self._recorder.waiting)
            kept = f" {waiting} outcomes are kept until it does." if waiting else ""
            log.error("the store does not answer as it should: %s.%s", error, kept)
            self._retry_at = monotonic() + self._retry_wait
            self._retry_wait = min(RETRY_MOST, self._retry_wait * 2)

    def _demand(self) -> Demand | None:
        if self._stops or self._fatal is not None or self._guard.cut_off:
            return None
        places = self._dispatcher.places(self._hunger.runners)
        if not places:
            return None
        running = (job for peer in self._crew.peers for job in peer.jobs.values())
        return Demand(self._worker, places, self._lanes, self._widths.most(running))

    def _record_and_claim(self, store: Store) -> None:
        ends = list(self._recorder.waiting)
        if self._widths.make_room(ends):
            self._hunger.wake()
        demand = self._demand()
        if not self._recorder.has_news and demand is None:
            return
        turn = self._recorder.turn(store, demand)
        self._hunger.learn(turn, claimed=demand is not None)
        if self._widths.learn(ends[: len(turn.took)], turn):
            store.ring_work()
        if turn.claimed:
            reach("worker: before dispatch")
            jobs, back = self._guard.admit(store, self._worker, turn.claimed)
            started, homeless = self._dispatcher.dispatch(jobs)
            for peer in started:
                self.watch(peer)
            self._recorder.add([*homeless, *back])
            reach("worker: dispatched")

    def _reconcile(self, store: Store) -> None:
        """After a turn whose end is not known (see `recorder`), and from time to time."""
        held = [job for peer in self._crew.peers for job in peer.jobs.values()]
        if not self._recorder.reconcile(store, self._worker, held):
            # Another worker took this one for dead, or the database is a new one. What runs goes
            # on, and its fences decide whether its outcomes still land, unless its task stops here.
            self._guard.lost(monotonic())
            log.warning("the store does not know this worker any more: it registers again")
            self._enrol(store)

    # What children say --------------------------------------------------------------------------

    def _hear(self, peer: Peer) -> None:
        closed = self._inbox.take(peer)
        self._hold(peer)
        if closed:
            self._bury(peer)

    def _bury(self, peer: Peer) -> None:
        self._selector.unregister(peer.socket)
        self._recorder.add(self._supervisor.bury(peer))
        self._hunger.wake()

    def _look_for_dead(self) -> None:
        """Mostly a closed pipe tells of a death, but a program that a job started may hold it open."""
        for peer in self._crew.dead():
            self._inbox.empty(peer)
            self._bury(peer)

    def _tell_failures(self) -> None:
        """A child that cannot import what it is to is the end of a worker that has not begun."""
        for peer, line in self._inbox.failures:
            if self._store is None:
                self._fatal = SideworkError(line)  # told by whoever called run()
            else:
                log.error("%s cannot start: %s", peer.name, line)
        self._inbox.failures.clear()

    # Coming and going ---------------------------------------------------------------------------

    def _begin(self) -> None:
        """Open the store and be known in it. One that is not there yet, or does not answer, is waited for:
        programs, servers and workers start in any order. Anything else does not mend by waiting."""
        hello = self._inbox.hello
        if hello is None or self._fatal is not None or monotonic() < self._retry_at:
            return
        store: Store | None = None
        try:
            store = (self._makes if hello.declares.entries else self._open_store)(hello.url)
            self._enrol(store)
            declare(store, hello)
            periodics = Periodics(lambda: self._worker, hello.declares)
            periodics.declare(store)
            bell = store.listen("work")
        except StoreError as error:
            if store is not None:
                store.close()
            if not self._waits or not isinstance(error, (StoreMissing, StoreUnavailable)):
                self._fatal = error
                return
            if str(error) != self._told_waiting:
                self._told_waiting = str(error)
                self._beacon.waiting(str(error))
                log.info("waiting: %s", error)
            self._retry_at = monotonic() + self._retry_wait
            self._retry_wait = min(BEGIN_MOST, self._retry_wait * 2)
            return
        self._retry_at, self._retry_wait = 0.0, RETRY_FIRST
        self._store, self._bell = store, bell
        if bell.fileno() >= 0:
            self._selector.register(bell.fileno(), selectors.EVENT_READ, "bell")
        self._chores = Chores(lambda: self._open_store(hello.url), hello.retention, periodics)
        self._chores.start()
        introduce(self._worker, hello, self._lanes, self._crew)
        self._beacon.ready(monotonic())
        self._on_ready()

    def _enrol(self, store: Store) -> None:
        row = store.register(socket.gethostname(), os.getpid(), self._lanes)
        self._worker, self._life = row.id, row.life
        self._recorder.unsure = False
        for peer in self._crew.peers:
            peer.held = False
            self._hold(peer)

    def _hold(self, peer: Peer) -> None:
        """Have a child hold its byte of the life file: death is told only when it, too, is gone."""
        if self._life is not None and peer.process is not None and peer.ready and not peer.held:
            peer.held = True
            peer.send(Hold(self._life, peer.number))

    def _begin_drain(self) -> None:
        self._drain_until = monotonic() + self._grace
        self._beacon.stopping()
        log.info("draining: finishing what runs, at most %s", text_of(self._grace))
        for peer in self._crew.peers:
            peer.send(TakeBack())
        try:
            others = [] if self._store is None else self._store.workers()
            self._alone = not any(one.alive and one.id != self._worker for one in others)
        except StoreError:
            self._alone = False

    def _finished(self) -> bool:
        if self._fatal is not None or self._stops > 1:
            return True
        if not self._stops or self._drain_until is None:
            return bool(self._stops) and self._store is None
        if self._recorder.unsettled and monotonic() < self._drain_until:
            return False
        return not self._crew.works(alone=self._alone) or monotonic() >= self._drain_until

    def _leave(self) -> None:
        """The children end before the last word: what goes back must not run any more."""
        self._beacon.stopping()
        patience = LEAVE_AT_ONCE if self._stops > 1 else LEAVE_SECONDS
        if self._store is not None:
            self._store.hurry(patience)
        self._recorder.add(self._supervisor.cut_short(monotonic()))
        self._guard.close()
        for peer in self._crew.peers:
            peer.stopping = True
            peer.send(Stop())
            if self._stops > 1 or not peer.ready:
                self._crew.kill(peer)
        for peer in list(self._crew.peers):
            try:
                if peer.process is not None:
                    peer.process.wait(5)
            except subprocess.TimeoutExpired:
                self._crew.kill(peer)
            self._crew.remove(peer)
        if self._chores is not None:
            self._chores.close(patience)
        if self._store is not None:
            self._store.hurry(patience)  # from now on: the children may have taken their time
            self._say_goodbye(self._store)
        if self._bell is not None:
            self._bell.close()
        self._selector.close()
        self._wake_read.close()
        self._wake_write.close()

    def _say_goodbye(self, store: Store) -> None:
        self._recorder.look(math.inf)  # what is held even now is left to a rescue
        try:
            while self._recorder.has_news:
                self._recorder.turn(store, None)
            store.retire(self._worker)
        except StoreError as error:
            log.error("left without a word to the store (another worker will rescue): %s", error)
        store.close()
