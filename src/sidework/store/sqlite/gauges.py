"""What a monitor reads: by partial indexes and up to a bound, so that its cost has one, too."""

from __future__ import annotations

from typing import Any

import apsw

from ...clock import Millis, now_ms
from ..gauges import MOST_JOBS, MOST_QUEUES, OTHERS, WINDOW, Reading, reading
from .connection import statement
from .session import Session


class Gauges:
    """Of one store, on the connection for what may take a while only to look."""

    def __init__(self, long: Session) -> None:
        self._long = long

    def read(self, now: Millis | None = None) -> Reading:
        """How the store stands."""
        at = now_ms() if now is None else now
        return self._long.read(lambda connection: _read(connection, at))


def _read(connection: apsw.Connection, at: Millis) -> Reading:
    def rows(verb: str, **values: Any) -> Any:
        return connection.execute(statement(verb), values).fetchall()

    return reading(
        at,
        rows("standing", most=MOST_JOBS, queues=MOST_QUEUES, others=OTHERS),
        rows("standing_else", most=MOST_JOBS),
        rows("ended", most=MOST_JOBS, since=at - WINDOW),
        (row[0] for row in rows("paused", most=MOST_QUEUES)),
        dict(rows("next_chores")),
    )
