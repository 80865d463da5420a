"""From the words after ``sidework run TASK`` to the call: the declared types decide."""

from __future__ import annotations

import inspect
import json
import typing
from collections.abc import Sequence
from decimal import Decimal
from typing import Any

from ..errors import BadValue
from ..tasks.signature import Signature

_AS_IT_IS = (str, Decimal)
"""What a text is better for than JSON: ``5`` may be text, and 9.90 as a number is not exact."""

_BY_POSITION = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
_BY_NAME = (inspect.Parameter.KEYWORD_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)


def arguments_of(signature: Signature, words: Sequence[str]) -> tuple[list[Any], dict[str, Any]]:
    """Positional and keyword arguments. ``name=value`` is by keyword where ``name`` is a parameter
    (or any name goes, as ``**kwargs``), and else a text like any other; ``BadValue`` for one given
    twice."""
    parameters = signature.parameters
    in_order = [about.annotation for about in parameters if about.kind in _BY_POSITION]
    by_name = {about.name: about.annotation for about in parameters if about.kind in _BY_NAME}
    rest = {about.kind: about.annotation for about in parameters}
    more = rest.get(inspect.Parameter.VAR_POSITIONAL, Any)
    any_name = rest.get(inspect.Parameter.VAR_KEYWORD)
    args: list[Any] = []
    kwargs: dict[str, Any] = {}
    for word in words:
        name, equals, text = word.partition("=")
        known = name in by_name or (any_name is not None and name.isidentifier())
        if not equals or not known:
            kind = in_order[len(args)] if len(args) < len(in_order) else more
            args.append(_value(signature, word, kind))
        elif name in kwargs:
            raise BadValue(f"{name}= was given twice")
        else:
            kwargs[name] = _value(signature, text, by_name.get(name, any_name))
    return args, kwargs


def not_parameters(signature: Signature, words: Sequence[str]) -> str:
    """For a call that failed: which names of ``name=value`` the task does not have, and which it has."""
    known = [about.name for about in signature.parameters]
    names = [word.partition("=")[0] for word in words if "=" in word]
    strange = [name for name in names if name.isidentifier() and name not in known]
    if not strange:
        return ""
    return f"; it has no parameter {', '.join(strange)}, but {', '.join(known) or 'none'}"


def _value(signature: Signature, text: str, kind: Any) -> Any:
    """The text as it is where that is asked for; else as JSON; else as text where only that fits."""
    if _plain(kind) in _AS_IT_IS:
        return text
    try:
        value = json.loads(text)
    except ValueError:
        return text
    # `str | None`, a UUID of digits only: what reads as JSON may still be meant as text.
    return text if not signature.fits(value, kind) and signature.fits(text, kind) else value


def _plain(kind: Any) -> Any:
    """The type behind ``Annotated`` and ``NewType``."""
    while True:
        if typing.get_origin(kind) is typing.Annotated:
            kind = typing.get_args(kind)[0]
        elif isinstance(kind, typing.NewType):
            kind = kind.__supertype__
        else:
            return kind
