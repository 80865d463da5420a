"""What a worker's children import: ``sidework.contrib.django.worker:ALIAS`` is the app of the backend
``TASKS[ALIAS]``, with the tasks of all installed apps. ``DJANGO_SETTINGS_MODULE`` says whose settings."""

from __future__ import annotations

import django

from .backend import SideworkBackend
from .border import tasks

django.setup()


def __getattr__(alias: str) -> object:
    """The app of a backend."""
    if alias.startswith("__") or alias not in tasks.task_backends.settings:
        raise AttributeError(f"TASKS has no {alias!r}")
    backend = tasks.task_backends[alias]
    if not isinstance(backend, SideworkBackend):
        raise AttributeError(f"TASKS[{alias!r}] is not a SideworkBackend")
    backend.discover()
    return backend.app
