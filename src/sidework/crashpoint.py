"""Named places where a test may have the process die, to show that no step leaves a window.

``SIDEWORK_CRASH_AT="name:/path/of/marker"`` kills the first process that reaches the name, as SIGKILL
does; the marker shows that it was hit, and keeps it from being hit again. Without the variable, as
always outside the fault tests, a place costs one comparison, beside a thread's hand-over at the most.
"""

from __future__ import annotations

import os
import signal

POINTS = (
    "insert: before commit",
    "insert: committed",
    "finish: before commit",
    "turn: recorded, not committed",
    "turn: claimed, not committed",
    "turn: committed",
    "worker: before dispatch",
    "worker: dispatched",
    "worker: outcomes received",
    "child: jobs received",
    "child: started, not run",
    "child: run, not told",
    "rescue: worker forgotten",
    "rescue: before commit",
    "rescue: committed",
    "prune: before commit",
    "checkpoint: done",
    "periodic: before commit",
    "periodic: committed",
    "resume: committed",
    "migration: before commit",
    "migration: committed",
)

COPY_POINTS = (
    "copy: closed",
    "load: before commit",
    "copy: loaded",
    "copy: disowned",
    "copy: left behind",
)
"""Those of ``sidework db copy``, in the order in which it comes to them."""

_NAME, _, _MARKER = os.environ.get("SIDEWORK_CRASH_AT", "").rpartition(":")


def reach(point: str) -> None:
    """Die here if this is the place that was named and nobody has died in it yet."""
    if point != _NAME:
        return
    try:
        os.close(os.open(_MARKER, os.O_CREAT | os.O_EXCL))
    except FileExistsError:
        return
    os.kill(os.getpid(), signal.SIGKILL)
