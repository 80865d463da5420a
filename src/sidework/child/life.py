"""A child's part in the detection of death: it holds its byte of the worker's life file, and it
does not outlive its worker. The probing side is the engine's."""

from __future__ import annotations

import contextlib
import fcntl
import os
import signal
import sys
import traceback
from collections.abc import Iterator

_PR_SET_PDEATHSIG = 1  # linux/prctl.h


def hold(path: str, number: int) -> int:
    """Lock byte ``number + 1`` of the life file ``path`` for the life of this process.

    Called once: POSIX locks drop when any descriptor of the file is closed in the process, so the
    one returned is never closed and the file never opened again. Raises ``FileNotFoundError`` when
    the worker is gone, ``BlockingIOError`` when the number is held or death is being declared.
    """
    fd = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    fcntl.lockf(fd, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, number + 1)
    return fd


@contextlib.contextmanager
def vital(own_process: bool) -> Iterator[None]:
    """Around what a child cannot do without: an error there ends the process, at once.

    It is out of memory or threads, or has a fault of ours. Left alive without its reader, or without
    the thread that was to tell an outcome, it would keep its jobs for ever; dead, they are known to
    have crashed and run again. A user's own process (``own_process`` false) is not ours to end.
    """
    try:
        yield
    except BaseException:
        if own_process:
            # Whatever it still takes to say so may fail as well.
            with contextlib.suppress(BaseException):
                traceback.print_exc()
            os._exit(1)
        raise


def die_with_parent(parent: int) -> None:
    """Be killed when the worker, of process id ``parent``, dies; exit if it is dead already.

    Linux counts the *thread* that started the child as its parent: it must live as long as the
    worker. Elsewhere only the check is made.
    """
    if sys.platform == "linux":
        import ctypes

        libc = ctypes.CDLL(None, use_errno=True)
        if libc.prctl(_PR_SET_PDEATHSIG, int(signal.SIGKILL), 0, 0, 0) != 0:
            raise OSError(ctypes.get_errno(), "prctl(PR_SET_PDEATHSIG)")
    # After the request, not before: a parent that died in between would send no signal.
    if os.getppid() != parent:
        os._exit(0)
