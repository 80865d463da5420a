"""Machines of our own: network namespaces, each with a cable to the machine of the database.

A cable can be pulled, so that packets vanish with no word to anybody, as between real machines. The
namespaces have no names and nothing to clean up: each lives as long as a process that waits for the
end of ours.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Sequence
from contextlib import ExitStack
from types import TracebackType
from typing import Any

from .waiting import until

TOOLS = ("ip", "unshare", "nsenter")


def why_not() -> str | None:
    """Why this system allows no namespaces, for a skipped test; ``None`` if it does."""
    if os.geteuid() != 0:
        return "network namespaces need root"
    if missing := [tool for tool in TOOLS if shutil.which(tool) is None]:
        return f"not here: {', '.join(missing)} (Debian's iproute2 and util-linux)"
    tried = subprocess.run(
        ["unshare", "--net", "ip", "link", "add", "name", "one", "type", "veth"],
        capture_output=True, text=True,
    )  # fmt: skip
    return f"not allowed here: {tried.stderr.strip()}" if tried.returncode else None


class Machine:
    """One network namespace. ``within`` goes before a command that is to run there."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.holder = subprocess.Popen(["unshare", "--net", "cat"], stdin=subprocess.PIPE)
        self.space = f"/proc/{self.holder.pid}/ns/net"
        ours = os.readlink("/proc/self/ns/net")
        until(lambda: os.readlink(self.space) != ours, f"the network of {name}")
        self.within = ("nsenter", f"--net={self.space}")
        self.ip("link", "set", "lo", "up")

    def ip(self, *words: str) -> str:
        """Run Debian's ``ip`` there; what it said."""
        done = subprocess.run([*self.within, "ip", *words], capture_output=True, text=True)
        if done.returncode:
            raise RuntimeError(f"ip {' '.join(words)} on {self.name}: {done.stderr.strip()}")
        return done.stdout

    def start(self, command: Sequence[str], **options: Any) -> subprocess.Popen[Any]:
        """A process on this machine, with ``Popen``'s options; whoever starts it ends it."""
        return subprocess.Popen([*self.within, *command], **options)

    def close(self) -> None:
        self.holder.communicate()


class Client(Machine):
    """A machine with a cable to the database's, which has the address ``server`` at its other end."""

    def __init__(self, name: str, hub: Machine, number: int) -> None:
        super().__init__(name)
        self.hub, self.port = hub, f"to-{name}"
        self.server, own = f"10.99.{number}.1", f"10.99.{number}.2"
        end = ("peer", "name", "cable", "netns", str(self.holder.pid))
        hub.ip("link", "add", "name", self.port, "type", "veth", *end)
        hub.ip("address", "add", f"{self.server}/24", "dev", self.port)
        self.ip("address", "add", f"{own}/24", "dev", "cable")
        self.ip("link", "set", "cable", "up")
        self.mend()

    def __repr__(self) -> str:
        return f"Client({self.name!r})"

    def cut(self) -> None:
        """Pull the cable at the far end: nothing passes, either way, and nobody is told."""
        self.hub.ip("link", "set", self.port, "down")

    def mend(self) -> None:
        """Plug it in again; connections that have not given up go on."""
        self.hub.ip("link", "set", self.port, "up")


class Network:
    """For ``with``: the database's machine, ``hub``, and those of its clients by name.

    A server goes there by ``Server(within=network.hub.within)`` and ``listen(address="0.0.0.0")``; its
    Unix socket is reached from everywhere, as files are shared.
    """

    def __init__(self, *names: str) -> None:
        self.names = names

    def __enter__(self) -> Network:
        with ExitStack() as stack:
            self.hub = Machine("hub")
            stack.callback(self.hub.close)
            self.clients: dict[str, Client] = {}
            for number, name in enumerate(self.names):
                self.clients[name] = client = Client(name, self.hub, number)
                stack.callback(client.close)
            self.stack = stack.pop_all()
        return self

    def __getitem__(self, name: str) -> Client:
        return self.clients[name]

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stack.close()
