"""Unique jobs: which key a call has. No two jobs of a store hold the same (promise I9)."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from typing import Any

from ..codec import TypeHooks, encode
from ..errors import BadValue
from ..inputs import take_out
from ..job import UniqueUntil
from .signature import Signature

UniqueBy = bool | str | Sequence[str] | Callable[..., Any]
"""What makes a job the only one: a parameter, several, a function of the arguments, or True for all."""

_LONGEST = 300
"""Characters of a key; the values of a longer one are told apart by their hash."""


class Unique:
    """How the jobs of one task get their keys; ``BadValue`` for what can be no rule for it."""

    def __init__(
        self, task: str, signature: Signature, hooks: TypeHooks, by: UniqueBy, until: object
    ) -> None:
        if until not in ("started", "final"):
            raise BadValue(f"unique_until={until!r}: expected 'started' or 'final'")
        self.until: UniqueUntil = until
        self._task, self._signature, self._hooks = task, signature, hooks
        self._by = by if callable(by) else None
        self._names = () if callable(by) else _names(task, signature, by)

    def key(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> str | None:
        """The key of a call; None when its function says None: such a job is not unique. ``BadValue`` when
        it cannot be computed."""
        try:
            value = self._value(args, kwargs)
            if value is None:
                return None
            if unknown := take_out(value)[1]:
                named = (
                    sorted({f"`{path[0]}`" for path, _ in unknown if path}) if self._names else ()
                )
                raise BadValue(
                    f"{', '.join(named) or 'what its function gives'} is not known yet, but the output of "
                    "another job: name other parameters in unique=, or use options(unique=False)"
                )
            text = f"{self._task} {encode(value, self._hooks, 'the value')[1:].decode()}"
        except BadValue as wrong:
            raise BadValue(f"{self._task}: its unique key cannot be computed: {wrong}") from None
        if len(text) <= _LONGEST:
            return text
        digest = hashlib.sha256(text.encode()).hexdigest()
        return f"{self._task[: _LONGEST - 80]} sha256:{digest}"

    def _value(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        if self._by is None:
            given = self._signature.arguments(args, kwargs)
            return {name: given[name] for name in self._names}
        try:
            return self._by(*args, **kwargs)
        except Exception as error:
            raise BadValue(f"its function raised {type(error).__name__}: {error}") from error


def _names(task: str, signature: Signature, by: object) -> tuple[str, ...]:
    """The parameters that count, each of which there is."""
    known = signature.names
    if by is True:
        return tuple(known)
    names = (by,) if isinstance(by, str) else tuple(by) if isinstance(by, list | tuple) else ()
    if not names or not all(isinstance(name, str) for name in names):
        raise BadValue(
            f"unique={by!r}: expected the name of a parameter, several, a function, or True for all"
        )
    for name in names:
        if name not in known:
            there = f"there are: {', '.join(known)}" if known else "it has none"
            raise BadValue(f"unique={by!r}: {task} has no parameter {name!r}; {there}")
    return tuple(sorted(names))
