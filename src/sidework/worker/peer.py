"""One child as the worker sees it: its pipe, what it holds, and how much more it should get.

Writing never blocks: what the pipe does not take stays here, so that the worker can always read,
and two full pipes never wait for each other.
"""

from __future__ import annotations

import socket
import subprocess

import msgspec
from msgspec.structs import replace

from ..clock import monotonic
from ..job import Claimed, Runner
from ..wire import Run, ToChild, ToWorker, Unframer, Why, decode_to_worker, frame

WINDOW_SECONDS = 0.05
"""Beyond what it can start now, a child holds what it will finish in this time: enough to ride out
a commit, little enough that a slow job has no crowd locked up behind it."""

MOST_AHEAD = 1000
_LARGE = 4096
_RECEIVES = 16
"""Pieces taken at a time: a talkative child does not starve the others."""
_PIECE = 1024 * 1024
_RECEIVE = 64 * 1024
"""Small enough to come from the heap: for more, each read would map memory and unmap it again."""


class Peer:
    """A child with its jobs. ``process`` is ``None`` for the one inside an embedded worker."""

    def __init__(
        self,
        number: int,
        sock: socket.socket,
        process: subprocess.Popen[bytes] | None,
        capacity: dict[Runner, int],
        *,
        solo: bool,
    ) -> None:
        sock.setblocking(False)
        self.number = number
        self.socket = sock
        self.process = process
        self.capacity = capacity
        self.solo = solo
        self.ready = False
        self.held = False
        self.stopping = False
        self.gone = False
        self.jobs: dict[int, Claimed] = {}
        self.started: dict[int, float] = {}
        self.holding: dict[Runner, int] = dict.fromkeys(capacity, 0)
        self.parked: set[int] = set()
        self.ending: dict[int, Why] = {}  # asked to end, and why
        self.asked_at: float | None = None
        self.progress_at = self.answered_at = monotonic()
        self.blocked = False  # its event loop answers nothing
        self.pinged_at: float | None = None
        self.told_silent = False
        self._seq = 0
        self._rate: dict[Runner, float] = dict.fromkeys(capacity, 0.0)
        self._finished: dict[Runner, int] = dict.fromkeys(capacity, 0)
        self._measured_at = monotonic()
        self._out = bytearray()
        self._unframer = Unframer()

    @property
    def name(self) -> str:
        """How logs call it."""
        pid = "in this process" if self.process is None else f"pid {self.process.pid}"
        return f"{'solo ' if self.solo else ''}child {self.number} ({pid})"

    @property
    def wants_to_write(self) -> bool:
        """Whether something waits for the pipe."""
        return bool(self._out)

    @property
    def unstarted(self) -> int:
        """How many of its jobs have not begun."""
        return len(self.jobs) - len(self.started)

    def places(self, runner: Runner) -> int:
        """How many more jobs of this runner it should get now."""
        if not self.ready or self.stopping or self.gone or runner not in self.capacity:
            return 0
        if self.blocked and runner == "loop":
            return 0
        ahead = 0 if self.solo else min(MOST_AHEAD, int(self._rate[runner] * WINDOW_SECONDS))
        return max(0, self.capacity[runner] + ahead - self.holding[runner])

    def give(self, jobs: list[Claimed]) -> None:
        """Hand it these jobs."""
        self.progress_at = monotonic()
        seqs: list[int] = []
        size = first = 0
        for position, job in enumerate(jobs):
            seqs.append(self._seq)
            # Large arguments are the child's to keep now: a crowd of them would fill this process.
            self.jobs[self._seq] = job if len(job.args) < _LARGE else replace(job, args=b"")
            self.holding[self._kind(job)] += 1
            self._seq += 1
            size += len(job.args)
            if size > _PIECE:
                self.send(Run(seqs, jobs[first : position + 1]))
                seqs, size, first = [], 0, position + 1
        if seqs:
            self.send(Run(seqs, jobs[first:]))

    def take(self, seq: int, *, finished: bool) -> Claimed | None:
        """The job of a seq, which it holds no longer."""
        job = self.jobs.pop(seq, None)
        self.started.pop(seq, None)
        self.ending.pop(seq, None)
        if job is not None:
            self.park(seq, job, parked=False)
            self.holding[self._kind(job)] -= 1
            if finished:
                self._finished[self._kind(job)] += 1
        return job

    def park(self, seq: int, job: Claimed, *, parked: bool) -> None:
        """Its place is free while it waits for another job; taken again, they may be one too many."""
        if parked != (seq in self.parked):
            self.holding[self._kind(job)] += -1 if parked else 1
            self.parked ^= {seq}

    def measure(self, now: float) -> None:
        """Bring the rate of finished jobs up to date; called often, counts at most every 20 ms."""
        passed = now - self._measured_at
        if passed < 0.02:
            return
        for runner, count in self._finished.items():
            self._rate[runner] += (count / passed - self._rate[runner]) * min(1.0, passed / 0.1)
            self._finished[runner] = 0
        self._measured_at = now

    def send(self, message: ToChild) -> None:
        """Queue a message and write what the pipe takes."""
        self._out += frame(message)
        self.flush()

    def flush(self) -> None:
        """Write what the pipe takes now."""
        while self._out and not self.gone:
            try:
                sent = self.socket.send(self._out)
            except BlockingIOError:
                return
            except OSError:
                self._out.clear()  # dead: reading will say so
                return
            del self._out[:sent]

    def receive(self) -> tuple[list[ToWorker], bool]:
        """Whole messages that have come; and whether no more will: its end is closed, or what came is
        no message (a job wrote to the pipe)."""
        messages: list[ToWorker] = []
        for _ in range(_RECEIVES):
            try:
                data = self.socket.recv(_RECEIVE)
            except BlockingIOError:
                return messages, False
            except OSError:
                return messages, True
            if not data:
                return messages, True
            try:
                messages += [decode_to_worker(body) for body in self._unframer.feed(data)]
            except msgspec.MsgspecError:
                return messages, True
            if len(data) < _RECEIVE:
                return messages, False
        return messages, False

    def _kind(self, job: Claimed) -> Runner:
        return "process" if self.solo else job.runner
