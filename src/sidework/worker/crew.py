"""The crew: starts children, replaces those that die, ends those that must."""

from __future__ import annotations

import logging
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Sequence

from ..clock import monotonic
from .peer import Peer

log = logging.getLogger("sidework.worker")

_RESPAWN_FIRST, _RESPAWN_MOST = 0.05, 5.0


class Crew:
    """The children of one worker. ``specs`` are how a child finds the apps."""

    def __init__(
        self,
        specs: Sequence[str],
        children: int,
        solo: int,
        concurrency: int,
        threads: int,
        log_level: int = logging.WARNING,
    ) -> None:
        self.specs = specs
        self.children = children
        self.solo = solo
        self.concurrency = concurrency
        self.threads = threads
        self._log_level = log_level
        self.peers: list[Peer] = []
        self._numbers = 0
        self._failures = 0
        self._not_before = 0.0

    def refill(self) -> list[Peer]:
        """Start shared children until there are enough; a bit later each time one fails at once."""
        new: list[Peer] = []
        while (
            sum(not peer.solo for peer in self.peers) < self.children
            and monotonic() >= self._not_before
        ):
            new.append(self.start(solo=False))
        return new

    def start(self, *, solo: bool) -> Peer:
        """Start a child. It inherits its end of the pipe and nothing else."""
        ours, theirs = socket.socketpair()
        try:
            process = subprocess.Popen(
                [
                    sys.executable, "-m", "sidework.child", str(theirs.fileno()),
                    str(os.getpid()), "solo" if solo else "shared", str(self.concurrency),
                    str(self.threads), str(self._log_level), *self.specs,
                ],
                pass_fds=(theirs.fileno(),),
                stdin=subprocess.DEVNULL,
                process_group=0,  # Control-C in a terminal is for the worker to decide about
            )  # fmt: skip
        except BaseException:
            ours.close()
            raise
        finally:
            theirs.close()
        return self.add(ours, process, solo=solo)

    def add(
        self, sock: socket.socket, process: subprocess.Popen[bytes] | None, *, solo: bool
    ) -> Peer:
        """Count a child in."""
        peer = Peer(
            self._numbers,
            sock,
            process,
            {"process": 1} if solo else {"loop": self.concurrency, "thread": self.threads},
            solo=solo,
        )
        self._numbers += 1
        self.peers.append(peer)
        return peer

    def remove(self, peer: Peer) -> str:
        """Count a dead child out; how it ended, in words."""
        peer.gone = True
        self.peers.remove(peer)
        peer.socket.close()
        if peer.process is None:
            return "ended"
        if not peer.stopping:
            self.kill(peer)  # its pipe is closed: whatever is left of it serves nobody
        code = peer.process.wait()
        if not peer.ready:
            self._failures += 1
            wait = min(_RESPAWN_MOST, _RESPAWN_FIRST * 2.0**self._failures)
            self._not_before = monotonic() + wait
        else:
            self._failures = 0
        if code < 0:
            return f"killed by {signal.Signals(-code).name}"
        return f"exit code {code}"

    def idle_solo(self) -> Peer | None:
        """A solo child that has nothing to do."""
        return next((p for p in self.peers if p.solo and not p.jobs and not p.stopping), None)

    def solo_places(self) -> int:
        """How many more jobs could run alone now, starting children for them if need be."""
        if monotonic() < self._not_before:
            return 0  # the last child could not even start
        taken = sum(len(peer.jobs) - len(peer.parked) for peer in self.peers if peer.solo)
        return max(0, self.solo - taken)

    def kill(self, peer: Peer) -> None:
        """End it at once."""
        if peer.process is not None and peer.process.poll() is None:
            peer.process.kill()
