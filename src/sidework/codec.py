"""Arguments and results as bytes: a format byte, then canonical JSON.

Canonical: keys sorted, no spaces; equal values give equal bytes, so that content can be compared
(promise I12). Types come back by annotation (msgspec), never by what the bytes claim to be: nothing
here can run code. What JSON cannot hold faithfully is refused, not bent: NaN and infinity (the
encoder would silently write ``null``), lone surrogates, cycles, keys that are not text.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from enum import Enum
from pathlib import PurePath
from typing import Any

import msgspec

from .errors import BadValue
from .outputs import Output, OutputFound

FORMAT_JSON = b"\x01"
MAX_BYTES = 1024 * 1024
"""Cap of one job's encoded arguments, and of its result: larger things belong in a file or bucket."""

MAX_DEPTH = 500
"""Levels of lists and dicts in each other. Both encoder and decoder recurse, and how deep they may is
a matter of who calls them from where: without a limit of our own, a value was taken at a call and
could not be read back in the child (reproduced with 970 levels)."""

_ONE_KIND = bytes.maketrans(b"{}", b"[]")
_ALL_BUT_BRACKETS = bytes(set(range(256)) - set(b"[]{}"))


class TypeHooks:
    """How to store types that the codec does not know; shared by an app's tasks."""

    def __init__(self) -> None:
        self._encoders: dict[type, Callable[[Any], Any]] = {}
        self._decoders: dict[type, Callable[[Any], Any]] = {}

    def register(
        self, kind: type, encode: Callable[[Any], Any], decode: Callable[[Any], Any]
    ) -> None:
        """Store values of ``kind`` as ``encode(value)``; read them back by ``decode(stored)``."""
        self._encoders[kind] = encode
        self._decoders[kind] = decode

    def encode(self, value: Any) -> Any:
        """msgspec's ``enc_hook``."""
        if isinstance(value, Output):
            raise OutputFound(
                f"{value!r} stands for an argument of enqueue: pass it as an argument of its own, or in a "
                "list, tuple or dict"
            )
        for kind in type(value).__mro__:
            encoder = self._encoders.get(kind)
            if encoder is not None:
                return _foreign(encoder, value, f"the encoder of {kind.__qualname__}")
        if isinstance(value, PurePath):
            return str(value)
        if hasattr(type(value), "__pydantic_core_schema__"):
            # As it reads back: under its aliases, without what it computes (extra="forbid").
            return value.model_dump(mode="json", by_alias=True, round_trip=True)
        # Of a handle, and of a call that is bound; no other code of the value's is run to say what is wrong.
        if isinstance(getattr(type(value), "output", None), property) and isinstance(
            value.output, Output
        ):
            raise BadValue(
                f"a {type(value).__qualname__} cannot be stored; the job's result goes in by its .output"
            )
        raise BadValue(
            f"a {type(value).__qualname__} cannot be stored; pass plain data, a dataclass or a "
            "msgspec.Struct, or teach the app with app.register_type(...)"
        )

    def decode(self, kind: type, stored: Any) -> Any:
        """msgspec's ``dec_hook``."""
        decoder = self._decoders.get(kind)
        if decoder is not None:
            return _foreign(decoder, stored, f"the decoder of {kind.__qualname__}")
        if isinstance(kind, type) and issubclass(kind, PurePath):
            return kind(stored)
        if hasattr(kind, "__pydantic_core_schema__"):
            return kind.model_validate(stored)  # type: ignore[attr-defined]
        raise BadValue(
            f"a {getattr(kind, '__qualname__', kind)} cannot be read back; "
            "teach the app with app.register_type(...)"
        )


def encode(value: Any, hooks: TypeHooks, what: str, cap: int = MAX_BYTES) -> bytes:
    """The value as bytes; ``BadValue`` names ``what`` it is and why it cannot be stored."""
    try:
        body = msgspec.json.encode(value, enc_hook=hooks.encode, order="deterministic")
    except RecursionError:
        raise BadValue(
            f"{what} cannot be stored: it contains itself, or is nested too deep"
        ) from None
    except UnicodeEncodeError as wrong:
        raise BadValue(
            f"{what} cannot be stored: text with a lone surrogate "
            f"({wrong.object[wrong.start]!r}) is not valid Unicode"
        ) from None
    except MemoryError:
        raise
    except OutputFound as found:
        raise OutputFound(f"{what} cannot be stored: {found}") from None
    except Exception as wrong:  # noqa: BLE001 - encoding runs foreign code (hooks, models)
        raise BadValue(f"{what} cannot be stored: {_line(wrong)}") from None
    if len(body) > cap:
        raise BadValue(
            f"{what} takes {len(body):,} bytes, the cap is {cap:,}: "
            "store the data elsewhere and pass its path or key"
        )
    # Fewer brackets than levels allowed, as nearly always, need no look at how they stand.
    if body.count(b"[") + body.count(b"{") > MAX_DEPTH and _is_deep(body):
        raise BadValue(
            f"{what} cannot be stored: it is nested too deep, the cap is {MAX_DEPTH} levels"
        )
    # The encoder writes NaN and infinity as null. Only bytes with a null in them need the look.
    if b"null" in body and _has_no_json(value, hooks):
        raise BadValue(f"{what} cannot be stored: NaN and infinity have no JSON form")
    return FORMAT_JSON + body


def decode(raw: bytes, kind: Any, hooks: TypeHooks) -> Any:
    """The value again, as annotated ``kind``; ``BadValue`` when the bytes do not fit it."""
    if raw[:1] != FORMAT_JSON:
        raise BadValue(f"stored by a newer Sidework (format {raw[:1]!r})")
    try:
        return msgspec.json.decode(memoryview(raw)[1:], type=kind, dec_hook=hooks.decode)
    except RecursionError:
        raise BadValue("nested too deep to be read back") from None
    except MemoryError:
        raise
    except Exception as wrong:  # noqa: BLE001 - decoding runs foreign code (hooks, __post_init__)
        raise BadValue(_line(wrong)) from None


def _foreign(hook: Callable[[Any], Any], value: Any, who: str) -> Any:
    """Call an app's own hook; what it raises becomes a ``BadValue`` that names it."""
    try:
        return hook(value)
    except (BadValue, RecursionError, MemoryError):
        raise
    except Exception as wrong:
        raise BadValue(f"{who} raised {type(wrong).__name__}: {wrong}") from wrong


def _line(wrong: Exception) -> str:
    """What went wrong, on one line (pydantic's messages have several)."""
    text = " ".join(str(wrong).split()) or type(wrong).__name__
    if text.startswith("Only dicts with str keys"):
        return "a dict's keys must be text"
    return text


def _is_deep(body: bytes) -> bool:
    """Whether JSON is nested deeper than allowed: its innermost pairs are taken away, level by level."""
    # Backslashes stand in texts only; without what they escape, every other piece is between texts.
    pieces = body.replace(b"\\\\", b"").replace(b'\\"', b"").split(b'"')
    left = b"".join(pieces[::2]).translate(_ONE_KIND, _ALL_BUT_BRACKETS)
    for _ in range(MAX_DEPTH):
        if not left:
            return False
        left = left.replace(b"[]", b"")
    return bool(left)


def _has_no_json(value: Any, hooks: TypeHooks) -> bool:
    """Whether a NaN or an infinity stands anywhere in the value."""
    left = [value]
    while left:
        item = left.pop()
        if isinstance(item, float):
            if not math.isfinite(item):
                return True
        elif isinstance(item, dict):
            left.extend(item.keys())
            left.extend(item.values())
        elif isinstance(item, list | tuple | set | frozenset):
            left.extend(item)
        elif isinstance(item, msgspec.Struct):
            left.extend(getattr(item, name) for name in item.__struct_fields__)
        elif hasattr(item, "__dataclass_fields__") and not isinstance(item, type):
            left.extend(getattr(item, name, None) for name in item.__dataclass_fields__)
        elif isinstance(item, Enum):
            left.append(item.value)
        elif hasattr(type(item), "__attrs_attrs__"):
            left.extend(getattr(item, field.name, None) for field in item.__attrs_attrs__)
        elif hasattr(item, "model_dump") and hasattr(type(item), "__pydantic_core_schema__"):
            left.append(item.model_dump())  # its JSON mode, too, writes NaN as null
        elif item is not None and not isinstance(item, str | bytes | int):
            try:
                left.append(hooks.encode(item))
            except BadValue:
                continue  # a type the encoder knows by itself, with no floats in it
    return False
