"""What follows on what: whose ends a job waits for, and what is enqueued at its own."""

from __future__ import annotations

import types
import typing
from collections.abc import Iterable, Mapping, Sequence
from inspect import formatannotation
from typing import Any

from ..callbacks import CALLED, Callback, JobEnd, JobFailure, When
from ..errors import BadTask, BadValue
from ..handle import Enqueuer
from ..job import OnInputFailure
from ..outputs import Output
from ..url import shown

FOR_ONE_JOB = frozenset(
    {
        "run_after", "expires", "id", "unique", "unique_until", "connection", "after", "on_input_failure",
        "on_success", "on_failure", "on_final",
    }
)  # fmt: skip
"""Options that a callback cannot have."""

_TOLD: tuple[Any, ...] = (JobFailure, JobEnd)
_NO_OBJECT: tuple[Any, ...] = (
    bool, int, float, str, bytes, list, tuple, set, frozenset, types.NoneType,
)  # fmt: skip
"""What neither of them is ever read as."""


class Callee:
    """What a callback may be: a task, or one with options (``task.options(...)``)."""

    desk: Enqueuer

    @property
    def app(self) -> Any:
        """The app that declared it."""
        return self.desk.app

    @property
    def returns(self) -> Any:
        """The annotated type of the result, as far as it can be read yet; ``None``: without one."""
        raise NotImplementedError

    def callback(self, when: When, of: Callee) -> Callback:
        """What is enqueued of it when a job of another task ends; ``BadValue`` for options that are for one
        job, ``BadTask`` when it cannot take what it would be given."""
        raise NotImplementedError


def check_given(one: Callee, about: str, kind: Any, when: When, of: Callee) -> None:
    """``BadTask`` when the parameter of a callback is annotated as what it is never given: what else it may
    be read as nobody can say before."""
    kinds = _members(kind)
    if when == "success":
        if any(some not in _TOLD for some in kinds):
            return
        returned = _members(of.returns)
        if any(some is Any or some in kinds for some in returned):
            return
        given = f"the result of {of!r}"
    else:
        fit = JobFailure if when == "failure" else JobEnd
        if any(some is fit or some not in (*_TOLD, *_NO_OBJECT) for some in kinds):
            return
        given = f"a {fit.__name__}"
    raise BadTask(
        f"on_{when}={one!r}: it is called with {given}, and its {about} is annotated "
        f"{formatannotation(kind)}"
    )


def _members(kind: Any) -> list[Any]:
    """Of which types a value may be by an annotation, without what they hold."""
    origin = typing.get_origin(kind)
    if origin is typing.Annotated:
        return _members(kind.__origin__)
    if origin in (typing.Union, types.UnionType):
        return [one for some in typing.get_args(kind) for one in _members(some)]
    return [origin or kind]


def callbacks_of(task: Callee, own: object, options: Mapping[str, Any]) -> list[Callback]:
    """What the options, or the task's own, say is to be enqueued when the job ends."""
    found = []
    for when in CALLED:
        name = f"on_{when}"
        one = options.get(name, getattr(own, name))
        if one is None:
            continue
        if not isinstance(one, Callee):
            raise BadValue(f"{name}={one!r}: expected a task, or task.options(...)")
        if one.app.url != task.app.url:
            raise BadValue(
                f"{name}={one!r} is of {shown(one.app.url)}, and {task!r} of {shown(task.app.url)}: a "
                "callback is stored together with the end of its job"
            )
        found.append(one.callback(when, task))
    return found


def parents_of(inputs: Sequence[Any], url: str) -> tuple[bytes, ...]:
    """Whom a job with these inputs waits for; ``BadValue`` for what is none of this store."""
    if isinstance(inputs, str) or not isinstance(inputs, Iterable):
        raise BadValue(f"after={inputs!r}: expected a list of job handles, or of bound tasks")
    found = []
    for one in inputs:
        output = one if isinstance(one, Output) else getattr(one, "output", None)
        if not isinstance(output, Output):
            raise BadValue(f"after=[{one!r}]: expected a job handle, or a bound task")
        if output.url != url:
            raise BadValue(
                f"{output!r} is in {shown(output.url)}, the job that would take it in {shown(url)}: "
                "wait for the result and pass that"
            )
        found.append(output.job_id)
    return tuple(dict.fromkeys(found))


def check_policy(policy: object) -> OnInputFailure:
    """The policy as given, or ``BadValue``."""
    if policy == "cancel":
        return "cancel"
    if policy == "continue":
        return "continue"
    raise BadValue(f"on_input_failure={policy!r}: expected 'cancel' or 'continue'")
