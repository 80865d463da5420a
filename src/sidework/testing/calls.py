"""Which jobs were enqueued with which arguments, and a failure that tells what was enqueued instead."""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from typing import Any

from ..errors import BadValue
from ..info import JobInfo
from ..job import JobRow
from ..tasks.task import Task

_MOST_SHOWN = 10


class Call:
    """A task and the arguments that a test names: those it leaves out may be anything."""

    def __init__(
        self, task: Task[Any, Any, Any], args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> None:
        if not isinstance(task, Task):
            raise TypeError(f"{task!r} is not a task: give what @app.task has made")
        self._task = task
        self._signature = inspect.signature(task.function)
        try:
            self._wanted = self._signature.bind_partial(*args, **kwargs).arguments
        except TypeError as wrong:
            raise TypeError(f"{task.name}{self._signature}: {wrong}") from None

    def fits(self, row: JobRow) -> bool:
        """Whether the job is of the task, and each argument that is named equals the stored one."""
        if row.task != self._task.name:
            return False
        given = self._given(row)
        return all(name in given and wanted == given[name] for name, wanted in self._wanted.items())

    def missed(self, rows: Sequence[JobRow]) -> str:
        """Why none of these jobs fits."""
        own = [row for row in rows if row.task == self._task.name]
        if own:
            return f"{self._asked()} was not enqueued, but {_several(own, self._shown)}"
        others = sorted({row.task for row in rows})
        return f"{self._asked()} was not enqueued; what was: {', '.join(others) or 'nothing'}"

    def met(self, rows: Sequence[JobRow]) -> str:
        """That these jobs fit, which should not be."""
        return f"{self._asked()} was enqueued: {_several(rows, self._shown)}"

    def _asked(self) -> str:
        return f"{self._task.name}({_listed(self._wanted)})"

    def _shown(self, row: JobRow) -> str:
        return f"{self._task.name}({_listed(self._given(row))}), {row.state}"

    def _given(self, row: JobRow) -> dict[str, Any]:
        try:
            args, kwargs = self._task.signature.unbind(row.args)
        except BadValue:  # an argument that is another job's output is not there yet
            return {"arguments": JobInfo(row).arguments}
        bound = self._signature.bind(*args, **kwargs)
        bound.apply_defaults()
        return bound.arguments


def _listed(arguments: dict[str, Any]) -> str:
    return ", ".join(f"{name}={value!r}" for name, value in arguments.items())


def _several(rows: Sequence[JobRow], shown: Any) -> str:
    lines = [f"\n  {shown(row)}" for row in rows[:_MOST_SHOWN]]
    more = len(rows) - len(lines)
    return f"{len(rows)} of this task:" + "".join(lines) + (f"\n  and {more} more" if more else "")
