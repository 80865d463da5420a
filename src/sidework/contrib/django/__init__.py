"""Sidework as a backend of Django's tasks, and ``manage.py sidework``.

INSTALLED_APPS = [..., "sidework.contrib.django"]
TASKS = {"default": {"BACKEND": "sidework.contrib.django.SideworkBackend", "OPTIONS": {...}}}
"""

from __future__ import annotations

from typing import Any


def __getattr__(name: str) -> Any:
    """The backend, loaded when asked for: Django imports this package before its settings are read."""
    if name != "SideworkBackend":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from .backend import SideworkBackend

    return SideworkBackend
