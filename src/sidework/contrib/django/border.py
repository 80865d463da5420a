"""The one place that knows where Django's tasks are: in Django from 6.0 on, before that in the backport
``django-tasks``. The two differ in names only."""

from __future__ import annotations

from importlib import import_module
from typing import Any

import django
from django.core.exceptions import ImproperlyConfigured

try:
    _package = "django.tasks" if django.VERSION[0] >= 6 else "django_tasks"
    tasks: Any = import_module(_package)
except ModuleNotFoundError:
    raise ImproperlyConfigured(
        f"Django {django.get_version()} has no tasks of its own: pip install django-tasks, "
        "or use Django 6.0 or newer"
    ) from None

base: Any = import_module(f"{_package}.base")
errors: Any = import_module(f"{_package}.exceptions")
signals: Any = import_module(f"{_package}.signals")
BaseTaskBackend: Any = import_module(f"{_package}.backends.base").BaseTaskBackend
InvalidTask: Any = getattr(errors, "InvalidTask", None) or errors.InvalidTaskError
