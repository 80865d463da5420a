"""Who is dead, told without a clock: each worker holds a POSIX lock for as long as it lives.

The worker locks byte 0 of its life file, its child number k byte k + 1 (`sidework.child.life`). The
kernel drops them with the process and not before: a stopped process keeps its lock, a forked
grandchild does not inherit it. Whoever could lock the whole file knows that all of them are gone.

A file that somebody has removed (a cleaner of temporary files, a careless hand) says nothing. Then its
name does: it holds the worker's process and the tick at which that began.

POSIX locks have one trap: they drop when *any* descriptor of the file is closed in the process. So
a process opens a life file that it holds exactly once, and `is_dead` never opens its own.
"""

from __future__ import annotations

import fcntl
import os
import threading

from ...errors import StoreRefused, StoreUnavailable

_Inode = tuple[int, int]

_guard = threading.Lock()
_owned: dict[_Inode, int] = {}  # file -> descriptor, of those this process holds, by whatever path


class Life:
    """The life file of this process in ``folder``; ``word`` tells it from others of this process.

    Raises ``StoreRefused`` when the name is taken or the file cannot be made.
    """

    def __init__(self, folder: str, word: str) -> None:
        self.name = f"{os.getpid()}-{_began(os.getpid())}-{word}.life"
        self.path = os.path.join(folder, self.name)
        try:
            os.makedirs(folder, 0o777, exist_ok=True)  # the umask decides who may share a store
            # Locked before it has its name: under it, a prober could find the file still
            # unlocked, call this worker dead and remove it. `link`, unlike a rename, takes no
            # name away from a living owner.
            unborn = os.path.join(folder, f"{self.name}.unborn")
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
                found = os.fstat(fd)
                self._inode = found.st_dev, found.st_ino
                _owned[self._inode] = fd
        except OSError as error:
            raise StoreRefused(
                f"cannot make the life file {self.name} in {folder}: {error.strerror}; "
                "all processes on one store need to write in the folders beside it"
            ) from error

    def is_there(self) -> bool:
        """Whether its name still leads to it: else others have only the process to go by."""
        return _inode(self.path) == self._inode

    def close(self, *, remove: bool = True) -> None:
        """End this life: from here on the worker is dead, so its children must be gone. Its file is
        left for others to find it unlocked when they still have to learn of it."""
        with _guard:
            fd = _owned.pop(self._inode, -1)
            if fd < 0:
                return  # closed before, or a fork's copy: the file is the parent's
            try:
                if remove and self.is_there():
                    os.unlink(self.path)
            finally:
                os.close(fd)


def is_dead(path: str) -> bool:
    """True when the worker of the life file ``path`` and all its children are gone.

    Not for a child that holds a byte of ``path`` itself: the probe would drop it. Raises
    ``StoreUnavailable`` when the file is there but cannot be asked.
    """
    # The guard spans the probe: a `Life` made between look-up and close would lose its lock.
    with _guard:
        try:
            if _inode(path) in _owned:
                return False
            fd = os.open(path, os.O_RDWR | os.O_CLOEXEC)
            try:
                fcntl.lockf(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except (BlockingIOError, PermissionError):  # POSIX allows EAGAIN and EACCES
                return False
            finally:
                os.close(fd)
        except FileNotFoundError:
            return not _process_is_there(os.path.basename(path))
        except OSError as error:
            raise StoreUnavailable(
                f"cannot ask the life file {path}: {error.strerror}; "
                "are all workers run by one user, with descriptors to spare?"
            ) from error
    return True


def _process_is_there(name: str) -> bool:
    """Whether the process that made the life file ``name`` is seen from here. A process number may be
    given again, but not with the same beginning; seen from another container there is none."""
    pid, _, rest = name.partition("-")
    began = rest.partition("-")[0]
    return pid.isdecimal() and began.isdecimal() and _began(int(pid)) == began


def _began(pid: int) -> str:
    """The tick at which the process began, by a clock that nobody sets; "" when there is none, where it
    is not told (macOS), and for a dead one whose parent has not fetched it."""
    try:
        with open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as file:
            # "7 (any name) S 1 …": proc_pid_stat(5); the name may hold blanks and brackets.
            fields = file.read().rpartition(")")[2].split()
    except OSError:
        return ""
    return "" if fields[0] in "ZX" else fields[19]


def _inode(path: str) -> _Inode | None:
    try:
        found = os.stat(path)
    except OSError:
        return None
    return found.st_dev, found.st_ino


def _forget() -> None:
    """In a forked child: it holds none of the locks, and closing its copies drops none."""
    global _guard
    _guard = threading.Lock()  # a thread that is not here any more may have held the old one
    for fd in _owned.values():
        os.close(fd)
    _owned.clear()


os.register_at_fork(after_in_child=_forget)
