"""The time of a test, which stands still until it is moved, and a store that lives in it."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

from ..clock import Millis, now_ms, to_datetime, to_millis
from ..duration import Duration, seconds
from ..errors import BadValue


class Clock:
    """Begins at the real time, and goes forward only."""

    def __init__(self) -> None:
        self.millis: Millis = now_ms()

    @property
    def now(self) -> datetime:
        """The time, in UTC."""
        return to_datetime(self.millis)

    def move(self, duration: Duration) -> None:
        """Go on by so much; ``BadValue`` for a duration that cannot be read, or is negative."""
        self.millis += round(seconds(duration, "move") * 1000)

    def move_to(self, moment: datetime) -> None:
        """Go on to that moment; ``BadValue`` when it is over already, or has no time zone."""
        try:
            millis = to_millis(moment)
        except (AttributeError, ValueError) as wrong:
            raise BadValue(f"move_to({moment!r}): expected a datetime with a zone") from wrong
        if millis < self.millis:
            raise BadValue(f"move_to({moment}): time goes forward only, and it is {self.now}")
        self.millis = millis


class Timed:
    """A store, or a noun of one, whose verbs are told the clock's time wherever they take a ``now``.

    By the verbs' own signatures: a verb that an engine gets is moved in time without a word here.
    """

    def __init__(self, inner: Any, clock: Clock) -> None:
        self._inner = inner
        self._clock = clock

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._inner, name)
        if callable(found):
            found = _timed(found, self._clock)
        elif type(found).__module__.startswith("sidework.store."):
            found = Timed(found, self._clock)
        else:
            return found
        self.__dict__[name] = found
        return found

    def take_turns(self, every: Mapping[str, Millis], now: Millis | None = None) -> set[str]:
        """Each chore's turn is the test's own, whenever it comes: nobody else takes one."""
        return {*every}


def _timed(verb: Callable[..., Any], clock: Clock) -> Callable[..., Any]:
    parameters = list(inspect.signature(verb).parameters)
    if "now" not in parameters:
        return verb
    place = parameters.index("now")

    @functools.wraps(verb)
    def at(*args: Any, **kwargs: Any) -> Any:
        given = args[place] if len(args) > place else kwargs.pop("now", None)
        kwargs["now"] = clock.millis if given is None else given
        return verb(*args[:place], **kwargs)

    return at
