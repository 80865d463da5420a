"""The only place that reads the clock; everything else is handed the time.

Stored times are whole milliseconds since 1970-01-01 UTC (``Millis``).
"""

from __future__ import annotations

import time
from datetime import UTC, datetime

Millis = int


def now_ms() -> Millis:
    """Milliseconds since the epoch, by this machine's wall clock."""
    return time.time_ns() // 1_000_000


def monotonic() -> float:
    """Seconds of a clock that never jumps; for waiting and for deadlines inside a process."""
    return time.monotonic()


def to_datetime(millis: Millis) -> datetime:
    """A stored time as an aware ``datetime`` in UTC."""
    return datetime.fromtimestamp(millis / 1000, UTC)


def to_millis(moment: datetime) -> Millis:
    """An aware ``datetime`` as a stored time; a naive one raises ``ValueError``."""
    if moment.utcoffset() is None:
        raise ValueError(
            f"{moment!r} has no time zone: use datetime.now(UTC) or replace(tzinfo=...)"
        )
    return round(moment.timestamp() * 1000)
