"""Watches the children: ends what must end, tells what is stuck, and says what a dead child leaves.

Everything here is a look at clocks and pipes. A child is never trusted to report on itself.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable

from ..duration import text_of
from ..ids import id_text
from ..job import Claimed
from ..outcome import Outcome
from ..wire import Cancel, Ping, TakeBack, TaskInfo, Why
from .crew import Crew
from .endings import CUT_OFF, STOPPED, cancelled, crashed, released, timed_out
from .peer import Peer
from .telling import Teller

log = logging.getLogger("sidework.worker")

GRACE_AFTER_TERM = 5.0
"""Seconds that a solo child has to end its job when asked; then it is killed."""
STUCK_SECONDS = 0.25
"""A child that starts nothing for so long gives back what waits in it, for another to run."""
PING_SECONDS = 0.2
"""A child that has not answered for two of these is told of, after 0.7 s at most: its GIL is held, or it gets
no processor."""


class Supervisor:
    """Of the children of one worker."""

    def __init__(self, crew: Crew, teller: Teller) -> None:
        self._crew = crew
        self._teller = teller
        self._tasks: dict[str, TaskInfo] = {}

    def learn(self, tasks: Iterable[TaskInfo]) -> None:
        """The time limits and waits of the tasks that a child knows."""
        self._tasks.update({task.name: task for task in tasks})

    def stops(self, job: Claimed) -> bool:
        """Whether its task declares that it stops when its worker is cut off from the store."""
        task = self._tasks.get(job.task)
        return task is not None and task.stops

    def look(self, now: float) -> None:
        """Deadlines, stuck windows, silent children; cheap, called at every turn of the loop."""
        for peer in self._crew.peers:
            if peer.solo:
                self._deadline(peer, now)
            elif peer.unstarted and peer.started and now - peer.progress_at > STUCK_SECONDS:
                peer.progress_at = now
                peer.send(TakeBack())
            if peer.ready:
                self._ping(peer, now)

    def cancel(self, asked: set[bytes], now: float) -> None:
        """End the attempts of these jobs."""
        for peer in self._crew.peers:
            self.end(peer, [s for s, job in peer.jobs.items() if job.id in asked], "cancelled", now)

    def cut_short(self, now: float) -> list[Outcome]:
        """End at once what still runs; it goes back unspent, and a late word is refused."""
        outcomes: list[Outcome] = []
        for peer in [peer for peer in self._crew.peers if peer.jobs]:
            if peer.process is None:  # in the user's own process: it can only be asked
                self.end(peer, list(peer.jobs), "released", now)
            self._crew.kill(peer)
            for seq, job in list(peer.jobs.items()):
                outcomes.append(_cut_short(job, STOPPED, started=seq in peer.started))
                peer.take(seq, finished=False)
        return outcomes

    def bury(self, peer: Peer) -> list[Outcome]:
        """A child has died: what it had started has crashed, the rest was never touched."""
        how = self._crew.remove(peer)
        alone = len(peer.started) == 1
        if peer.started or not peer.stopping:
            log.warning("%s: %s, %d jobs were running", peer.name, how, len(peer.started))
        outcomes: list[Outcome] = []
        for seq, job in list(peer.jobs.items()):
            outcome = self._left_by(peer, seq, job, how, alone=alone)
            peer.take(seq, finished=False)
            self._teller.tell(job, outcome)
            outcomes.append(outcome)
        return outcomes

    def _left_by(self, peer: Peer, seq: int, job: Claimed, how: str, *, alone: bool) -> Outcome:
        if seq not in peer.started:
            return released(job, "its process died before it started")
        why = peer.ending.get(seq)
        if why in ("released", "partition"):
            note = CUT_OFF if why == "partition" else STOPPED
            return _cut_short(job, note, started=True)
        if why == "cancelled":
            return cancelled(job)
        if why == "timeout":
            task = self._tasks.get(job.task)
            return timed_out(job, None if task is None else task.backoff)
        return crashed(job, how, alone=alone)

    def _deadline(self, peer: Peer, now: float) -> None:
        if not peer.jobs:
            peer.asked_at = None
            return
        if peer.asked_at is not None and now - peer.asked_at > GRACE_AFTER_TERM:
            self._crew.kill(peer)
        for seq, since in list(peer.started.items()):
            job = peer.jobs[seq]
            task = self._tasks.get(job.task)
            limit = job.timeout if job.timeout is not None else task.timeout if task else None
            if limit is not None and now - since > limit / 1000:
                self.end(peer, [seq], "timeout", now)

    def end(self, peer: Peer, seqs: list[int], why: Why, now: float) -> None:
        """Ask these to end, each once."""
        fresh = [seq for seq in seqs if seq not in peer.ending]
        if not fresh:
            return
        peer.send(Cancel(fresh, why))
        peer.ending.update(dict.fromkeys(fresh, why))
        if peer.solo:
            peer.asked_at = now

    def _ping(self, peer: Peer, now: float) -> None:
        if peer.pinged_at is None:
            if now - peer.answered_at >= PING_SECONDS:
                peer.pinged_at, peer.told_silent = now, False
                peer.send(Ping())
        elif now - peer.pinged_at >= 2 * PING_SECONDS and not peer.told_silent:
            peer.told_silent = True
            silent = text_of(now - peer.pinged_at)
            log.warning(
                "%s has not answered for %s: its GIL is held, or it gets no processor; it runs %s",
                peer.name,
                silent,
                _running(peer) or "no job",
            )


def _running(peer: Peer) -> str:
    """The jobs in a child whose code runs: the newest, which are most likely to be what keeps it."""
    newest = sorted(peer.started, key=lambda seq: peer.started[seq], reverse=True)
    told = [f"job {id_text(peer.jobs[seq].id)} ({peer.jobs[seq].task})" for seq in newest[:3]]
    return ", ".join([*told, *([f"{len(newest) - 3} more"] if len(newest) > 3 else [])])


def _cut_short(job: Claimed, note: str, *, started: bool) -> Outcome:
    """Ended by its worker before it was done. What may run at most once and has begun does not run again."""
    if started and job.on_crash == "discard":
        return crashed(job, f"{note} while it ran", alone=False)
    return released(job, note, begun=started)
