"""``sidework``: the commands and their exit codes (0 done, 1 failed, 2 used wrongly)."""

from __future__ import annotations

import importlib
import sys
from typing import Any

import click

from ..errors import SideworkError

COMMANDS = {
    "init": ("beginning", "init"),
    "dev": ("developing", "dev"),
    "worker": ("serving", "worker"),
    "run": ("serving", "run"),
    "jobs": ("jobs", "jobs"),
    "explain": ("explain", "explain"),
    "workflows": ("workflows", "workflows"),
    "queues": ("queues", "queues"),
    "tasks": ("tasks", "tasks"),
    "periodic": ("periodic", "periodic"),
    "workers": ("workers", "workers"),
    "top": ("top", "top"),
    "db": ("database", "database"),
    "doctor": ("doctor", "doctor"),
    "health": ("health", "health"),
    "metrics": ("metrics", "metrics"),
    "demo": ("demo", "demo"),
    "completion": ("completing", "completion"),
}


class Lazy(click.Group):
    """Loads a command's module when it is used: the worker starts without the tables' libraries."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """All commands, in the order of use."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The command of that name."""
        if cmd_name not in COMMANDS:
            return None
        module, name = COMMANDS[cmd_name]
        command: click.Command = getattr(importlib.import_module(f".{module}", __package__), name)
        return command

    def invoke(self, ctx: click.Context) -> Any:
        """Run; our own errors are one line on stderr and exit code 1."""
        try:
            return super().invoke(ctx)
        except SideworkError as error:
            click.echo(f"sidework: {error}", err=True)
            sys.exit(1)


@click.group(cls=Lazy)
@click.version_option(package_name="sidework")
def main() -> None:
    """Asynchronous job processing for Python.

    Exit codes: 0 done, 1 failed (one line on stderr says why), 2 used wrongly.
    """
