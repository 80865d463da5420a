"""Inputs: a call some of whose values are the outputs of other jobs.

It is stored as format 2: JSON of ``[call, [[path, job id], …]]``. The call is that of format 1, with
``null`` where an output goes; a path leads there by names and places. No value that a caller could
give is taken for an output.
"""

from __future__ import annotations

import types
import typing
from collections.abc import Mapping
from typing import Any

import msgspec
from msgspec import Struct

from .codec import FORMAT_JSON, MAX_BYTES
from .errors import BadValue
from .ids import id_text, parse_id
from .job import Input
from .outcome import decode_failure
from .outputs import Output
from .state import FINAL, State

FORMAT_INPUTS = b"\x02"

Path = list[str | int]


class InputFailed(Struct, frozen=True):
    """What a job is given for an input that did not complete (``on_input_failure="continue"``).

    ``state`` is ``"discarded"``, ``"cancelled"``, or ``"gone"`` when the job was deleted; ``kind`` and
    ``message`` are the exception's, as ``JobFailed`` has them.
    """

    job_id: str
    state: str
    kind: str
    message: str


class InputsNotReady(Exception):
    """An input is not final: it was retried after it had ended."""


class InputLost(Exception):
    """An input did not complete, and its job may not do without: it or its job was retried by hand."""


def take_out(value: Any) -> tuple[Any, list[tuple[Path, Output]]]:
    """The value with ``None`` for each output in its lists, tuples and dicts, and where they stood."""
    found: list[tuple[Path, Output]] = []

    def walk(item: Any, path: Path) -> Any:
        if isinstance(item, Output):
            found.append((path, item))
            return None
        if type(item) in (list, tuple):
            return [walk(one, [*path, place]) for place, one in enumerate(item)]
        if type(item) is dict:
            return {name: walk(one, [*path, name]) for name, one in item.items()}
        return item

    return walk(value, []), found


def with_inputs(call: bytes, found: list[tuple[Path, Output]], what: str) -> bytes:
    """The call (of format 1) together with where its inputs go."""
    places = msgspec.json.encode([[path, id_text(output.job_id)] for path, output in found])
    raw = FORMAT_INPUTS + b"[" + call[1:] + b"," + places + b"]"
    if len(raw) > MAX_BYTES:
        raise BadValue(
            f"{what} take {len(raw):,} bytes with {len(found):,} inputs, the cap is {MAX_BYTES:,}: "
            "gather in two steps, or wait with after=[...] and read what the jobs have written"
        )
    return raw


def takes_inputs(args: bytes) -> bool:
    """Whether stored arguments have inputs."""
    return args[:1] == FORMAT_INPUTS


def shown(args: bytes) -> bytes:
    """The call as JSON for people: an input is a text that names its job."""
    call, places = _read(args)
    named = [(path, msgspec.json.encode(f"output of {id_}")) for path, id_ in places]
    return _put(call, named)


class Filled(Struct, frozen=True):
    """A call with its inputs in it, in format 1, and the places of those that failed (``null`` there)."""

    args: bytes
    failed: list[tuple[Path, InputFailed]]


def fill(args: bytes, inputs: Mapping[bytes, Input]) -> Filled:
    """Put the inputs in; ``BadValue`` when that is more than a job may be given, ``InputsNotReady``
    when one of them runs again, ``InputLost`` when the job is to be cancelled with one of them."""
    call, places = _read(args)
    values: list[tuple[Path, bytes]] = []
    failed: list[tuple[Path, InputFailed]] = []
    for path, id_ in places:
        one = inputs.get(parse_id(id_))
        if one is not None and one.state is not None and one.state not in FINAL:
            raise InputsNotReady(f"its input {id_} is {one.state} again")
        if one is None or one.state is not State.COMPLETED:
            failed.append((path, _failed(id_, one)))
            if one is not None and one.policy == "cancel":
                raise InputLost(f"its input {id_} was {failed[-1][1].state}")
            continue
        if one.result is None:
            raise BadValue(
                f"its {len(places):,} inputs take more than the cap of {MAX_BYTES:,} bytes"
            )
        values.append((path, one.result[1:]))
    filled = _put(call, values)
    if len(filled) > MAX_BYTES:
        raise BadValue(
            f"its arguments take {len(filled):,} bytes with their inputs, the cap is {MAX_BYTES:,}"
        )
    return Filled(FORMAT_JSON + filled, failed)


def without_failure(kind: Any) -> Any:
    """An annotation with ``None`` where it says ``InputFailed``: what is decoded before one is placed."""
    of, parts = typing.get_origin(kind), typing.get_args(kind)
    if of is typing.Annotated:
        return typing.Annotated[(without_failure(parts[0]), *parts[1:])]
    if of is typing.Literal or not any(_tells(part) for part in parts):
        return kind
    changed = tuple(type(None) if one is InputFailed else without_failure(one) for one in parts)
    if of in (typing.Union, types.UnionType):
        return typing.Union[changed]  # noqa: UP007
    return of[changed]


def _tells(kind: Any) -> bool:
    return kind is InputFailed or any(_tells(part) for part in typing.get_args(kind))


def _failed(id_: str, one: Input | None) -> InputFailed:
    if one is None or one.state is None:
        return InputFailed(id_, "gone", "JobNotFound", f"job {id_} was deleted or pruned")
    why = decode_failure(one.failure) if one.state is State.DISCARDED else None
    if why is None:
        return InputFailed(id_, str(one.state), str(one.state), f"job {id_} was {one.state}")
    return InputFailed(id_, str(one.state), why.kind, why.message)


def _read(args: bytes) -> tuple[bytes, list[tuple[Path, str]]]:
    call, places = msgspec.json.decode(
        memoryview(args)[1:], type=tuple[msgspec.Raw, list[tuple[Path, str]]]
    )
    return bytes(call), places


def _put(raw: bytes, values: list[tuple[Path, bytes]], depth: int = 0) -> bytes:
    """The JSON with each value in its place; all else stays byte for byte."""
    if not values:
        return raw
    if len(values[0][0]) == depth:
        return values[0][1]
    under: dict[str | int, list[tuple[Path, bytes]]] = {}
    for value in values:
        under.setdefault(value[0][depth], []).append(value)
    if isinstance(values[0][0][depth], int):
        items = msgspec.json.decode(raw, type=list[msgspec.Raw])
        for place, some in under.items():
            items[int(place)] = msgspec.Raw(_put(bytes(items[int(place)]), some, depth + 1))
        return msgspec.json.encode(items)
    named = msgspec.json.decode(raw, type=dict[str, msgspec.Raw])
    for name, some in under.items():
        named[str(name)] = msgspec.Raw(_put(bytes(named[str(name)]), some, depth + 1))
    return msgspec.json.encode(named)


def placed(value: Any, path: Path, failed: InputFailed) -> Any:
    """The decoded value with the failed input where its path leads."""
    if not path:
        return failed
    step, rest = path[0], path[1:]
    if isinstance(value, dict):
        # The names of a dict may have been decoded to other types.
        key = next((one for one in value if one == step or str(one) == step), step)
        value[key] = placed(value.get(key), rest, failed)
        return value
    if isinstance(value, list) and isinstance(step, int):
        value[step] = placed(value[step], rest, failed)
        return value
    if isinstance(value, tuple) and isinstance(step, int):
        return (*value[:step], placed(value[step], rest, failed), *value[step + 1 :])
    raise BadValue(
        f"its input {failed.job_id} {failed.state}, and a {type(value).__qualname__} cannot hold that"
    )
