"""``manage.py sidework worker`` and every other command of ``sidework``, for the jobs of a backend."""

from __future__ import annotations

import argparse
import os
import runpy
import sys
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from ...backend import SideworkBackend
from ...border import tasks

_RUN_APPS = frozenset({"worker"})
"""Commands that take the app as an argument; the others are told by ``SIDEWORK_APP``."""


class Command(BaseCommand):
    """Passes its words on: help and options are those of ``sidework`` itself."""

    help = (
        "Sidework's own commands (worker, jobs, queues ...) for the jobs of this project's tasks."
    )
    requires_system_checks = ()

    def run_from_argv(self, argv: list[str]) -> None:
        """All words are ours but those that ``manage.py`` itself understands."""
        ours = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
        ours.add_argument("--backend")
        ours.add_argument("--settings")
        ours.add_argument("--pythonpath")
        given, words = ours.parse_known_args(argv[2:])
        try:
            self.handle(*words, backend=given.backend)
        except CommandError as error:
            self.stderr.write(f"sidework: {error}")
            sys.exit(2)

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        """For ``call_command``."""
        parser.add_argument("words", nargs=argparse.REMAINDER)
        parser.add_argument("--backend")

    def handle(self, *words: str, backend: str | None = None, **options: Any) -> None:
        """Run the command to its end, and leave with its exit code."""
        words = words or tuple(options.get("words", ()))
        spec = f"sidework.contrib.django.worker:{_alias(backend)}"
        # Children are processes of their own: they have to find the project as this one did.
        paths = [sys.path[0], os.environ.get("PYTHONPATH", "")]
        os.environ["PYTHONPATH"] = os.pathsep.join(path for path in paths if path)
        os.environ["SIDEWORK_APP"] = spec
        more = [spec] if words[:1] and words[0] in _RUN_APPS and "--help" not in words else []
        sys.argv = ["manage.py sidework", *words, *more]
        runpy.run_module("sidework", run_name="__main__")


def _alias(given: str | None) -> str:
    ours = [
        alias
        for alias in tasks.task_backends.settings
        if isinstance(tasks.task_backends[alias], SideworkBackend)
    ]
    if given is not None and given not in ours:
        raise CommandError(
            f"--backend {given}: TASKS has {', '.join(ours) or 'none'} of Sidework's"
        )
    if not ours:
        raise CommandError(
            'no backend of TASKS is Sidework\'s: {"BACKEND": "sidework.contrib.django.SideworkBackend"}'
        )
    if given is None and len(ours) > 1 and "default" not in ours:
        raise CommandError(f"say which by --backend: {', '.join(ours)}")
    return given or ("default" if "default" in ours else ours[0])
