"""When cron expressions come due, by looking at the clock on the wall minute after minute: slow, and with
nothing of what it judges (nor of its libraries) in it.

The rules are those of ``docs/schedules.md``: an expression whose minute or hour begins with ``*`` comes each
minute that the clock shows it; any other one when the clock shows it for the first time, or goes past it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

MINUTE = timedelta(minutes=1)
_NAMES = {
    3: ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"],
    4: ["sun", "mon", "tue", "wed", "thu", "fri", "sat"],
}
_RANGES = [(0, 59), (0, 23), (1, 31), (1, 12), (0, 7)]


Reading = tuple[int, datetime, timedelta]
"""Milliseconds of UTC, what a clock on the wall shows then, and how long it is since the one before."""


def readings(tz: str, begin: datetime, end: datetime, step: timedelta = MINUTE) -> list[Reading]:
    """From one step before ``begin`` up to before ``end`` (both UTC). Longer steps than a minute are for
    where neither the clock is changed nor anything comes in between."""
    zone, at, found = ZoneInfo(tz), begin - step, []
    while at < end:
        shown = at.astimezone(zone).replace(tzinfo=None)
        found.append((round(at.timestamp() * 1000), shown, step))
        at += step
    return found


class Oracle:
    """Of one expression."""

    def __init__(self, cron: str) -> None:
        fields = cron.split()
        self._minutes, self._hours, self._days, self._months, weekdays = (
            _values(field, at) for at, field in enumerate(fields)
        )
        self._weekdays = {day % 7 for day in weekdays}
        self._both = fields[2].startswith("*") or fields[4].startswith("*")
        self._each = fields[0].startswith("*") or fields[1].startswith("*")

    def ticks(self, readings: Iterable[Reading]) -> Iterator[int]:
        """Those among the readings, in milliseconds of UTC; the first one is only what stood before."""
        before: datetime | None = None
        for at, shown, step in readings:
            if before is None:
                fits = False
            elif self._each:
                fits = self._fits(shown)
            elif shown.fold:
                fits = False  # it has been shown before
            else:
                # The one shown, and all that the clock went past: none unless it was put forward.
                fits = self._fits(shown)
                left_out = before + step
                while left_out < shown and not fits:
                    fits = self._fits(left_out)
                    left_out += step
            if fits:
                yield at
            before = shown

    def _fits(self, shown: datetime) -> bool:
        if shown.minute not in self._minutes or shown.hour not in self._hours:
            return False
        if shown.month not in self._months:
            return False
        day, weekday = shown.day in self._days, shown.isoweekday() % 7 in self._weekdays
        return (day and weekday) if self._both else (day or weekday)


def _values(field: str, at: int) -> set[int]:
    low, high = _RANGES[at]
    found: set[int] = set()
    for part in field.split(","):
        body, _, step = part.partition("/")
        if body == "*":
            first, last = low, high
        else:
            begin, _, until = body.partition("-")
            first = _number(begin, at)
            last = _number(until, at) if until else high if step else first
        found.update(range(first, last + 1, int(step or 1)))
    return found


def _number(text: str, at: int) -> int:
    names = _NAMES.get(at, [])
    return names.index(text.lower()) + (at == 3) if text.lower() in names else int(text)


def changes(tz: str, begin: datetime, end: datetime) -> list[datetime]:
    """The hours after which the clock of a zone is another one."""
    zone, at, found = ZoneInfo(tz), begin, []
    offset = at.astimezone(zone).utcoffset()
    while at < end:
        at += timedelta(hours=1)
        now = at.astimezone(zone).utcoffset()
        if now != offset:
            found.append(at - timedelta(hours=1))
            offset = now
    return found


def around(moments: Iterable[datetime], apart: timedelta) -> list[tuple[datetime, datetime]]:
    """Spans of so much before and after each, joined where they meet."""
    spans: list[tuple[datetime, datetime]] = []
    for moment in sorted(moments):
        begin, end = moment - apart, moment + apart
        if spans and begin <= spans[-1][1]:
            spans[-1] = (spans[-1][0], end)
        else:
            spans.append((begin, end))
    return spans


def year(number: int) -> datetime:
    """Its beginning, in UTC."""
    return datetime(number, 1, 1, tzinfo=UTC)
