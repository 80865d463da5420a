"""From what a person writes (``module``, ``module:app``, ``path/to/file.py:task``) to the app or task.

One clear line for every way it can fail, with the user's own frame when their code raises.
"""

from __future__ import annotations

import difflib
import functools
import importlib
import os
import sys
import sysconfig
import traceback
from collections.abc import Sequence
from pathlib import Path
from typing import Any, TypeGuard, cast

from ..errors import AppNotFound, SideworkError, TaskNotFound
from ..url import shown
from .importing import importing
from .naming import name_of_file
from .project import file_of_path, folder_of_module, is_path
from .registry import AppLike, Registry, is_app
from .task import Task

_MOST_NAMED = 12
"""So many tasks are named by an error: more is no line any more."""

_OTHERS = tuple(sysconfig.get_path(one) + os.sep for one in ("stdlib", "purelib", "platlib"))
_OURS = os.path.dirname(os.path.dirname(__file__)) + os.sep


class Several(AppLike):
    """Apps that one worker serves together: one store, all their tasks."""

    def __init__(
        self, url: str, registry: Registry, retention: dict[str, int], modules: tuple[str, ...]
    ) -> None:
        self.url = url
        self.registry = registry
        self.retention = retention
        self.modules = modules


def _is_task(value: object) -> TypeGuard[Task[Any, Any, Any]]:
    return issubclass(type(value), Task)


def find_apps(specs: Sequence[str]) -> AppLike:
    """The app that all these lead to, or several on one store as one; else ``AppNotFound``."""
    found = {id(app): (spec, app) for spec in specs for app in (find_app(spec),)}
    (first_spec, first), *others = found.values()
    if not others:
        return first
    registry = Registry()
    for spec, app in found.values():
        if app.url != first.url:
            raise AppNotFound(
                f"{first_spec} is on {shown(first.url)} and {spec} on {shown(app.url)}: "
                "one worker serves one store; start a worker for each"
            )
        registry.join(app.registry)
    modules = tuple(name for _, app in found.values() for name in app.modules)
    return Several(first.url, registry, first.retention, modules)


def find_app(spec: str) -> AppLike:
    """The app that ``spec`` leads to; ``AppNotFound`` says why there is none."""
    module, attribute, loaded = _load(spec)
    if attribute:
        found = _reach(loaded, attribute)
        app = _app_of(found) if _is_task(found) else found  # module:task leads to its app
        if not is_app(app):
            raise AppNotFound(f"{spec}: {module} has no app or task called {attribute!r}")
        return app
    apps = {id(value): (name, value) for name, value in vars(loaded).items() if is_app(value)}
    if not apps:
        raise AppNotFound(f"{spec}: {module} holds no Sidework app; write app = Sidework() in it")
    if len(apps) > 1:
        names = " or ".join(f"{module}:{name}" for name, _ in apps.values())
        raise AppNotFound(f"{spec}: {module} holds {len(apps)} apps; say which: {names}")
    return next(iter(apps.values()))[1]


def find_task(spec: str) -> tuple[AppLike, Task[Any, Any, Any]]:
    """The task of ``module:function``, ``module:Class.function`` or ``module:name``, and its app.

    ``AppNotFound`` when the module leads nowhere, ``TaskNotFound`` when it has no such task: it names
    those that there are.
    """
    place = spec.partition(":")[0]
    module, wanted, loaded = _load(spec)
    reached = _reach(loaded, wanted) if wanted else None
    if _is_task(reached):
        return _app_of(reached), reached
    tasks = {
        name: app.registry.get(name) for app in _apps_of(loaded) for name in app.registry.names()
    }
    own = f"{module}:"
    for fits in (
        [wanted, own + wanted],
        [name for name in tasks if name.endswith(f":{wanted}")],  # declared in another module
    ):
        named = [tasks[name] for name in fits if wanted and name in tasks]
        if len(named) == 1:
            return _app_of(named[0]), named[0]
    # As one would write them: a task of this very module without the module's name.
    there = {f"{place}:{name.removeprefix(own)}": None for name in sorted(tasks)}
    raise TaskNotFound(_missing(spec, module, wanted, reached, list(there)))


def _missing(spec: str, module: str, wanted: str, reached: object, there: list[str]) -> str:
    """Why there is no such task, and which there are."""
    more = f" and {len(there) - _MOST_NAMED} more" if len(there) > _MOST_NAMED else ""
    known = f"there are: {', '.join(there[:_MOST_NAMED]) or 'none'}{more}"
    if not wanted:
        return f"{spec}: say which task, like {spec}:name; {known}"
    if callable(reached) and not is_app(reached):
        return f"{spec} is not a task: write @app.task above it; {known}"
    close = difflib.get_close_matches(spec, there, 1)
    perhaps = f"did you mean {close[0]} (" if close else ""
    return (
        f"{spec}: {module} has no task called {wanted!r}; {perhaps}{known}{')?' if close else ''}"
    )


def _load(spec: str) -> tuple[str, str, Any]:
    """The name of the module that ``spec`` begins with, what follows the colon, the module itself."""
    place, _, attribute = spec.partition(":")
    here = Path.cwd()
    if is_path(place):
        file = file_of_path(place, here)
        if file is None:
            raise AppNotFound(f"{place}: there is no such file")
        folder, module = name_of_file(str(file))
    else:
        folder, module = str(folder_of_module(place, here)), place
    if folder not in sys.path:
        sys.path.insert(0, folder)
    return module, attribute, _import(module, spec)


def _reach(loaded: Any, path: str) -> Any:
    """What the dotted path leads to in a module; ``None`` when nothing."""
    return functools.reduce(lambda found, name: getattr(found, name, None), path.split("."), loaded)


def _app_of(task: Task[Any, Any, Any]) -> AppLike:
    return cast(AppLike, task.desk.app)


def _apps_of(loaded: Any) -> list[AppLike]:
    """The apps that a module holds, itself or through its tasks."""
    held = (_app_of(one) if _is_task(one) else one for one in vars(loaded).values())
    return list({id(app): app for app in held if is_app(app)}.values())


def _import(module: str, spec: str) -> Any:
    try:
        with importing(module):
            return importlib.import_module(module)
    except ModuleNotFoundError as missing:
        if missing.name and (module == missing.name or module.startswith(missing.name + ".")):
            raise AppNotFound(
                f"{spec}: there is no module {module!r} here or among the installed packages"
            ) from None
        raise AppNotFound(f"{spec}: {told(missing)}") from missing
    except (Exception, SystemExit) as error:
        raise AppNotFound(f"{spec}: {told(error)}") from error


def told(error: BaseException) -> str:
    """The error in one line, with the last frame that is the user's own."""
    frames = [
        frame
        for frame in traceback.extract_tb(error.__traceback__)
        if "importlib" not in frame.filename and not frame.filename.startswith(_OURS)
    ]
    frames = [one for one in frames if not one.filename.startswith(_OTHERS)] or frames
    said = f"{type(error).__name__}: {error}".splitlines()[0]
    if isinstance(error, SideworkError):
        said = str(error).splitlines()[0]
    if isinstance(error, SyntaxError):
        return f"{said} (at {error.filename}:{error.lineno})"
    return f"{said} (at {frames[-1].filename}:{frames[-1].lineno})" if frames else said
