"""What a monitor reads: by partial indexes and up to a bound, so that its cost has one, too."""

from __future__ import annotations

from typing import Any

from ...clock import Millis
from ..gauges import MOST_JOBS, MOST_QUEUES, OTHERS, WINDOW, Reading, reading
from .connection import Connection, numbered, rows, settings, statement
from .long import Long


class Gauges:
    """Of one store, on a connection for each look: one that monitors only holds none in between."""

    def __init__(self, long: Long, schema: str) -> None:
        self._long = long
        self._schema = schema

    def read(self, now: Millis | None = None) -> Reading:
        """How the store stands."""
        return self._long.read(lambda connection: self._read(connection, now))

    def _read(self, connection: Connection, now: Millis | None) -> Reading:
        def asked(verb: str, **values: Any) -> Any:
            sql = statement(verb, self._schema)
            return rows(connection, sql, sql.values(values))

        with connection.transaction():
            connection.execute(*settings(local=True))  # or it may read the whole table
            ((at,),) = rows(connection, numbered("SELECT :now", self._schema), [now])
            return reading(
                at,
                asked("standing", most=MOST_JOBS, queues=MOST_QUEUES, others=OTHERS),
                asked("standing_else", most=MOST_JOBS),
                asked("ended", most=MOST_JOBS, since=at - WINDOW),
                (row[0] for row in asked("paused", most=MOST_QUEUES)),
                dict(asked("next_chores")),
            )
