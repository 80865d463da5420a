"""Bells between processes: Unix datagrams that say "look", sent after a commit.

A hint and nothing more: every failure here ends in silence, never in an error, and who listens also
looks by himself from time to time. Nothing here knows the database.
"""

from __future__ import annotations

import errno
import hashlib
import os
import secrets
import socket
import stat
import tempfile
import threading
import weakref
from typing import Literal

from ...clock import now_ms
from ...forking import forgets

Kind = Literal["work", "done"]

ID_BYTES = 16
PACE_SECONDS = 0.1
MAX_IDS = 1000  # ids in one "done" datagram; no payload means "look at everything"
_MAX_READ = 1000  # datagrams taken in one turn, so that a flood cannot hold the reader
_MAX_PATH = 103  # bytes: sockaddr_un has 108 on Linux, 104 on macOS, with a final NUL
_MAX_NAME = len("/.work-4194304-ffff")
# Folder times come in kernel ticks (10 ms at HZ=100): a listing younger than this may miss a socket
# that was made in the same tick and so left the same time.
_SETTLED_NS = 20_000_000


def folder_for(database: str) -> str:
    """The folder of the sockets for a database file, made if need be; "" when none can be had."""
    digest = hashlib.blake2b(os.fsencode(os.path.realpath(database))).hexdigest()[:16]
    bases: list[str] = []
    runtime = os.environ.get("XDG_RUNTIME_DIR", "")
    if os.path.isabs(runtime):
        bases.append(os.path.join(runtime, "sidework"))
    try:
        bases.append(os.path.join(tempfile.gettempdir(), f"sidework-{os.geteuid()}"))
    except OSError:
        pass
    for base in bases:
        folder = os.path.join(base, digest)
        fits = len(os.fsencode(folder)) + _MAX_NAME <= _MAX_PATH
        if fits and _make_private(base) and _make_private(folder):
            return folder
    return ""


def _make_private(folder: str) -> bool:
    """Make the folder; False if it is not a real folder of ours (another user may plant one)."""
    try:
        try:
            os.mkdir(folder, 0o700)
        except FileExistsError:
            pass
        info = os.lstat(folder)
        if not stat.S_ISDIR(info.st_mode) or info.st_uid != os.geteuid():
            return False
        if stat.S_IMODE(info.st_mode) != 0o700:
            os.chmod(folder, 0o700)
        return os.access(folder, os.W_OK)
    except OSError:
        return False


class Bell:
    """A listener. One that found no descriptor (``fileno`` is -1) or no place for its socket is never
    rung; otherwise it is alike."""

    def __init__(self, socket_folder: str, kind: Kind) -> None:
        self._path = ""
        self._pid = os.getpid()
        self._socket = _new_socket()
        forgets(self)
        if self._socket is None or not socket_folder:
            return
        name = f"{kind}-{self._pid}-{secrets.token_hex(2)}"
        path, unborn = os.path.join(socket_folder, name), os.path.join(socket_folder, f".{name}")
        # Bound under another name: bind() makes the file a moment before it listens, and a ringer
        # that was refused in that moment would remove it as stale.
        try:
            self._socket.bind(unborn)
            os.rename(unborn, path)
            self._path = path
            # Also when the program ends without closing: others would ring it until one is refused.
            self._remove = weakref.finalize(self, _unlink_own, path, self._pid)
        except OSError:
            _unlink(unborn)

    def forget_in_child(self) -> None:
        """The socket is the parent's, and so is its name."""
        self.close()

    def fileno(self) -> int:
        return -1 if self._socket is None else self._socket.fileno()

    def read(self) -> list[bytes]:
        """The payloads that wait, oldest first; at most 1000, the rest stays readable."""
        payloads: list[bytes] = []
        try:
            while self._socket is not None and len(payloads) < _MAX_READ:
                payloads.append(self._socket.recv(MAX_IDS * ID_BYTES))
        except OSError:
            pass
        return payloads

    def close(self) -> None:
        if self._path:
            self._remove()
        self._path = ""
        if self._socket is not None:
            self._socket.close()


class Ringer:
    """Rings every listener of a kind. Safe from several threads; a ring takes microseconds."""

    def __init__(self, socket_folder: str) -> None:
        self._folder = socket_folder
        self._lock = threading.Lock()
        self._socket: socket.socket | None = None
        self._names: list[str] = []
        self._listed_at = -1
        self._missed: set[str] = set()  # listeners that were full: they are owed "everything"
        forgets(self)

    def forget_in_child(self) -> None:
        """A thread of the parent may be ringing; the socket's buffer, too, is the parent's."""
        self._lock = threading.Lock()
        self._drop()

    def ring(self, kind: Kind, payload: bytes = b"") -> None:
        """Send ``payload`` (16-byte job ids, or nothing for "look at everything")."""
        if len(payload) > MAX_IDS * ID_BYTES:
            payload = b""
        with self._lock:
            for name in self._list(kind):
                self._ring_one(name, payload)

    def _ring_one(self, name: str, payload: bytes) -> None:
        path = os.path.join(self._folder, name)
        code = self._send(path, b"" if name in self._missed else payload)
        if code in (errno.EAGAIN, errno.ENOBUFS, errno.EMSGSIZE):
            # Full is this listener's queue, or our send buffer, which one stopped listener's
            # unread datagrams can use up for all (EMSGSIZE: macOS allows 2 kB). A fresh socket
            # has a fresh buffer; what was sent stays with its readers.
            self._drop()
            code = self._send(path, b"")
        if code in (errno.ECONNREFUSED, errno.ENOENT):
            _unlink(path)
        if code in (errno.EAGAIN, errno.ENOBUFS):
            self._missed.add(name)  # already rung, but perhaps for other ids
        else:
            self._missed.discard(name)

    def close(self) -> None:
        """Close the socket; the next ring opens another."""
        with self._lock:
            self._drop()

    def _list(self, kind: Kind) -> list[str]:
        if not self._folder:
            return []
        try:
            changed = os.stat(self._folder).st_mtime_ns
            if changed != self._listed_at:
                settled = (
                    now_ms() * 1_000_000 - changed > _SETTLED_NS
                )  # before the listing, not after
                self._names = os.listdir(self._folder)
                self._listed_at = changed if settled else -1
                self._missed.intersection_update(self._names)
        except OSError:
            return []
        return [name for name in self._names if name.startswith(f"{kind}-")]

    def _send(self, path: str, payload: bytes) -> int:
        """0 or the error's number."""
        if self._socket is None:
            self._socket = _new_socket()
        if self._socket is None:
            return errno.EMFILE
        try:
            self._socket.sendto(payload, socket.MSG_DONTWAIT, path)
        except OSError as error:
            return error.errno or errno.EIO  # "path too long" comes without a number
        return 0

    def _drop(self) -> None:
        closing, self._socket = self._socket, None
        if closing is not None:
            closing.close()


def _new_socket() -> socket.socket | None:
    """One that never blocks; ``None`` when the process has no descriptor left."""
    try:
        made = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    except OSError:
        return None
    made.setblocking(False)
    return made


def _unlink_own(path: str, pid: int) -> None:
    if pid == os.getpid():  # a fork's copy leaves the parent its name
        _unlink(path)


def _unlink(path: str) -> None:
    try:
        os.unlink(path)
    except OSError:
        pass
