"""One server for all test processes of a run: started by the first that asks, ended after the last."""

from __future__ import annotations

import fcntl
import functools
import os
import shutil

from .binaries import Binaries
from .endpoint import Endpoint
from .guardian import end
from .home import Home
from .postgres import Server
from .running import Running


def _run() -> str:
    """The same in all workers of one pytest-xdist run, and in no other."""
    return os.environ.get("PYTEST_XDIST_TESTRUNUID", "")[:12] or f"p{os.getpid()}"


@functools.cache
def shared(binaries: Binaries) -> Running:
    """The run's server of this version; owned until this process ends.

    Cached, since two locks of one process on one file are one: closing either would free both.
    """
    home = Home(name=f"sw-{_run()}-{binaries.version}")
    ready = home.path / "ready"
    with open(home.path / "starting", "w") as turn:
        fcntl.flock(turn, fcntl.LOCK_EX)
        if not ready.exists():
            # Leftovers are of one that was killed while it started the server.
            home.guard()
            end(home.path / "data")
            shutil.rmtree(home.path / "data", ignore_errors=True)
            server = Server(binaries=binaries, home=home)
            server.start()
            ready.touch()
            return server
    return Running(Endpoint(str(home.path), 5432))
