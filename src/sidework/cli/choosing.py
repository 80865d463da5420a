"""Which app and which store a command means: given, else from the nearest ``pyproject.toml``."""

from __future__ import annotations

import os
import tomllib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import click

from ..errors import AppNotFound
from ..store.opening import absolute, open_store
from ..store.protocol import Store

_SAY = "give an app (module, module:app or path/to/file.py), or write it once into pyproject.toml: "
_SAY += '[tool.sidework] app = "shop.jobs"'


def chosen_apps(given: Sequence[str]) -> list[str]:
    """The apps as given, else those of the nearest pyproject; ``AppNotFound`` when there are none."""
    if given:
        return list(given)
    folder = Path.cwd()
    for place in (folder, *folder.parents):
        path = place / "pyproject.toml"
        if not path.is_file():
            continue
        try:
            told = tomllib.loads(path.read_text("utf-8")).get("tool", {}).get("sidework", {})
        except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as wrong:
            raise AppNotFound(f"{path} cannot be read: {wrong}") from None
        apps = told.get("app")
        if apps is None:
            break
        apps = [apps] if isinstance(apps, str) else apps
        if not isinstance(apps, list) or not all(isinstance(one, str) for one in apps):
            raise AppNotFound(f"{path}: [tool.sidework] app is a text or a list of texts")
        return [_anchored(one, place) for one in apps]
    raise AppNotFound(f"which app? {_SAY}")


def _anchored(spec: str, folder: Path) -> str:
    """A name in a pyproject means the same from every folder below it."""
    place, colon, attribute = spec.partition(":")
    if place.endswith(".py") or os.sep in place:
        return str(folder / place) + colon + attribute
    for base in (folder / "src", folder):
        for tail in (".py", "/__init__.py"):
            path = base / (place.replace(".", "/") + tail)
            if path.is_file():
                return str(path) + colon + attribute
    return spec


def chosen_store(app: str | None, url: str | None) -> Store:
    """The store of a URL or of an app, for commands that look; it is never made here."""
    if url is not None:
        return open_store(absolute(url, os.getcwd()), create=False)
    if app is None and "SIDEWORK_URL" in os.environ:
        return open_store(absolute(os.environ["SIDEWORK_URL"], os.getcwd()), create=False)
    from ..tasks.finding import find_apps

    return open_store(find_apps(chosen_apps([app] if app else [])).url, create=False)


def on_store(command: Callable[..., Any]) -> Callable[..., Any]:
    """Adds ``--app`` and ``--url``; the command gets a ``store``, closed when it ends."""
    import functools

    @click.option("--app", envvar="SIDEWORK_APP", help="The app: module, module:app or a path.")
    @click.option("--url", help="The store itself, like jobs.db, instead of an app.")
    @functools.wraps(command)
    def with_store(app: str | None, url: str | None, **given: Any) -> Any:
        store = chosen_store(app, url)
        try:
            return command(store=store, **given)
        finally:
            store.close()

    return with_store


as_json = click.option("--json", "as_json", is_flag=True, help="For programs: JSON, times in UTC.")
