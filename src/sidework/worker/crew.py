"""The crew: starts children, replaces those that die, ends those that must."""

from __future__ import annotations

import logging
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Sequence

from ..clock import monotonic
from ..logs import LogFormat
from ..wire import Stop
from .peer import Peer

log = logging.getLogger("sidework.worker")

IDLE_SECONDS = 5.0
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
        log_format: LogFormat = "text",
    ) -> None:
        self.specs = specs
        self.children = children
        self.solo = solo
        self.concurrency = concurrency
        self.threads = threads
        self._log_level = log_level
        self._log_format = log_format
        self.peers: list[Peer] = []
        self._numbers = 0
        self._failures = 0
        self._not_before = 0.0
        self._reaping = threading.Lock()

    def refill(self) -> list[Peer]:
        """Start shared children until there are enough; a bit later each time one fails at once."""
        new: list[Peer] = []
        while sum(not peer.solo for peer in self.peers) < self.children:
            peer = self.start(solo=False)
            if peer is None:
                break
            new.append(peer)
        return new

    def start(self, *, solo: bool) -> Peer | None:
        """Start a child, which inherits its end of the pipe and nothing else. ``None`` when that
        cannot be now: the last one failed a moment ago, or the system has no more to give."""
        if monotonic() < self._not_before:
            return None
        try:
            ours, theirs = socket.socketpair()
            with theirs:
                try:
                    process = self._spawn(theirs.fileno(), solo=solo)
                except BaseException:
                    ours.close()
                    raise
        except OSError as error:
            self._failed()
            log.error("no child can be started, tried again later: %s", error)
            return None
        return self.add(ours, process, solo=solo)

    def _spawn(self, descriptor: int, *, solo: bool) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            [
                sys.executable, "-m", "sidework.child", str(descriptor), str(os.getpid()),
                "solo" if solo else "shared", str(self.concurrency), str(self.threads),
                str(self._log_level), self._log_format, *self.specs,
            ],
            pass_fds=(descriptor,),
            stdin=subprocess.DEVNULL,
            process_group=0,  # Control-C in a terminal is for the worker to decide about
        )  # fmt: skip

    def _failed(self) -> None:
        self._failures += 1
        wait = min(_RESPAWN_MOST, _RESPAWN_FIRST * 2.0**self._failures)
        self._not_before = monotonic() + wait

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
        # Its pipe is closed: whatever is left of it, and of what its jobs started, serves nobody.
        self.kill(peer)
        with self._reaping:
            code = peer.process.wait()
        if peer.ready:
            self._failures = 0
        else:
            self._failed()
        if code >= 0:
            return f"exit code {code}"
        try:
            return f"killed by {signal.Signals(-code).name}"
        except ValueError:
            return f"killed by signal {-code}"

    def dead(self) -> list[Peer]:
        """Those whose process has ended, also if something that it started holds its pipe open."""
        return [peer for peer in self.peers if _has_ended(peer)]

    def works(self, *, alone: bool) -> bool:
        """Whether anything still runs that may end by itself. Without another worker, jobs that wait
        for jobs wait in vain while this one drains; those that must not run again still have their time."""
        return any(
            not alone or seq not in peer.parked or job.on_crash == "discard"
            for peer in self.peers
            for seq, job in peer.jobs.items()
        )

    def reap_orphans(self) -> None:
        """As process 1 of a container the worker inherits what jobs leave behind, and has to fetch the
        dead among it: else they stay as zombies, until there are no process numbers left."""
        if os.getpid() != 1:
            return
        own = {peer.process.pid for peer in self.peers if peer.process is not None}
        try:
            # It stops at the first of its own, which is fetched with its peer a moment later.
            while looked := os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT):
                if looked.si_pid in own:
                    return
                os.waitpid(looked.si_pid, os.WNOHANG)
        except ChildProcessError:
            return  # there are none at all

    def idle_solo(self) -> Peer | None:
        """A solo child that has nothing to do."""
        return next((p for p in self.peers if p.solo and not p.jobs and not p.stopping), None)

    def dismiss_idle(self, now: float) -> None:
        """End solo children beyond the places there are, once they have had nothing to do for a while:
        jobs that waited for others had made room for them."""
        solo = [peer for peer in self.peers if peer.solo and not peer.stopping]
        for peer in solo[self.solo :]:
            if not peer.jobs and now - peer.progress_at > IDLE_SECONDS:
                peer.stopping = True
                peer.send(Stop())

    def solo_places(self) -> int:
        """How many more jobs could run alone now, starting children for them if need be."""
        if monotonic() < self._not_before:
            return 0  # the last child could not even start
        taken = sum(len(peer.jobs) - len(peer.parked) for peer in self.peers if peer.solo)
        return max(0, self.solo - taken)

    def kill(self, peer: Peer) -> None:
        """End it at once, with the programs that its jobs started: they would run beside the job's
        next attempt."""
        # A process that was not waited for keeps its number, so nobody else's group has it; the lock,
        # since the guard kills from a thread of its own.
        with self._reaping:
            if peer.process is not None and peer.process.returncode is None:
                try:
                    os.killpg(peer.process.pid, signal.SIGKILL)
                except OSError:
                    return  # gone, or a job gave it to another user


def _has_ended(peer: Peer) -> bool:
    if peer.process is None or peer.process.returncode is not None:
        return False
    if not hasattr(os, "waitid"):  # macOS, before Python 3.13
        return peer.process.poll() is not None
    try:
        # WNOWAIT: it stays to be waited for, and keeps its number till then.
        looked = os.waitid(os.P_PID, peer.process.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT)
    except ChildProcessError:
        return True  # somebody else has waited for it
    return looked is not None
