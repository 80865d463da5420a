"""Stops what must not run on while its worker is cut off from the store (``on_partition="stop"``).

Why nothing runs twice at a time. Say the last answered beat was sent at S, and a rescuer first saw it
at V. It cannot be seen before it was sent: V >= S. The rescuer waits one whole lease from V, by its
own monotonic clock; this worker's trust ends one lease after S, by its own: that is no later. The
two clocks are never compared, only how far each has run. And every attempt is over before trust is:
asked ``STOP_SECONDS`` ahead of its end, killed ``KILL_SECONDS`` ahead. That would break if trust
counted from when the answer came, if a beat counted that found the worker gone from the store, or if
a job were begun whose claim was answered late: hence ``admit``.
"""

from __future__ import annotations

import logging
import math
import threading
from collections.abc import Container

from ..clock import monotonic
from ..duration import text_of
from ..ids import id_text
from ..job import Claimed
from ..outcome import Outcome
from ..store.protocol import STOP_SECONDS, Workers
from ..wire import TakeBack
from .crew import Crew
from .endings import CUT_OFF, released
from .peer import Peer
from .supervisor import Supervisor

log = logging.getLogger("sidework.worker")

KILL_SECONDS = 0.5
"""How much of the trust is left when what was asked to end, and has not, is killed."""
LOOK_SECONDS = 0.2
"""How often the trust is asked for: a few times in what is left between asking and the end of it."""
_NAMED = 10


class Guard:
    """Of the attempts of one worker."""

    def __init__(self, crew: Crew, supervisor: Supervisor) -> None:
        self._crew = crew
        self._supervisor = supervisor
        self.cut_off = False
        """Whether so little trust is left that nothing is claimed."""
        self._ends_at: float | None = None  # when what was asked to end is killed
        self._looked_at = 0.0
        self._known: tuple[Workers, int] | None = None
        self._closed = threading.Event()
        self._thread: threading.Thread | None = None

    @property
    def stopping(self) -> bool:
        """Whether attempts are just being ended: meanwhile the loop keeps away from the store, which
        could hold it."""
        return self._ends_at is not None

    def look(self, store: Workers, worker: int, now: float) -> bool:
        """Stop what must stop, as far as it is time; cheap, called at every turn of the loop. True when
        the store has just begun to answer again."""
        if not self.stopping and now - self._looked_at < LOOK_SECONDS:
            return False
        self._known, self._looked_at = (store, worker), now
        trust = store.trust(worker)
        back = self.cut_off and trust >= STOP_SECONDS
        if trust < STOP_SECONDS and not self.cut_off:
            self.cut_off = True
            self._stop(now, trust - KILL_SECONDS, _why(trust))
        elif back:
            self.cut_off, self._ends_at = False, None
            log.info("the store answers again")
        if self._ends_at is not None:
            self._see_to_the_end(now, self._ends_at)
        if self._thread is None and trust != math.inf:
            self._thread = threading.Thread(target=self._watch, name="sidework-guard", daemon=True)
            self._thread.start()
        return back

    def lost(self, now: float) -> None:
        """The worker was taken for dead: its jobs are another's, now or soon."""
        # No longer cut off: else the trust of its new entry would call off what is asked for here.
        self.cut_off = False
        self._stop(now, STOP_SECONDS - KILL_SECONDS, "it was taken for dead")

    def admit(
        self, store: Workers, worker: int, jobs: list[Claimed]
    ) -> tuple[list[Claimed], list[Outcome]]:
        """Which of the jobs just claimed may begin; the others go back. The answer may have come late,
        when so little trust is left that what it brings could not be stopped in time."""
        if store.trust(worker) >= STOP_SECONDS:
            return jobs, []
        back = [released(job, CUT_OFF) for job in jobs if self._supervisor.stops(job)]
        return [job for job in jobs if not self._supervisor.stops(job)], back

    def close(self) -> None:
        """Nothing runs any more."""
        self._closed.set()
        if self._thread is not None:
            self._thread.join()

    def _stop(self, now: float, patience: float, why: str) -> None:
        """Ask everything of tasks that stop to end, begun or not; once for each time of being cut off,
        for nothing of them is dispatched meanwhile."""
        jobs: list[Claimed] = []
        threads = 0
        for peer in self._crew.peers:
            seqs = [seq for seq, job in peer.jobs.items() if self._supervisor.stops(job)]
            if not seqs:
                continue
            if peer.unstarted:
                peer.send(TakeBack())
            self._supervisor.end(peer, seqs, "partition", now)
            jobs += [peer.jobs[seq] for seq in seqs]
            threads += sum(not _can_be_ended(peer, seq) for seq in seqs)
        if not jobs:
            return
        self._ends_at = now + max(0.0, patience)
        named = ", ".join(f"{id_text(job.id)} ({job.task})" for job in jobs[:_NAMED])
        more = f" and {len(jobs) - _NAMED} more" if len(jobs) > _NAMED else ""
        told = f"; {threads} of them in threads, which can only be told" if threads else ""
        log.warning('stopping %d jobs (on_partition="stop"), since %s: %s%s%s',
                    len(jobs), why, named, more, told)  # fmt: skip

    def _see_to_the_end(self, now: float, ends_at: float) -> None:
        late = [peer for peer in self._crew.peers if self._holds(peer, peer.ending)]
        if late and now < ends_at:
            return
        self._ends_at = None
        for peer in late:
            self._kill(peer)

    def _holds(self, peer: Peer, seqs: Container[int]) -> bool:
        """Whether one of these in it is to stop and has not. What was not handed back counts as well:
        a child that answers nothing may begin with it later."""
        return any(
            seq in seqs and self._supervisor.stops(job) and _can_be_ended(peer, seq)
            for seq, job in list(peer.jobs.items())
        )

    def _kill(self, peer: Peer) -> None:
        if peer.process is None:
            return  # the user's own process: what runs there was asked
        log.warning("%s did not stop its jobs in time: it is killed", peer.name)
        # Its other jobs are not to blame: they go back like those for which it dies.
        for seq in list(peer.jobs):
            peer.ending.setdefault(seq, "partition")
        self._crew.kill(peer)

    def _watch(self) -> None:
        """The last resort, on a thread: a store that neither answers nor fails may hold the loop, for
        longer than there is trust. Nothing was asked of the children then, and all that must stop is
        killed: that needs nothing but their process numbers."""
        killed: set[int] = set()
        while not self._closed.wait(KILL_SECONDS / 4):
            if self._known is None or monotonic() - self._looked_at < KILL_SECONDS / 2:
                continue
            store, worker = self._known
            if store.trust(worker) >= KILL_SECONDS / 2:
                continue
            for peer in list(self._crew.peers):
                if peer.number not in killed and self._holds(peer, peer.jobs):
                    killed.add(peer.number)
                    self._kill(peer)


def _can_be_ended(peer: Peer, seq: int) -> bool:
    """All but a thread that runs, which shares its process with others."""
    return peer.solo or peer.jobs[seq].runner != "thread" or seq not in peer.started


def _why(trust: float) -> str:
    left = f"in {text_of(round(trust, 1))}" if trust > 0 else "now"
    return f"the store does not answer and others may take over {left}"
