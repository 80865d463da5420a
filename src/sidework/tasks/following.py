"""What follows on what: whose ends a job waits for, and what is enqueued at its own."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from ..callbacks import CALLED, Callback, When
from ..errors import BadValue
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


class Callee:
    """What a callback may be: a task, or one with options (``task.options(...)``)."""

    desk: Enqueuer

    @property
    def app(self) -> Any:
        """The app that declared it."""
        return self.desk.app

    def callback(self, when: When) -> Callback:
        """What is enqueued of it when another job ends; ``BadValue`` for options that are for one job."""
        raise NotImplementedError


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
        found.append(one.callback(when))
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
