"""A task's signature: calls bound to names and checked, and read back by annotation.

Arguments are stored by name as one JSON object. ``*args`` are stored under ``"*"``, ``**kwargs``
under ``"**"``, which no parameter can be called. What the caller leaves out is not stored: the
function's own default counts when it runs. What is injected (``Resource``) is no argument at all.
"""

from __future__ import annotations

import inspect
import typing
from collections.abc import Callable, Sequence
from typing import Any

import msgspec
from msgspec.structs import astuple

from ..codec import TypeHooks, decode, encode
from ..errors import BadTask, BadValue
from ..inputs import fill, placed, take_out, takes_inputs, with_inputs, without_failure
from ..job import Input
from ..outputs import Output, OutputFound
from .resources import Resource, injected, resources_in

_BY_POSITION = frozenset(
    {inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD}
)


class Signature:
    """How one function is called, stored and called again."""

    def __init__(self, function: Callable[..., Any], name: str, hooks: TypeHooks) -> None:
        self._name = name
        self._hooks = hooks
        self._whole = self._signature = inspect.signature(function)
        self._function = function
        # Seen without the annotations, which may not be readable yet: a plain call needs no more.
        self._left_out = [
            about.name for about in self._whole.parameters.values() if about.default is injected
        ]
        self._injected: dict[str, Resource] = {}
        self._names: tuple[str, ...] | None = None
        self._stored: list[str] = []
        self._kind: Any = None
        self._returns: Any = None
        self._look_at_resources()

    def _look_at_resources(self) -> None:
        """``BadTask`` where the function is declared, if its annotations can be read there."""
        try:
            hints = self._hints()
        except BadTask:
            return  # one may name what is defined further down: asked again at the first use
        resources_in(self._name, self._whole, hints)

    def bind(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[bytes, Sequence[Output]]:
        """The call as stored bytes, and the outputs in it; ``TypeError`` as the plain call would,
        ``BadValue`` for values."""
        self._struct()  # which parameters are injected is known from here on
        if self._names is not None and not kwargs and len(args) == len(self._names):
            named = dict(zip(self._names, args, strict=True))
        else:
            named = self._by_name(args, kwargs)
        what = f"the arguments of {self._name}"
        try:
            raw = encode(named, self._hooks, what)
        except OutputFound:
            return self._bind_outputs(named, what)
        self._check(raw)
        return raw, ()

    def _bind_outputs(self, named: dict[str, Any], what: str) -> tuple[bytes, Sequence[Output]]:
        call, found = take_out(named)
        try:
            raw = encode(call, self._hooks, what)
        except OutputFound as wrong:  # in what is no list, tuple or dict
            raise BadValue(str(wrong)) from None
        open_ = {path[0] for path, _ in found}
        known = {name: value for name, value in named.items() if name not in open_}
        self._check(encode(known, self._hooks, what))
        return with_inputs(raw, found, what), [output for _, output in found]

    def _check(self, raw: bytes) -> None:
        try:
            decode(raw, self._struct(), self._hooks)
        except (BadValue, ValueError, TypeError) as wrong:
            raise TypeError(f"{self._name}: {wrong}") from None

    def _by_name(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> dict[str, Any]:
        if self._injected:
            self._refuse_injected(args, kwargs)
        try:
            bound = self._signature.bind(*args, **kwargs)
        except TypeError as wrong:
            known = self._signature.parameters
            by_name = any(about.kind is inspect.Parameter.VAR_KEYWORD for about in known.values())
            unknown = [] if by_name else [name for name in kwargs if name not in known]
            said = f"got an unexpected argument {unknown[0]!r}" if unknown else wrong
            raise TypeError(f"{self._name}{self._signature}: {said}") from None
        named: dict[str, Any] = {}
        for parameter, value in bound.arguments.items():
            kind = self._signature.parameters[parameter].kind
            if kind is inspect.Parameter.VAR_POSITIONAL:
                named["*"] = value
            elif kind is inspect.Parameter.VAR_KEYWORD:
                named["**"] = value
            else:
                named[parameter] = value
        return named

    def _refuse_injected(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        by_position = [
            name for name, about in self._whole.parameters.items() if about.kind in _BY_POSITION
        ]
        for name in (*by_position[: len(args)], *kwargs):
            if name in self._injected:
                raise TypeError(
                    f"{self._name}: {name!r} is injected when the job runs "
                    f"({self._injected[name]}): leave it out"
                )

    def check_given(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        """``TypeError`` when a plain call leaves out what only a job is given."""
        if not self._left_out:
            return
        given = self._whole.bind_partial(*args, **kwargs).arguments
        for name in self._left_out:
            if name not in given:
                raise TypeError(
                    f"{self._name}: {name!r} is injected in a job only: a plain call passes it"
                )

    @property
    def injected(self) -> dict[str, Resource]:
        """The parameters that a job is given, by name, and what they are given."""
        self._struct()
        return self._injected

    def arguments(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> dict[str, Any]:
        """What each parameter gets by a call that ``bind`` takes, defaults too."""
        bound = self._signature.bind(*args, **kwargs)
        bound.apply_defaults()
        return bound.arguments

    def unbind(self, raw: bytes, inputs: Sequence[Input] = ()) -> tuple[list[Any], dict[str, Any]]:
        """The stored call as positional and keyword arguments, in the annotated types, with the results
        of other jobs where it takes some."""
        values = (
            self._filled(raw, inputs)
            if takes_inputs(raw)
            else astuple(decode(raw, self._struct(), self._hooks))
        )
        if self._names is not None and not any(value is msgspec.UNSET for value in values):
            return list(values), {}  # as most calls are: everything is there, all by position
        args: list[Any] = []
        kwargs: dict[str, Any] = {}
        for value, (parameter, about) in zip(
            values, self._signature.parameters.items(), strict=True
        ):
            if value is msgspec.UNSET:
                continue
            if about.kind is inspect.Parameter.POSITIONAL_ONLY:
                args.append(value)
            elif about.kind is inspect.Parameter.VAR_POSITIONAL:
                # Whatever stands before *args has to be given by position too.
                args = [*args, *(kwargs.pop(name) for name in list(kwargs)), *value]
            elif about.kind is inspect.Parameter.VAR_KEYWORD:
                kwargs.update(value)
            else:
                kwargs[parameter] = value
        return args, kwargs

    def _filled(self, raw: bytes, inputs: Sequence[Input]) -> tuple[Any, ...]:
        filled = fill(raw, {one.id: one for one in inputs})
        try:
            values = list(astuple(decode(filled.args, self._struct(), self._hooks)))
        except BadValue as wrong:
            if not filled.failed:
                raise
            _, one = filled.failed[0]
            raise BadValue(
                f"its input {one.job_id} was {one.state} ({one.kind}: {one.message}), and where it goes "
                f"no InputFailed is annotated: {wrong}"
            ) from None
        for path, one in filled.failed:
            place = self._stored.index(str(path[0]))
            values[place] = placed(values[place], path[1:], one)
        return tuple(values)

    @property
    def only(self) -> str:
        """The name under which a call with one argument stores it; ``BadTask`` when that is no call."""
        first, *rest = [*self._signature.parameters.values(), None]
        required = [
            one for one in rest
            if one is not None and one.default is one.empty
            and one.kind not in (one.VAR_POSITIONAL, one.VAR_KEYWORD)
        ]  # fmt: skip
        if first is None or first.kind not in _BY_POSITION or required:
            raise BadTask(
                f"{self._name}{self._signature} cannot be a callback: it is called with one argument"
            )
        return first.name

    @property
    def names(self) -> list[str]:
        """What the parameters are called; their annotations are not looked at."""
        return list(self._signature.parameters)

    @property
    def returns(self) -> Any:
        """The annotated type of the result; ``Any`` without one."""
        self._struct()
        return self._returns

    @property
    def parameters(self) -> list[inspect.Parameter]:
        """The parameters of an enqueue with their annotated types, ``Any`` where there is none."""
        self._struct()
        hints = self._hints()
        return [
            about.replace(annotation=hints.get(name, Any))
            for name, about in self._signature.parameters.items()
        ]

    def hint(self, name: str, without: Any) -> Any:
        """One annotation, ``without`` where there is none; ``Any`` while not all can be read: they may name
        what is defined later."""
        try:
            return self._hints().get(name, without)
        except BadTask:
            return Any

    def fits(self, value: Any, kind: Any) -> bool:
        """Whether an argument annotated ``kind`` may be given as this value."""
        try:
            decode(encode(value, self._hooks, self._name), kind, self._hooks)
        except BadValue:
            return False
        return True

    def _hints(self) -> dict[str, Any]:
        try:
            return typing.get_type_hints(self._function, include_extras=True)
        except Exception as wrong:
            raise BadTask(f"{self._name}: an annotation cannot be read: {wrong}") from wrong

    def _struct(self) -> Any:
        """The arguments' type, made at first use: annotations may name what is defined later."""
        if self._kind is not None:
            return self._kind
        hints = self._hints()
        self._injected = resources_in(self._name, self._whole, hints)
        left = [one for name, one in self._whole.parameters.items() if name not in self._injected]
        self._signature = self._whole.replace(parameters=left)
        if all(about.kind in _BY_POSITION for about in left):
            # A call by position that gives every argument needs no binding: the names are these.
            self._names = tuple(about.name for about in left)
        fields: list[Any] = []
        names: dict[str, str] = {}
        self._stored = []
        for position, (parameter, about) in enumerate(self._signature.parameters.items()):
            kind = without_failure(hints.get(parameter, Any))
            stored = parameter
            if about.kind is inspect.Parameter.VAR_POSITIONAL:
                kind, stored = list[kind], "*"  # type: ignore[valid-type]
            elif about.kind is inspect.Parameter.VAR_KEYWORD:
                kind, stored = dict[str, kind], "**"  # type: ignore[valid-type]
            names[f"p{position}"] = stored
            self._stored.append(stored)
            fields.append((f"p{position}", typing.Union[kind, msgspec.UnsetType], msgspec.UNSET))  # noqa: UP007
        returns = hints.get("return", Any)
        try:
            self._kind = msgspec.defstruct(
                "Arguments", fields, rename=names, forbid_unknown_fields=True
            )
            msgspec.json.Decoder(self._kind, dec_hook=self._hooks.decode)
            msgspec.json.Decoder(returns, dec_hook=self._hooks.decode)
        except (TypeError, ValueError) as wrong:
            raise BadTask(f"{self._name}: its annotations cannot be stored: {wrong}") from None
        self._returns = returns
        return self._kind
