"""From what a person writes (``module``, ``module:app``, ``path/to/file.py``) to the app.

One clear line for every way it can fail, with the user's own frame when their code raises.
"""

from __future__ import annotations

import importlib
import os
import sys
import traceback
from collections.abc import Sequence
from typing import Any, TypeGuard

from ..errors import AppNotFound, SideworkError
from .importing import importing
from .naming import name_of_file
from .registry import Registry

_OURS = os.path.dirname(os.path.dirname(__file__)) + os.sep


class AppLike:
    """What a worker's child needs of an app. Apps say by inheritance that they are one: an object of
    another library may answer to any attribute, or raise at any."""

    registry: Registry
    retention: dict[str, int]
    url: str


class Several(AppLike):
    """Apps that one worker serves together: one store, all their tasks."""

    def __init__(self, url: str, registry: Registry, retention: dict[str, int]) -> None:
        self.url = url
        self.registry = registry
        self.retention = retention


def is_app(value: object) -> TypeGuard[AppLike]:
    """By its real type: a proxy may say of itself that it is anything, or raise when asked."""
    return issubclass(type(value), AppLike)


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
                f"{first_spec} is on {first.url} and {spec} on {app.url}: "
                "one worker serves one store; start a worker for each"
            )
        for name in app.registry.names():
            registry.add(app.registry.get(name))
    return Several(first.url, registry, first.retention)


def find_app(spec: str) -> AppLike:
    """The app that ``spec`` leads to; ``AppNotFound`` says why there is none."""
    place, _, attribute = spec.partition(":")
    if place.endswith(".py") or os.sep in place:
        if not os.path.isfile(place):
            raise AppNotFound(f"{place}: there is no such file")
        folder, module = name_of_file(place)
    else:
        folder, module = os.getcwd(), place
    if folder not in sys.path:
        sys.path.insert(0, folder)
    loaded = _import(module, spec)
    if attribute:
        found = getattr(loaded, attribute, None)
        app = getattr(found, "_app", found)  # module:task leads to the task's app
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


def _import(module: str, spec: str) -> Any:
    try:
        with importing(module):
            return importlib.import_module(module)
    except ModuleNotFoundError as missing:
        if missing.name and (module == missing.name or module.startswith(missing.name + ".")):
            raise AppNotFound(
                f"{spec}: there is no module {module!r} here or among the installed packages"
            ) from None
        raise AppNotFound(f"{spec}: {_told(missing)}") from missing
    except (Exception, SystemExit) as error:
        raise AppNotFound(f"{spec}: {_told(error)}") from error


def _told(error: BaseException) -> str:
    """The error in one line, with the last frame that is the user's own."""
    frames = [
        frame
        for frame in traceback.extract_tb(error.__traceback__)
        if "importlib" not in frame.filename and not frame.filename.startswith(_OURS)
    ]
    said = f"{type(error).__name__}: {error}".splitlines()[0]
    if isinstance(error, SideworkError):
        said = str(error).splitlines()[0]
    if isinstance(error, SyntaxError):
        return f"{said} (at {error.filename}:{error.lineno})"
    return f"{said} (at {frames[-1].filename}:{frames[-1].lineno})" if frames else said
