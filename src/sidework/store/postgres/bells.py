"""Bells between machines: what a notification means, and who hears it here.

A hint and nothing more: a bell may come late, twice or never, and who listens also looks by himself
from time to time. Nothing here speaks to the server: that is the pulse's.
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
import os
import threading
from collections import deque
from collections.abc import Callable
from typing import Literal

from ...forking import forgets

Kind = Literal["work", "done"]
KINDS: tuple[Kind, ...] = ("work", "done")

ID_BYTES = 16
MAX_IDS = 300
"""Ids in one notification: a payload may have 7999 bytes (postgresql.org/docs/current/sql-notify.html)."""
_MOST_KEPT = 1000


def channel(schema: str, kind: Kind) -> str:
    """The notifications' name for one schema; at most 63 bytes, as the server wants."""
    name = f"{schema}:{kind}"
    if len(name.encode()) > 60:
        name = f"sidework:{hashlib.blake2b(schema.encode(), digest_size=12).hexdigest()}:{kind}"
    return name


def payloads_of(ids: list[bytes] | None) -> list[str]:
    """The texts of the notifications that tell of these ids, in base64, hence without quotes; none, or a
    flood, are told as one "look at everything"."""
    if ids is None or len(ids) > MAX_IDS * 4:
        return [""]
    chunks = (ids[at : at + MAX_IDS] for at in range(0, len(ids), MAX_IDS))
    return [base64.b64encode(b"".join(chunk)).decode() for chunk in chunks]


def ids_in(payload: str) -> bytes:
    """The ids of a notification, joined; empty for "look at everything"."""
    try:
        return base64.b64decode(payload, validate=True)
    except ValueError:
        return b""  # not one of ours: a look does no harm


def _nothing(bell: Bell) -> None:
    """The pulse of a forked child has no bells yet."""


class Bell:
    """A listener within this process: select on ``fileno``, then ``read``."""

    def __init__(self, kind: Kind, leaves: Callable[[Bell], None]) -> None:
        self.kind: Kind = kind
        self._leaves = leaves
        self._lock = threading.Lock()
        self._payloads: deque[bytes] = deque()
        self._read_end, self._write_end = os.pipe()
        os.set_blocking(self._read_end, False)
        os.set_blocking(self._write_end, False)
        self._closed = False
        forgets(self)

    def forget_in_child(self) -> None:
        """A thread of the parent may be ringing, and another hold what ``leaves`` would wait for."""
        self._lock = threading.Lock()
        self._leaves = _nothing
        self.close()

    def fileno(self) -> int:
        return -1 if self._closed else self._read_end

    def ring(self, payload: bytes) -> None:
        """Let it be heard; from any thread."""
        with self._lock:
            if self._closed:
                return
            if len(self._payloads) >= _MOST_KEPT:
                self._payloads.clear()
                payload = b""  # whoever reads that late looks at everything
            self._payloads.append(payload)
            with contextlib.suppress(BlockingIOError):  # full: rung already
                os.write(self._write_end, b"\0")

    def read(self) -> list[bytes]:
        """The payloads that wait, oldest first."""
        with self._lock:
            if self._closed:
                return []
            with contextlib.suppress(BlockingIOError):
                os.read(self._read_end, 65536)
            payloads = list(self._payloads)
            self._payloads.clear()
            return payloads

    def close(self) -> None:
        """Stop listening."""
        self._leaves(self)
        with self._lock:
            if not self._closed:
                self._closed = True
                os.close(self._read_end)
                os.close(self._write_end)
