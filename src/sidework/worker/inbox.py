"""What children say: each message goes to whom it is for. Nothing here waits, and nothing is answered."""

from __future__ import annotations

import logging

from ..clock import monotonic
from ..crashpoint import reach
from ..logs import say
from ..wire import (
    Blocked,
    Done,
    HandedBack,
    Hello,
    ImportFailed,
    Noted,
    Parked,
    Pong,
    Started,
    ToWorker,
    Warn,
)
from .endings import released
from .hunger import Hunger
from .peer import Peer
from .recorder import Recorder
from .supervisor import Supervisor
from .telling import Teller

log = logging.getLogger("sidework.worker")


class Inbox:
    """Of one worker."""

    def __init__(
        self, supervisor: Supervisor, recorder: Recorder, teller: Teller, hunger: Hunger
    ) -> None:
        self._supervisor = supervisor
        self._recorder = recorder
        self._teller = teller
        self._hunger = hunger
        self.hello: Hello | None = None
        """Of the first child that could import what it was to."""
        self.failures: list[tuple[Peer, str]] = []
        """Children that could not, and why; whoever looks at them takes them away."""

    def take(self, peer: Peer) -> bool:
        """Everything the child has said by now; whether it can say no more."""
        messages, closed = peer.receive()
        for message in messages:
            self._handle(peer, message)
        return closed

    def empty(self, peer: Peer) -> None:
        """What a child could still say before it died."""
        more = True
        while more:
            messages, closed = peer.receive()
            for message in messages:
                self._handle(peer, message)
            more = bool(messages) and not closed

    def _handle(self, peer: Peer, message: ToWorker) -> None:
        now = monotonic()
        if isinstance(message, Done):
            reach("worker: outcomes received")
            peer.progress_at = now
            for seq, outcome in zip(message.seqs, message.outcomes, strict=True):
                began = peer.started.get(seq)
                job = peer.take(seq, finished=True)
                if job is not None:
                    self._recorder.waiting.append(outcome)
                    self._teller.heard(job, outcome, None if began is None else now - began)
        elif isinstance(message, Started):
            for seq in message.seqs:
                if seq in peer.jobs:
                    peer.started[seq] = now
        elif isinstance(message, Noted):
            for seq, notes in zip(message.seqs, message.notes, strict=True):
                if seq in peer.jobs:
                    self._recorder.note(notes)
        elif isinstance(message, HandedBack):
            back = [peer.take(seq, finished=False) for seq in message.seqs]
            note = "handed back before it started"
            self._recorder.add(released(job, note) for job in back if job)
            self._hunger.wake()
        elif isinstance(message, Parked):
            if message.seq in peer.jobs:
                peer.park(message.seq, peer.jobs[message.seq], parked=message.parked)
                self._hunger.wake()
        elif isinstance(message, Blocked):
            peer.blocked = message.blocked
            self._hunger.wake()
        elif isinstance(message, Pong):
            peer.pinged_at, peer.answered_at = None, now
        elif isinstance(message, Hello):
            self._supervisor.learn(message.tasks)
            self.hello = self.hello or message
            peer.ready = True
            self._hunger.wake()
        elif isinstance(message, ImportFailed):
            peer.stopping = True
            self.failures.append((peer, message.line))
        elif isinstance(message, Warn):
            line = f"{peer.name}: {message.line}"
            say(log, logging.WARNING, line, message.job, stack=message.stack)
