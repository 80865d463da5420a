"""The dispatcher: one loop that reads outcomes, records them and claims in the same transaction,
and hands out what it claimed. It runs no user code and nothing calls back into it."""

from __future__ import annotations

import logging
import math
import os
import selectors
import signal
import socket
import subprocess
from collections.abc import Callable

from ..clock import monotonic, now_ms
from ..crashpoint import reach
from ..duration import text_of
from ..errors import SideworkError, StoreError, StoreMissing, StoreRefused
from ..ids import id_text
from ..job import RUNNERS, Claimed, Runner
from ..outcome import Failure, Outcome, encode_failure
from ..retry import delay_seconds
from ..store.protocol import Demand, Listener, Store
from ..wire import (
    Cancel,
    Done,
    HandedBack,
    Hello,
    Hold,
    ImportFailed,
    Ping,
    Pong,
    Started,
    Stop,
    TakeBack,
    ToWorker,
    Warn,
    Why,
)
from .chores import Chores
from .crew import GRACE_AFTER_TERM, Crew
from .peer import Peer

log = logging.getLogger("sidework.worker")

SAFETY_SECONDS = 0.1
"""How often the data version is looked at when no bell rings."""
SCAN_SECONDS = 1.0
"""How often a claim is tried whatever the hints say (promise I10)."""
MOST_OUTCOMES = 500
STUCK_SECONDS = 0.25
PING_SECONDS = 0.2
"""A child that has not answered for two of these is told of: at most 0.9 s after its GIL was taken."""


class Worker:
    """Claims for its children until asked to stop."""

    def __init__(
        self,
        crew: Crew,
        open_store: Callable[[str], Store],
        lanes: tuple[str, ...] = (),
        grace: float = 30.0,
        on_ready: Callable[[], None] = lambda: None,
    ) -> None:
        self._crew = crew
        self._open_store = open_store
        self._lanes = lanes
        self._grace = grace
        self._on_ready = on_ready
        self._selector = selectors.DefaultSelector()
        self._wake_read, self._wake_write = socket.socketpair()
        for end in (self._wake_read, self._wake_write):
            end.setblocking(False)
        self._selector.register(self._wake_read, selectors.EVENT_READ, "wake")
        self._store: Store | None = None
        self._bell: Listener | None = None
        self._worker = 0
        self._life: str | None = None
        self._chores: Chores | None = None
        self._hello: Hello | None = None
        self._told_missing = False
        self._timeouts: dict[str, int | None] = {}
        self._outcomes: list[Outcome] = []
        # Runners for which there may be jobs to claim: a hint, refreshed by bells and by time.
        self._hungry: set[Runner] = set(RUNNERS)
        self._next_due: int | None = None
        self._version = -1
        self._looked = self._scanned = self._pinged = self._swept = 0.0
        self._retry_at = 0.0
        self._stops = 0
        self._drain_until: float | None = None
        self._pongs: dict[int, float] = {}
        self.fatal: str | None = None
        self.recorded = 0

    # From outside -------------------------------------------------------------------------------

    def stop(self) -> None:
        """Drain; the second time, leave at once. Safe from signal handlers and other threads."""
        self._stops += 1
        try:
            self._wake_write.send(b"\0")
        except BlockingIOError:
            pass

    def run(self) -> None:
        """Work until stopped; raises ``SideworkError`` when it cannot begin."""
        try:
            while not self._finished():
                self._turn()
        finally:
            self._leave()
        if self.fatal is not None:
            raise SideworkError(self.fatal)

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
                self._drain_socket()
            elif self._bell is not None and self._bell.read():
                self._hungry.update(RUNNERS)
                self._swept = 0.0
        now = monotonic()
        for peer in self._crew.peers:
            peer.flush()
            peer.measure(now)
            events = selectors.EVENT_READ | (selectors.EVENT_WRITE if peer.wants_to_write else 0)
            self._selector.modify(peer.socket, events, peer)
        if self._store is not None:
            self._guarded(now)
        elif self._hello is not None and self.fatal is None:
            self._begin()

    def _guarded(self, now: float) -> None:
        if now < self._retry_at:
            return
        try:
            self._hints(now)
            self._record_and_claim(now)
            self._sweep(now)
        except StoreError as error:
            # Nothing is lost: outcomes stay here until the store takes them.
            log.error("the store does not answer, %d outcomes wait: %s", len(self._outcomes), error)
            self._retry_at = monotonic() + 0.5
            if isinstance(error, StoreRefused):
                self._retry_at += 1.5

    def _pause(self) -> float:
        """How long to wait for news."""
        now = monotonic()
        if self._store is None:
            return 0.1
        if now < self._retry_at:
            return self._retry_at - now
        if self._outcomes:
            return 0.0
        if any(count for runner, count in self._places().items() if runner in self._hungry):
            return 0.0
        wait = SAFETY_SECONDS
        if self._next_due is not None:
            wait = min(wait, max(0.0, (self._next_due - now_ms()) / 1000))
        return wait

    def _hints(self, now: float) -> None:
        assert self._store is not None
        if self._next_due is not None and self._next_due <= now_ms():
            self._next_due = None
            self._hungry.update(RUNNERS)
        if now - self._scanned >= SCAN_SECONDS:
            self._hungry.update(RUNNERS)
        # Also while some runner is hungry: one whose places are all taken stays so for as long.
        if len(self._hungry) < len(RUNNERS) and now - self._looked >= SAFETY_SECONDS:
            self._looked = now
            version = self._store.version()
            if version != self._version:
                self._version = version
                self._hungry.update(RUNNERS)

    def _places(self) -> dict[Runner, int]:
        if self._stops or self.fatal:
            return {}
        places: dict[Runner, int] = {"loop": 0, "thread": 0}
        for peer in self._crew.peers:
            if not peer.solo:
                places["loop"] += peer.places("loop")
                places["thread"] += peer.places("thread")
        places["process"] = self._crew.solo_places()
        return places

    def _record_and_claim(self, now: float) -> None:
        assert self._store is not None
        batch = self._outcomes[:MOST_OUTCOMES]
        demand = None
        if self._hungry:
            left = MOST_OUTCOMES
            places: dict[Runner, int] = {}
            for runner, count in self._places().items():
                if count and runner in self._hungry:
                    places[runner] = min(count, left)
                    left -= places[runner]
            if places:
                demand = Demand(self._worker, places, self._lanes)
        if not batch and demand is None:
            return
        turn = self._store.turn(batch, demand)
        del self._outcomes[: len(batch)]
        self.recorded += len(batch)
        for outcome, took in zip(batch, turn.took, strict=True):
            if not took:
                log.info("job %s: fence %d had lost its claim", id_text(outcome.id), outcome.fence)
        self._next_due = turn.next_due
        if demand is not None:
            self._scanned = now
            self._hungry -= turn.short
            if turn.claimed:
                reach("worker: before dispatch")
                self._dispatch(turn.claimed)
                reach("worker: dispatched")

    def _dispatch(self, jobs: list[Claimed]) -> None:
        """Each job to the child with most room for it."""
        shares: dict[int, tuple[Peer, list[Claimed]]] = {}
        shared = [peer for peer in self._crew.peers if not peer.solo and peer.ready]
        for job in jobs:
            if job.runner == "process" or not shared:
                peer = self._crew.idle_solo()
                if peer is None:
                    peer = self._crew.start(solo=True)
                    self.watch(peer)
                peer.give([job])
                continue
            runner = job.runner

            def room(peer: Peer, runner: Runner = runner) -> int:
                return peer.places(runner) - len(shares.get(peer.number, (peer, []))[1])

            peer = max(shared, key=room) if len(shared) > 1 else shared[0]
            shares.setdefault(peer.number, (peer, []))[1].append(job)
        for peer, share in shares.values():
            peer.give(share)

    # What children say --------------------------------------------------------------------------

    def watch(self, peer: Peer) -> None:
        """Listen to a child that was started."""
        self._selector.register(peer.socket, selectors.EVENT_READ, peer)

    def _hear(self, peer: Peer) -> None:
        messages, closed = peer.receive()
        for message in messages:
            self._handle(peer, message)
        if closed:
            self._bury(peer)

    def _handle(self, peer: Peer, message: ToWorker) -> None:
        now = monotonic()
        if isinstance(message, Done):
            reach("worker: outcomes received")
            peer.progress_at = now
            for seq, outcome in zip(message.seqs, message.outcomes, strict=True):
                if peer.take(seq, finished=True) is not None:
                    self._outcomes.append(outcome)
        elif isinstance(message, Started):
            for seq in message.seqs:
                if seq in peer.jobs:
                    peer.started[seq] = now
        elif isinstance(message, HandedBack):
            for seq in message.seqs:
                job = peer.take(seq, finished=False)
                if job is not None:
                    self._outcomes.append(_released(job, "handed back before it started"))
                    self._hungry.update(RUNNERS)
        elif isinstance(message, Hello):
            self._welcome(peer, message)
        elif isinstance(message, ImportFailed):
            if self._store is None:
                self.fatal = message.line  # told by whoever called run()
            else:
                log.error("%s cannot start: %s", peer.name, message.line)
        elif isinstance(message, Pong):
            self._pongs.pop(peer.number, None)
        elif isinstance(message, Warn):
            log.warning(
                "%s: %s%s", peer.name, message.line, "\n" + message.stack if message.stack else ""
            )

    def _welcome(self, peer: Peer, hello: Hello) -> None:
        self._timeouts.update({task.name: task.timeout for task in hello.tasks})
        if self._store is None:
            self._hello = hello
            self._begin()
        peer.ready = True
        self._hold(peer)
        self._hungry.update(RUNNERS)

    def _begin(self) -> None:
        """Open the store and be known in it; while there is none, only wait for it."""
        assert self._hello is not None
        url = self._hello.url
        try:
            store = self._open_store(url)
            row = store.register(socket.gethostname(), os.getpid(), self._lanes)
            bell = store.listen("work")
        except StoreMissing as missing:
            if not self._told_missing:
                self._told_missing = True
                log.info("waiting: %s", missing)
            return
        except StoreError as error:
            self.fatal = str(error)
            return
        self._store, self._worker, self._life = store, row.id, row.life
        self._bell = bell
        if bell.fileno() >= 0:
            self._selector.register(bell.fileno(), selectors.EVENT_READ, "bell")
        self._chores = Chores(lambda: self._open_store(url), self._hello.retention)
        self._chores.start()
        for peer in self._crew.peers:
            self._hold(peer)
        self._on_ready()

    def _hold(self, peer: Peer) -> None:
        """Have a child hold its byte of the life file: death is told only when it, too, is gone."""
        if self._life is not None and peer.process is not None and peer.ready and not peer.held:
            peer.held = True
            peer.send(Hold(self._life, peer.number))

    def _bury(self, peer: Peer) -> None:
        """A child has died: what it had started has crashed, the rest was never touched."""
        self._selector.unregister(peer.socket)
        how = self._crew.remove(peer)
        started = list(peer.started)
        if started or not (peer.stopping or self.fatal):
            log.warning("%s: %s, %d jobs were running", peer.name, how, len(started))
        for seq in list(peer.jobs):
            job = peer.jobs[seq]
            why = peer.killed_for.get(seq)
            if seq not in peer.started:
                self._outcomes.append(_released(job, "its process died before it started"))
            elif why is not None:
                self._outcomes.append(self._ended_by_us(job, why))
            else:
                self._outcomes.append(_crashed(job, how, alone=len(started) == 1))
            peer.take(seq, finished=False)
        self._hungry.update(RUNNERS)

    def _ended_by_us(self, job: Claimed, why: Why) -> Outcome:
        if why == "released":
            return _released(job, "its worker stopped")
        if why == "cancelled":
            return Outcome(job.id, job.fence, job.attempt, "cancelled", note="cancelled by hand")
        failure = encode_failure(
            Failure("TimeoutError", "did not end within its timeout; it was killed")
        )
        wait = (
            job.backoff
            if job.backoff is not None
            else round(delay_seconds(None, job.attempt) * 1000)
        )
        return Outcome(job.id, job.fence, job.attempt, "retry", None, wait, failure)

    # Once in a while ----------------------------------------------------------------------------

    def _sweep(self, now: float) -> None:
        """Cancels asked for, deadlines of solo children, stuck windows, silent children."""
        assert self._store is not None
        self._deadlines(now)
        if now - self._swept < PING_SECONDS:
            return
        self._swept = now
        if any(peer.jobs for peer in self._crew.peers):
            asked = set(self._store.cancelling(self._worker))
            for peer in self._crew.peers if asked else ():
                self._cancel(
                    peer, [s for s, job in peer.jobs.items() if job.id in asked], "cancelled"
                )
        for peer in self._crew.peers:
            stuck = peer.unstarted and now - peer.progress_at > STUCK_SECONDS
            if stuck and not peer.solo and peer.ready and peer.started:
                peer.progress_at = now
                peer.send(TakeBack())
        if now - self._pinged >= PING_SECONDS:
            self._pinged = now
            for peer in self._crew.peers:
                silent = now - self._pongs.setdefault(peer.number, now)
                if silent == 0.0:
                    if peer.ready:
                        peer.send(Ping())
                    else:
                        del self._pongs[peer.number]
                elif silent >= 2 * PING_SECONDS:
                    self._pongs[peer.number] = math.inf  # told once, until it answers
                    log.warning(
                        "%s has not answered for %s: its GIL is held", peer.name, text_of(silent)
                    )

    def _deadlines(self, now: float) -> None:
        for peer in self._crew.peers:
            if not peer.solo:
                continue
            if peer.asked_at is not None and now - peer.asked_at > GRACE_AFTER_TERM and peer.jobs:
                self._crew.kill(peer)
            for seq, since in list(peer.started.items()):
                job = peer.jobs[seq]
                limit = job.timeout if job.timeout is not None else self._timeouts.get(job.task)
                if limit is not None and seq not in peer.killed_for and now - since > limit / 1000:
                    self._cancel(peer, [seq], "timeout")
            if not peer.jobs:
                peer.asked_at = None

    def _cancel(self, peer: Peer, seqs: list[int], why: Why) -> None:
        fresh = [seq for seq in seqs if seq not in peer.killed_for]
        if not fresh:
            return
        peer.send(Cancel(fresh, why))
        peer.killed_for.update(dict.fromkeys(fresh, why))
        if peer.solo:
            peer.asked_at = monotonic()

    # Leaving ------------------------------------------------------------------------------------

    def _begin_drain(self) -> None:
        self._drain_until = monotonic() + self._grace
        log.info("draining: finishing what runs, at most %s", text_of(self._grace))
        for peer in self._crew.peers:
            peer.send(TakeBack())

    def _finished(self) -> bool:
        if self.fatal is not None:
            return True
        if not self._stops:
            return False
        if self._store is None:
            return True
        busy = any(peer.jobs for peer in self._crew.peers)
        late = self._drain_until is not None and monotonic() >= self._drain_until
        if busy and (late or self._stops > 1):
            # Cut short: what still runs goes back unspent; its late word would be refused.
            for peer in self._crew.peers:
                for seq, job in list(peer.jobs.items()):
                    peer.take(seq, finished=False)
                    self._outcomes.append(_released(job, "its worker stopped"))
                self._crew.kill(peer)
            return not self._outcomes
        return not busy and not self._outcomes and self._drain_until is not None

    def _drain_socket(self) -> None:
        try:
            self._wake_read.recv(4096)
        except BlockingIOError:
            pass

    def _leave(self) -> None:
        for peer in list(self._crew.peers):
            peer.stopping = True
            peer.send(Stop())
            if peer.jobs or self._stops > 1 or not peer.ready or peer.solo:
                self._crew.kill(peer)
        for peer in list(self._crew.peers):
            try:
                if peer.process is not None:
                    peer.process.wait(5)
            except subprocess.TimeoutExpired:
                self._crew.kill(peer)
            self._crew.remove(peer)
        if self._chores is not None:
            self._chores.close()
        store = self._store
        if store is not None:
            try:
                if self._outcomes:
                    store.turn(self._outcomes, None)
                store.retire(self._worker)
            except StoreError as error:
                log.error(
                    "left without a word to the store (another worker will rescue): %s", error
                )
            if self._bell is not None:
                self._bell.close()
            store.close()
        self._selector.close()
        self._wake_read.close()
        self._wake_write.close()


def _released(job: Claimed, note: str) -> Outcome:
    return Outcome(job.id, job.fence, job.attempt, "released", note=note)


def _crashed(job: Claimed, how: str, *, alone: bool) -> Outcome:
    failure = encode_failure(Failure("ProcessDied", f"its process died: {how}"))
    return Outcome(
        job.id,
        job.fence,
        job.attempt,
        "crashed",
        failure=failure,
        note="its process died",
        alone=alone,
    )


def install_signals(worker: Worker) -> None:
    """SIGTERM and SIGINT stop the worker; the second leaves at once."""
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: worker.stop())
