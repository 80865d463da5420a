"""What may take long, on a connection of its own: it keeps nobody waiting."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import psycopg

from .connection import Connection, check_version, open_connection, translate
from .place import Place

T = TypeVar("T")

LONG_PATIENCE = 600.0
"""Seconds within which the server has to answer a listing."""


class Long:
    """Of one store; ``patience``: seconds within which the server has to answer. Nothing stays open between
    two looks."""

    def __init__(self, place: Place, patience: float = LONG_PATIENCE) -> None:
        self._place = place
        self._patience = patience

    def read(self, work: Callable[[Connection], T], *, fits: bool = True) -> T:
        """Run ``work`` with the planner's own choice of plans. Only on a schema that ``fits``, unless it is
        to be looked at for just that."""
        opened = open_connection(self._place, lambda: self._patience, plan_proof=False)
        try:
            with opened.connection as connection:
                if fits or opened.version is None:
                    check_version(opened.version, self._place)
                return work(connection)
        except psycopg.Error as error:
            raise translate(error, self._place) from error
