"""Which app and which store a command means: given, else from the nearest ``pyproject.toml``."""

from __future__ import annotations

import functools
import os
import tomllib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ..errors import AppNotFound
from ..store.opening import absolute, open_store
from ..store.protocol import Store
from ..tasks.naming import name_of_file
from ..tasks.project import is_path, module_file, project_folder

if TYPE_CHECKING:
    from ..tasks.registry import AppLike

_SAY = "give an app (module, module:app or path/to/file.py), or write it once into pyproject.toml: "
_SAY += '[tool.sidework] app = "shop.jobs"'
_OR_STORE = "; or name the store itself, by --url or SIDEWORK_URL"


def chosen_apps(given: Sequence[str], instead: str = "") -> list[str]:
    """The apps as given, else those of the nearest pyproject; ``AppNotFound`` when there are none, with
    what could be given ``instead``."""
    if given:
        return list(given)
    project = project_folder(Path.cwd())
    if project is None:
        raise AppNotFound(f"which app? {_SAY}{instead}")
    path = project / "pyproject.toml"
    try:
        told = tomllib.loads(path.read_text("utf-8")).get("tool", {}).get("sidework", {})
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as wrong:
        raise AppNotFound(f"{path} cannot be read: {wrong}") from None
    apps = told.get("app")
    if apps is None:
        raise AppNotFound(f"which app? {_SAY}{instead}")
    apps = [apps] if isinstance(apps, str) else apps
    if not isinstance(apps, list) or not all(isinstance(one, str) for one in apps):
        raise AppNotFound(f"{path}: [tool.sidework] app is a text or a list of texts")
    return [_anchored(one, project) for one in apps]


def _anchored(spec: str, project: Path) -> str:
    """A name in a pyproject means the same from every folder below it, whatever lies there."""
    place, colon, attribute = spec.partition(":")
    if is_path(place):
        return str(project / place) + colon + attribute
    for folder in (project / "src", project):
        path = module_file(folder, place)
        # In a package without __init__.py a file's path does not tell the module's name: then the
        # name itself, which is looked for in the project too.
        if path and name_of_file(str(path)) == (str(folder), place):
            return str(path) + colon + attribute
    return spec


def chosen(app: str | None, url: str | None) -> tuple[Store, AppLike | None]:
    """The store of a URL or of an app, for commands that look: it is never made here. With it the
    app, where that is what led there."""
    place, found = chosen_place(app, url)
    return open_store(place, create=False), found


def chosen_place(app: str | None, url: str | None) -> tuple[str, AppLike | None]:
    """The URL of the store that ``chosen`` opens, and the app."""
    if url is None and app is None:
        url = os.environ.get("SIDEWORK_URL") or None  # set to nothing is not set
    if url is not None:
        return absolute(url, os.getcwd()), None
    from ..tasks.finding import find_apps  # a worker, which runs no user code, does without

    found = find_apps(chosen_apps([app] if app else [], _OR_STORE))
    return found.url, found


def which_store(command: Callable[..., Any]) -> Callable[..., Any]:
    """Adds ``--app`` and ``--url``."""
    command = click.option("--url", help="The store itself, like jobs.db, instead of an app.")(
        command
    )
    return click.option(
        "--app", envvar="SIDEWORK_APP", help="The app: module, module:app or a path."
    )(command)


def on_store(command: Callable[..., Any]) -> Callable[..., Any]:
    """Adds ``--app`` and ``--url``; the command gets a ``store``, closed when it ends."""

    @functools.wraps(command)
    def with_store(app: str | None, url: str | None, **given: Any) -> Any:
        store, _ = chosen(app, url)
        try:
            return command(store=store, **given)
        finally:
            store.close()

    return which_store(with_store)


as_json = click.option("--json", "as_json", is_flag=True, help="For programs: JSON, times in UTC.")
