"""Job ids: UUIDv7 (RFC 9562), made by the client, monotonic within a process (promises I6, I12).

Layout, most significant first: 48 bits of Unix milliseconds, version 7, 12 bits, variant 2, 62 bits.
Within one millisecond the 74 free bits grow by a random step, so that ids sort in the order they
were made and cannot be guessed from one another.
"""

from __future__ import annotations

import hashlib
import os
import threading
from uuid import UUID

from .clock import now_ms
from .errors import BadValue

_FREE = 74
_LOW = 62
_DRAW = 10


class IdFactory:
    """Makes ids; safe from several threads, and after a fork (the child starts from fresh bits)."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._millis = 0
        self._free = 0
        self._pool, self._drawn = b"", 0
        if hasattr(os, "register_at_fork"):
            os.register_at_fork(after_in_child=self._reset)

    def _reset(self) -> None:
        self._lock = threading.Lock()
        self._millis = 0
        self._pool, self._drawn = b"", 0

    def make(self) -> bytes:
        """A new id as 16 bytes, greater than every id this factory made before."""
        with self._lock:
            if len(self._pool) - self._drawn < _DRAW:
                # Drawn in bulk: each call to the system lets go of the GIL, and 64 threads that
                # make ids would hand it around at every one.
                self._pool, self._drawn = os.urandom(_DRAW * 200), 0
            bits = int.from_bytes(self._pool[self._drawn : self._drawn + _DRAW], "big")
            self._drawn += _DRAW
            millis = now_ms()
            if millis > self._millis:
                self._millis = millis
                # The top bit stays clear: room to grow by steps within this millisecond.
                self._free = bits >> 7
            else:
                # The clock stood still or went back: keep the last time, so that order holds.
                self._free += 1 + (bits & 0xFFFF_FFFF)
                if self._free >> _FREE:
                    self._millis += 1
                    self._free = bits >> 7
            millis, free = self._millis, self._free
        value = (
            (millis << 80)
            | (7 << 76)
            | ((free >> _LOW) << 64)
            | (2 << 62)
            | (free & (1 << _LOW) - 1)
        )
        return value.to_bytes(16, "big")


new_id = IdFactory().make


def derived_id(millis: int, name: str) -> bytes:
    """The id of what there is one of at a time, by its name: the same from whoever makes it. A UUIDv8
    (RFC 9562) that sorts among the others by that time, which is not before 1970."""
    free = int.from_bytes(hashlib.blake2b(f"{millis} {name}".encode(), digest_size=10).digest())
    value = (
        (millis << 80)
        | (8 << 76)
        | ((free >> _LOW & 0xFFF) << 64)
        | (2 << 62)
        | (free & (1 << _LOW) - 1)
    )
    return value.to_bytes(16, "big")


def derived_at(job_id: bytes) -> int | None:
    """The time in milliseconds that an id was derived from; ``None`` for one that was drawn."""
    return int.from_bytes(job_id[:6], "big") if job_id[6] >> 4 == 8 else None


def id_text(job_id: bytes) -> str:
    """The id as people see it: a UUID in its usual form."""
    return str(UUID(bytes=job_id))


def parse_id(given: str | UUID | bytes) -> bytes:
    """The 16 bytes of an id given as text, UUID or bytes; ``BadValue`` when it is none."""
    if isinstance(given, UUID):
        return given.bytes
    if isinstance(given, bytes) and len(given) == 16:
        return given
    try:
        return UUID(given).bytes  # type: ignore[arg-type]
    except (ValueError, AttributeError, TypeError):
        raise BadValue(
            f"{given!r} is not a job id: expected a UUID like 0198c1a2-7d3e-7c44-9f00-1b2c3d4e5f60"
        ) from None
