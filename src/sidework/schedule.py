"""When a periodic comes due: its ticks, computed from what was written and nothing else, so that all who
ask agree, on any machine and after any restart.

Cron expressions are read by ``cronsim``, which matches the readings of a clock on the wall. What such a
reading means in a zone whose clocks are changed is decided here (docs/schedules.md; why not by cronsim:
docs/decisions/0019-the-clock-on-the-wall.md):

- A *time of day* (neither the minute nor the hour begins with ``*``) comes once a day. In an hour that is
  left out it comes at once when the clocks go on; in an hour that comes twice, the first time.
- Anything else comes *each time* that the clock on the wall shows it: not in an hour that is left out,
  twice in one that comes twice.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from msgspec import Struct

from .clock import Millis
from .duration import Duration, seconds, text_of
from .errors import BadValue

if TYPE_CHECKING:
    from zoneinfo import ZoneInfo

_FIELDS = (
    "expected five fields: minute, hour, day of month, month, day of week, like '0 3 * * mon-fri'"
)
_LONGEST = 200
_LEAST_EVERY = 1000
_DAY = 86_400
_ZERO = datetime(1970, 1, 1)


class Schedule(Struct, frozen=True):
    """A cron expression in a zone, or a length of time: then its ticks are its multiples since ``start``,
    else since 1970 began in UTC. None comes before ``start`` or after ``end``."""

    cron: str | None = None
    every: Millis | None = None
    tz: str = "UTC"
    start: Millis | None = None
    end: Millis | None = None

    @property
    def text(self) -> str:
        """For people; the zone is told apart."""
        return self.cron or f"every {text_of((self.every or 0) / 1000)}"

    def after(self, moment: Millis) -> Millis | None:
        """The first tick later than this; ``None`` when there is none (any more)."""
        if self.start is not None:
            moment = max(moment, self.start - 1)
        tick = self._every(moment) if self.cron is None else self._cron(self.cron, moment)
        return None if tick is None or (self.end is not None and tick > self.end) else tick

    def ticks(self, moment: Millis) -> Iterator[Millis]:
        """All ticks later than this, in order."""
        tick = self.after(moment)
        while tick is not None:
            yield tick
            tick = self.after(tick)

    def latest(self, first: Millis, until: Millis, most: int) -> list[Millis]:
        """The last ticks from ``first`` (one itself) up to ``until``, at most so many, in order.

        A year of minutes is not walked through: it looks back from the end, each time further.
        """
        width = 60_000
        while True:
            begin = max(first, until - width)
            found: deque[Millis] = deque(maxlen=most)
            for tick in self.ticks(begin - 1):
                if tick > until:
                    break
                found.append(tick)
            if len(found) == most or begin == first:
                return list(found)
            width *= 4

    def _every(self, moment: Millis) -> Millis:
        every, origin = self.every or _LEAST_EVERY, self.start or 0
        return origin + ((moment - origin) // every + 1) * every

    def _cron(self, cron: str, moment: Millis) -> Millis | None:
        at = moment // 1000
        try:
            if self.tz == "UTC":
                found = _next_reading(cron, at)
            else:
                timed = not any(field.startswith("*") for field in cron.split()[:2])
                found = (_time_of_day if timed else _each_time)(cron, _zone(self.tz), at)
        except (OverflowError, ValueError):
            return None  # past the year 9999
        return None if found is None else found * 1000


def schedule_of(
    cron: str | None,
    every: Duration | None,
    tz: str | None,
    start: Millis | None,
    end: Millis | None,
) -> Schedule:
    """The schedule as declared; ``BadValue`` says in one line what is wrong with it."""
    if (cron is None) == (every is None):
        raise BadValue("a periodic needs a cron expression or every=..., and not both")
    if start is not None and end is not None and end < start:
        raise BadValue("end is before start: it would never fire")
    if cron is None:
        if tz is not None:
            raise BadValue(
                f"tz={tz!r}: every=... is a length of time, the same in all zones; leave tz out, or "
                "give a cron expression"
            )
        made = Schedule(every=_check_every(every), start=start, end=end)
    else:
        zone = "UTC" if tz is None else tz
        _check_zone(zone)
        made = Schedule(cron=_check_cron(cron), tz=zone, start=start, end=end)
    # From the beginning of its own time, not from now: what has ended is no mistake in the code.
    if made.after(0) is None:
        raise BadValue(f"{made.text!r} never fires between its start and its end")
    return made


def _check_every(every: Duration | None) -> Millis:
    millis = round(seconds(every or 0, "every") * 1000)
    if millis < _LEAST_EVERY:
        raise BadValue(f"every={every!r}: expected at least 1s")
    return millis


def _check_cron(given: object) -> str:
    from cronsim import CronSim, CronSimError

    if not isinstance(given, str):
        raise BadValue(f"{given!r} is not a cron expression: {_FIELDS}")
    cron = " ".join(given.split())
    fields = cron.split()
    if len(fields) != 5 or len(cron) > _LONGEST:
        raise BadValue(f"{given[:_LONGEST]!r} is not a cron expression: {_FIELDS}")

    def wrong(cron: str) -> str | None:
        try:
            CronSim(cron, _ZERO)
        except CronSimError as error:
            return str(error)
        except (AssertionError, ValueError):
            return "it cannot be read"
        return None

    said = wrong(cron)
    if said is not None and wrong(" ".join([*fields[:3], "*", fields[4]])) is not None:
        raise BadValue(f"{given!r} is not a cron expression: {said.lower()}; {_FIELDS}")
    if said is not None or _next_reading(cron, 0) is None:
        raise BadValue(f"{given!r} never fires: no such day is in any of its months")
    return cron


def _check_zone(tz: object) -> None:
    if isinstance(tz, str):
        try:
            _zone(tz)
            return
        except (LookupError, ValueError, OSError):
            pass
    import difflib
    from zoneinfo import available_timezones

    close = difflib.get_close_matches(str(tz), available_timezones(), 1)
    perhaps = f"did you mean {close[0]!r}?" if close else "expected a name like 'Europe/Berlin'"
    raise BadValue(f"tz={tz!r}: there is no such time zone; {perhaps}")


def _zone(tz: str) -> ZoneInfo:
    from zoneinfo import ZoneInfo

    return ZoneInfo(tz)


# Seconds of UTC and readings of a clock on the wall ------------------------------------------------


def _next_reading(cron: str, reading: int) -> int | None:
    """The first reading later than this one that the expression matches, both in seconds since the clock
    on the wall showed 1970; ``None`` when there is none in 50 years."""
    from cronsim import CronSim

    found = next(CronSim(cron, _ZERO + timedelta(seconds=reading)), None)
    return None if found is None else _since(found)


def _since(reading: datetime) -> int:
    apart = reading - _ZERO
    return apart.days * _DAY + apart.seconds


def _offset(zone: ZoneInfo, at: int) -> int:
    """How far the clock on the wall is ahead of UTC at a moment, in seconds."""
    apart = datetime.fromtimestamp(at, zone).utcoffset()
    assert apart is not None  # a zone has one at every moment
    return apart.days * _DAY + apart.seconds


def _change(zone: ZoneInfo, since: int, until: int) -> int | None:
    """The first moment after ``since``, up to ``until``, at which the clock is another one. No zone has
    changed its clock and changed it back within a day."""
    offset = _offset(zone, since)
    at = since
    while at < until:
        following = min(at + _DAY, until)
        if _offset(zone, following) != offset:
            low, high = at, following
            while high - low > 1:
                middle = (low + high) // 2
                low, high = (middle, high) if _offset(zone, middle) == offset else (low, middle)
            return high
        at = following
    return None


def _each_time(cron: str, zone: ZoneInfo, at: int) -> int | None:
    """As long as the clock is not changed, moments and readings go together."""
    reading = at + _offset(zone, at)
    while True:
        found = _next_reading(cron, reading)
        if found is None:
            return None
        tick = found - _offset(zone, at)
        changed = _change(zone, at, tick)
        if changed is None:
            return tick
        at, reading = changed, changed + _offset(zone, changed) - 1


def _time_of_day(cron: str, zone: ZoneInfo, at: int) -> int | None:
    # No reading up to the present one is of a later moment: what was left out came when the clocks went on,
    # and what shows again has come the first time.
    reading = at + _offset(zone, at)
    while True:
        found = _next_reading(cron, reading)
        if found is None:
            return None
        tick = _moment_of(zone, found)
        if tick > at:
            return tick
        reading = found


def _moment_of(zone: ZoneInfo, reading: int) -> int:
    """When the clock shows this reading for the first time; if it never does, when it goes past it."""
    shown = (_ZERO + timedelta(seconds=reading)).replace(tzinfo=zone)
    first = round(shown.astimezone(UTC).timestamp())
    if first + _offset(zone, first) == reading:
        return first
    # In a gap fold=0 counts by the clock before it, and so from beyond its end; fold=1 the other way.
    before = round(shown.replace(fold=1).astimezone(UTC).timestamp())
    changed = _change(zone, before, first)
    assert changed is not None  # its two clocks differ
    return changed
