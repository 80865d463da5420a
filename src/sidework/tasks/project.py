"""The project that a folder belongs to: the nearest ``pyproject.toml`` at or above it.

A module or file named on the command line is looked for here, then in the project, so that the same
words mean the same from every folder below it.
"""

from __future__ import annotations

import os
from pathlib import Path


def project_folder(folder: Path) -> Path | None:
    """The nearest folder, from ``folder`` up, that holds a ``pyproject.toml``."""
    return next(
        (one for one in (folder, *folder.parents) if (one / "pyproject.toml").is_file()), None
    )


def module_file(folder: Path, module: str) -> Path | None:
    """The file of the dotted ``module`` as imported from ``folder``, if it is there."""
    for tail in (".py", "/__init__.py"):
        path = folder / (module.replace(".", "/") + tail)
        if path.is_file():
            return path
    return None


def is_path(place: str) -> bool:
    """Whether a person means a file by it, not a module."""
    return place.endswith(".py") or os.sep in place


def folder_of_module(module: str, here: Path) -> Path:
    """Where to import ``module`` from: here, the project's ``src`` or the project; else here, and
    it may be an installed package."""
    project = project_folder(here)
    places = [here] if project is None else [here, project / "src", project]
    return next((one for one in places if module_file(one, module)), here)


def file_of_path(place: str, here: Path) -> Path | None:
    """The file that ``place`` names, relative to here or else to the project."""
    project = project_folder(here)
    for folder in [here] if project is None else [here, project]:
        if (folder / place).is_file():
            return folder / place
    return None
