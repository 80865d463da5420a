"""Durations as people write them: ``"5m"``, ``"1h 30m"``, ``2.5`` (seconds), ``timedelta``."""

from __future__ import annotations

import re
from datetime import timedelta

from .errors import BadValue

Duration = str | int | float | timedelta

_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0, "w": 604800.0}
_PART = re.compile(r"\s*(\d+(?:\.\d+)?)\s*(ms|s|m|h|d|w)\s*")
_LONGEST = 100 * 365.25 * 86400.0
"""A hundred years: past any use, and still far inside what milliseconds in 64 bits can hold."""


def seconds(duration: Duration, name: str = "duration") -> float:
    """The duration in seconds; ``BadValue`` when negative, not finite, over 100 years or unreadable."""
    if isinstance(duration, timedelta):
        value = duration.total_seconds()
    elif isinstance(duration, str):
        value = _parse(duration, name)
    elif isinstance(duration, bool) or not isinstance(duration, int | float):
        raise BadValue(
            f"{name}={duration!r}: expected text like '30s' or '1h 30m', seconds, or a timedelta"
        )
    else:
        try:
            value = float(duration)
        except OverflowError:
            # Not shown: an int of over 4,300 digits has no repr (``ValueError``).
            raise BadValue(f"{name}: expected between 0 and 100 years") from None
    if not (0 <= value <= _LONGEST):
        raise BadValue(f"{name}={duration!r}: expected between 0 and 100 years")
    return value


def _parse(text: str, name: str) -> float:
    total, position = 0.0, 0
    while position < len(text):
        part = _PART.match(text, position)
        if part is None:
            break
        total += float(part[1]) * _UNITS[part[2]]
        position = part.end()
    if position == 0 or position < len(text):
        raise BadValue(
            f"{name}={text!r}: cannot be read; write numbers with units ms, s, m, h, d or w, "
            "like '90s' or '1h 30m'"
        )
    return total


def text_of(value: float) -> str:
    """Seconds for people: ``0.25 -> '250ms'``, ``90 -> '1m 30s'``."""
    if value < 0.01:
        return f"{value * 1000:.1f}".rstrip("0").rstrip(".") + "ms"
    if value < 0.9995:
        return f"{value * 1000:.0f}ms"
    if value < 59.95:
        return f"{value:.1f}".rstrip("0").rstrip(".") + "s"
    left, parts = round(value), []
    for unit, size in (("d", 86400), ("h", 3600), ("m", 60), ("s", 1)):
        count, left = divmod(left, size)
        if count:
            parts.append(f"{count}{unit}")
    return " ".join(parts[:2])
