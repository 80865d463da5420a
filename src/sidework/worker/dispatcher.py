"""How much the children could start, and which child gets which job."""

from __future__ import annotations

from collections.abc import Container, Sequence

from ..job import RUNNERS, Claimed, Runner
from ..outcome import Outcome
from .crew import Crew
from .endings import released
from .peer import Peer
from .recorder import MOST_BYTES, MOST_OUTCOMES


class Dispatcher:
    """Fills the children's places."""

    def __init__(self, crew: Crew) -> None:
        self._crew = crew
        self._size = MOST_BYTES / 64  # bytes of a job's arguments as lately seen; at first a guess

    def places(self, wanted: Container[Runner]) -> dict[Runner, int]:
        """How many jobs of each wanted runner to claim now; at most what one turn takes."""
        shared = self._shared()
        rooms: dict[Runner, int] = {
            runner: self._crew.solo_places()
            if runner == "process"
            else sum(peer.places(runner) for peer in shared)
            for runner in RUNNERS
            if runner in wanted
        }
        total = sum(rooms.values())
        most = min(MOST_OUTCOMES, max(1, int(MOST_BYTES // max(1.0, self._size))))
        if total > most:
            # Each its part of the turn: one kind with much room must not leave the others nothing.
            rooms = {runner: -(-room * most // total) for runner, room in rooms.items()}
        return {runner: room for runner, room in rooms.items() if room > 0}

    def dispatch(self, jobs: Sequence[Claimed]) -> tuple[list[Peer], list[Outcome]]:
        """Give each job to the child with most room for it. The solo children that this started, and
        what found no child after all."""
        size = sum(map(_size, jobs)) / max(1, len(jobs))
        self._size = max(size, self._size * 0.9)
        started: list[Peer] = []
        homeless: list[Outcome] = []
        shares: dict[int, tuple[Peer, list[Claimed]]] = {}
        shared = self._shared()
        for job in jobs:
            if job.runner == "process":
                peer = self._crew.idle_solo()
                if peer is None:
                    peer = self._crew.start(solo=True)
                    if peer is None:
                        homeless.append(released(job, "no process could be started for it"))
                        continue
                    started.append(peer)
                peer.give([job])
            elif shared:
                peer = shared[0]
                if len(shared) > 1:
                    runner = job.runner

                    def room(peer: Peer, runner: Runner = runner) -> int:
                        return peer.places(runner) - len(shares.get(peer.number, (peer, []))[1])

                    peer = max(shared, key=room)
                shares.setdefault(peer.number, (peer, []))[1].append(job)
            else:
                homeless.append(released(job, "no child was there to run it"))
        for peer, share in shares.values():
            peer.give(share)
        return started, homeless

    def _shared(self) -> list[Peer]:
        return [peer for peer in self._crew.peers if not peer.solo and peer.ready]


def _size(job: Claimed) -> int:
    if not job.inputs:
        return len(job.args)
    return len(job.args) + sum(len(one.result or b"") for one in job.inputs)
