"""Ends what runs in a folder, and removes it, once all who own it are gone.

A process of its own, started with the folder, since nothing that a dying test process does is certain:
not at Ctrl-C, not at SIGKILL. Each owner holds a shared POSIX lock on the file ``owners``; the kernel
lets go of it however the owner ends, and a forked grandchild does not keep it. The guardian waits for
the exclusive lock, without polling.

    python guardian.py HOME FOLDER...
"""

from __future__ import annotations

import fcntl
import os
import shutil
import signal
import sys
import threading
from collections.abc import Sequence
from pathlib import Path
from time import monotonic

import psutil

GRACE = 10.0
"""Seconds between SIGQUIT (PostgreSQL: stop at once, and free shared memory) and SIGKILL."""
OWNERS = "owners"


def processes_of(*folders: Path) -> list[psutil.Process]:
    """Who has one of the folders as its working directory, which a server keeps for life: unlike a
    file with a pid, this finds also one that is just starting, and never a stranger."""
    roots = [os.path.realpath(folder) for folder in folders]
    found = []
    for process in psutil.process_iter():
        try:
            at = process.cwd()
        except (psutil.Error, OSError):
            continue
        if any(at == root or at.startswith(root + "/") for root in roots):
            found.append(process)
    return found


def send(number: int, processes: Sequence[psutil.Process]) -> None:
    """Signal all of them that are still there."""
    for process in processes:
        try:
            process.send_signal(number)
        except psutil.NoSuchProcess:
            pass


def end(*folders: Path, first: int = signal.SIGQUIT) -> None:
    """End all that runs there, and wait for it; SIGKILL for what the first signal does not end.

    One that has ended without its parent looking has no working directory any more: it is gone.
    """
    pause, begun, asked = threading.Event(), monotonic(), set[int]()
    while running := processes_of(*folders):
        late = monotonic() > begun + GRACE
        for process in running:
            if late or process.pid not in asked:
                asked.add(process.pid)
                send(signal.SIGKILL if late else first, [process])
                send(signal.SIGCONT, [process])  # one that is stopped gets the other only now
        pause.wait(0.005)


def main(home: Path, *folders: Path) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        owners = os.open(home / OWNERS, os.O_RDWR)
    except FileNotFoundError:
        return  # ended before this program was up
    fcntl.lockf(owners, fcntl.LOCK_EX)
    if os.fstat(owners).st_nlink == 0:
        return  # another guardian was first; a folder of this name is someone else's by now
    end(home, *folders)
    for folder in folders:
        shutil.rmtree(folder, ignore_errors=True)
    # `owners` goes last: until then, who comes anew waits at the lock.
    for entry in home.iterdir():
        if entry.name != OWNERS:
            shutil.rmtree(entry) if entry.is_dir() else entry.unlink()
    (home / OWNERS).unlink()
    try:
        home.rmdir()
    except OSError:
        pass  # someone came anew, and has made his file there


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))
