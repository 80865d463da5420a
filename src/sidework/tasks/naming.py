"""A task's name is where its function is imported from: ``module:qualname``.

A file that is run as ``__main__`` gives the name that it has when it is imported, so that the
program and the worker mean the same task.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Collection, Iterable
from typing import Any

from ..errors import BadTask, BadValue


def module_name(module: str) -> str:
    """The importable name of a module; for ``__main__`` that of its file."""
    if module != "__main__":
        return module
    main = sys.modules["__main__"]
    spec = getattr(main, "__spec__", None)
    if spec is not None and spec.name:
        return str(spec.name)
    path = getattr(main, "__file__", None)
    return "__main__" if path is None else name_of_file(path)[1]


def name_of_file(path: str) -> tuple[str, str]:
    """The folder to import from and the dotted name of a file, found by its packages' ``__init__``."""
    path = os.path.abspath(path)
    folder, stem = os.path.dirname(path), os.path.splitext(os.path.basename(path))[0]
    parts = [] if stem == "__init__" else [stem]
    while os.path.exists(os.path.join(folder, "__init__.py")):
        folder, package = os.path.split(folder)
        parts.insert(0, package)
    return folder, ".".join(parts)


def checked_name(name: object) -> str:
    """A name that is given, as given; ``BadTask`` for what is no printable text."""
    if not isinstance(name, str) or not name.strip() or not name.isprintable():
        raise BadTask(f"name={name!r}: expected a printable text")
    return name


def task_name(function: Callable[..., Any]) -> str:
    """The name of the function as a task; ``BadTask`` when a worker could not find it by a name."""
    qualname = getattr(function, "__qualname__", None)
    if qualname is None:
        raise BadTask(f"{function!r} cannot be a task: a task is a function defined in a module")
    if "<lambda>" in qualname:
        raise BadTask(
            "a lambda cannot be a task: a worker finds a task by its name; "
            "use def at the top of a module"
        )
    if "<locals>" in qualname:
        raise BadTask(
            f"{qualname} cannot be a task: it is defined inside a function, where a worker cannot "
            "find it; move it to the top of its module"
        )
    return f"{module_name(function.__module__)}:{qualname}"


def fitting(task: str, known: Iterable[str]) -> list[str]:
    """The names that may be meant by a whole name or by its part behind the module."""
    return [name for name in known if name == task or name.endswith(f":{task}")]


def whole_name(task: str, known: Collection[str]) -> str:
    """The name of a task that is meant by it, or by its part behind the module; one that is whole and not
    known is taken as it is. ``BadValue`` for what means none, or several."""
    fits = fitting(task, known)
    if task in fits or not fits:
        if task not in fits and ":" not in task:
            there = f"; there are: {', '.join(known)}" if known else ""
            raise BadValue(
                f"no task {task!r} is known here{there}: give its whole name, module:name"
            )
        return task
    if len(fits) > 1:
        raise BadValue(f"{task!r} may be {' or '.join(fits)}: give the whole name")
    return fits[0]


def check_options(given: Iterable[str], known: Iterable[str], of: str) -> None:
    """``BadValue`` for the first option that ``of`` does not have."""
    there = sorted(known)
    for name in sorted({*given} - {*there}):
        import difflib

        close = difflib.get_close_matches(name, there, 1)
        perhaps = f"did you mean {close[0]}? " if close else ""
        raise BadValue(f"unknown option {name!r} of {of}; {perhaps}there are: {', '.join(there)}")
