"""A statement that runs on any driver: written once with ``$1::type``, rendered for each.

The cast at every placeholder gives it the same type whatever the driver would guess: asyncpg asks the
server, psycopg looks at the value (an int may go as smallint), psycopg2 writes literals.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

_TOKENS = re.compile(
    r"(?P<fixed>'(?:[^']|'')*'|\"(?:[^\"]|\"\")*\"|--[^\n]*)"
    r"|\$(?P<number>[0-9]+)(?:::(?P<type>[a-z][a-z0-9_]*(?:\[\])?))?"
)
_AS_TEXT = {"json": "text", "jsonb": "text", "json[]": "text[]", "jsonb[]": "text[]"}


class Statement:
    """``types[i]`` is the SQL type of ``$i+1``; ``dollar`` is the text with ``$n``, ``percent`` the one
    with ``%s`` (any other ``%`` doubled), whose values ``in_order`` puts in order.

    Quoted text and ``--`` comments are left alone; dollar quotes and ``/* */`` are not understood.
    Raises ``ValueError`` for a placeholder without a cast, with two types, or a gap in the numbers.
    """

    def __init__(self, sql: str) -> None:
        order: list[int] = []
        types: dict[int, str] = {}

        def placed(token: re.Match[str]) -> str:
            if token["fixed"]:
                return token[0]
            number, written = int(token["number"]), token["type"]
            if not written or types.setdefault(number, written) != written:
                raise ValueError(f"${number} needs a cast, the same one everywhere: {sql}")
            # A user may have taught asyncpg to encode json (a str would be encoded once more): it
            # goes as text, and the server makes json of it.
            sent = _AS_TEXT.get(written)
            return f"${number}::{sent}::{written}" if sent else token[0]

        def counted(token: re.Match[str]) -> str:
            if token["fixed"]:
                return token[0]
            order.append(int(token["number"]) - 1)
            return token[0].replace(f"${token['number']}", "%s", 1)

        self.dollar = _TOKENS.sub(placed, sql)
        if sorted(types) != list(range(1, len(types) + 1)):
            raise ValueError(f"the placeholders are {sorted(types)}, with a gap: {sql}")
        self.types = tuple(types[number] for number in sorted(types))
        self.percent = _TOKENS.sub(counted, self.dollar.replace("%", "%%"))
        self._order = None if order == list(range(len(types))) else tuple(order)

    def in_order(self, values: Sequence[Any]) -> tuple[Any, ...]:
        """The values as the ``%s`` take them: in the order of the text, repeated where it repeats."""
        return tuple(values) if self._order is None else tuple(values[i] for i in self._order)

    def __repr__(self) -> str:
        return f"Statement({self.dollar!r})"
