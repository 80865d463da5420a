"""Resources: what a child opens once and a task is given when it runs, declared by annotation.

Here they are only declared and found in a signature; ``child/resources.py`` opens and closes them.
"""

from __future__ import annotations

import inspect
import typing
from collections.abc import Callable, Mapping
from typing import Any

from ..errors import BadTask


class Resource:
    """In an annotation: what the parameter is given when the job runs.

    ``db: Annotated[Pool, Resource(get_pool)] = injected``. ``get`` takes nothing. It is a plain or a
    coroutine function that returns the value, or a generator function or context manager (of
    ``contextlib``), of either colour, that gives the value and closes it afterwards. It is called once
    per child, by the first job that wants it, and closed when the child drains. All who name the same
    function share what it gave. ``BadTask`` for what cannot be called without arguments.
    """

    __slots__ = ("get",)

    def __init__(self, get: Callable[[], Any]) -> None:
        self.get = without_arguments(get, f"Resource({name_of(get)})")

    def __repr__(self) -> str:
        return f"Resource({name_of(self.get)})"


class _Injected:
    """The type of ``injected``."""

    def __repr__(self) -> str:
        return "injected"


injected: Any = _Injected()
"""The default of a parameter that has a ``Resource``: to a type checker whoever enqueues may leave it
out, and it is never seen by the function."""


def without_arguments(function: Callable[[], Any], what: str) -> Callable[[], Any]:
    """The function as given if it can be called without arguments, else ``BadTask``."""
    try:
        inspect.signature(function).bind()
    except TypeError as wrong:
        raise BadTask(f"{what}: expected a function that takes no arguments: {wrong}") from None
    except ValueError:
        return function  # of C, without a signature to read
    return function


def name_of(get: object) -> str:
    """The function's name as a person wrote it."""
    return str(getattr(get, "__qualname__", get))


def resources_in(
    task: str, signature: inspect.Signature, hints: Mapping[str, Any]
) -> dict[str, Resource]:
    """The parameters that are given a resource, by name; ``BadTask`` where none can be given.

    They stand behind what a caller passes by position, or behind ``*``: a plain call and an enqueue
    then mean the same.
    """
    found: dict[str, Resource] = {}
    last = ""
    for name, about in signature.parameters.items():
        kind: Any = hints.get(name)
        marks = kind.__metadata__ if typing.get_origin(kind) is typing.Annotated else ()
        resource = next((mark for mark in marks if isinstance(mark, Resource)), None)
        if resource is None:
            if Resource in marks:
                raise BadTask(
                    f"{task}: {name!r} is annotated Resource: say what it is given: Resource(get)"
                )
            if about.default is injected:
                raise BadTask(
                    f"{task}: nothing says what {name!r} is given: annotate it as "
                    f"{name}: Annotated[Kind, Resource(get)] = injected"
                )
            if last and about.kind in _POSITIONAL:
                raise BadTask(f"{task}: {last!r} is injected: put it behind {name!r}, or behind *")
            continue
        if about.kind not in _NAMED:
            raise BadTask(f"{task}: {name!r} cannot be injected: it has to have a name of its own")
        found[name] = resource
        last = name if about.kind is inspect.Parameter.POSITIONAL_OR_KEYWORD else last
    return found


_POSITIONAL = frozenset({inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.VAR_POSITIONAL})
_NAMED = frozenset({inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY})
