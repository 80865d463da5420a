"""Who is dead, told without a clock: each worker holds a POSIX lock for as long as it lives.

The worker locks byte 0 of its life file, its child number k byte k + 1 (`sidework.child.life`). The
kernel drops them with the process and not before: a stopped process keeps its lock, a forked
grandchild does not inherit it. Whoever could lock the whole file knows that all of them are gone.

POSIX locks have one trap: they drop when *any* descriptor of the file is closed in the process. So
a process opens a life file that it holds exactly once, and `is_dead` never opens its own.
"""

from __future__ import annotations

import fcntl
import os
import threading

from ...errors import StoreRefused, StoreUnavailable

_guard = threading.Lock()
_owned: dict[str, int] = {}  # real path -> descriptor, of the files this process holds


class Life:
    """The life file ``<folder>/<name>.life`` of this process; ``name`` is never used twice.

    Raises ``StoreRefused`` when the name is taken or the file cannot be made.
    """

    def __init__(self, folder: str, name: str) -> None:
        try:
            os.makedirs(folder, 0o777, exist_ok=True)  # the umask decides who may share a store
            self.path = os.path.join(os.path.realpath(folder), f"{name}.life")
            # Locked before it has its name: under it, a prober could find the file still
            # unlocked, call this worker dead and remove it. `link`, unlike a rename, takes no
            # name away from a living owner.
            unborn = os.path.join(os.path.realpath(folder), f"{name}.{os.getpid()}.unborn")
            with _guard:
                fd = os.open(unborn, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666)
                try:
                    fcntl.lockf(fd, fcntl.LOCK_EX | fcntl.LOCK_NB, 1)
                    os.link(unborn, self.path)
                except BaseException:
                    os.close(fd)
                    raise
                finally:
                    os.unlink(unborn)
                _owned[self.path] = fd
        except OSError as error:
            raise StoreRefused(
                f"cannot make the life file {name}.life in {folder}: {error.strerror}; "
                "all processes on one store need to write in the folders beside it"
            ) from error

    def close(self) -> None:
        """End this life: from here on the worker is dead, so its children must be gone."""
        with _guard:
            fd = _owned.pop(self.path, -1)
            if fd < 0:
                return  # closed before, or a fork's copy: the file is the parent's
            try:
                os.unlink(self.path)
            except FileNotFoundError:
                pass
            finally:
                os.close(fd)


def is_dead(path: str) -> bool:
    """True when the worker of the life file ``path`` and all its children are gone.

    Not for a child that holds a byte of ``path`` itself: the probe would drop it. Raises
    ``StoreUnavailable`` when the file is there but cannot be asked.
    """
    # The guard spans the probe: a `Life` made between look-up and close would lose its lock.
    with _guard:
        if os.path.realpath(path) in _owned:
            return False
        try:
            fd = os.open(path, os.O_RDWR | os.O_CLOEXEC)
            try:
                fcntl.lockf(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except (BlockingIOError, PermissionError):  # POSIX allows EAGAIN and EACCES
                return False
            finally:
                os.close(fd)
        except FileNotFoundError:
            return True
        except OSError as error:
            raise StoreUnavailable(
                f"cannot ask the life file {path}: {error.strerror}; "
                "are all workers run by one user, with descriptors to spare?"
            ) from error
    return True


def _forget() -> None:
    """In a forked child: it holds none of the locks, and closing its copies drops none."""
    global _guard
    _guard = threading.Lock()  # a thread that is not here any more may have held the old one
    for fd in _owned.values():
        os.close(fd)
    _owned.clear()


os.register_at_fork(after_in_child=_forget)
