"""The page of the command line, made from the commands themselves: ``python scripts/_cli_page.py PATH``."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Iterator
from pathlib import Path

import click

from sidework.cli.main import main

HEAD = """# Command line

Made from the commands by `scripts/docs cli`; `sidework COMMAND --help` says the same. Which store a command
means, and what its exit codes are: [operations](operations.md#looking).
"""


def page() -> str:
    """The whole page."""
    context = click.Context(main, info_name="sidework")
    return "\n".join([HEAD, *(line for text in _commands(main, context) for line in (text, ""))])


def _commands(group: click.Group, context: click.Context) -> Iterator[str]:
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        assert command is not None
        inner = click.Context(command, info_name=name, parent=context)
        if isinstance(command, click.Group):
            yield f"## {inner.command_path}\n\n{_help(command)}"
            yield from _commands(command, inner)
        else:
            level = "##" if context.parent is None else "###"
            yield f"{level} {inner.command_path}\n\n{_one(command, inner)}"


def _one(command: click.Command, context: click.Context) -> str:
    usage = " ".join([context.command_path, *command.collect_usage_pieces(context)])
    parts = [f"```text\n{usage}\n```", _help(command)]
    rows = [record for one in command.params if (record := _option(one, context)) is not None]
    if rows:
        parts.append("\n".join(rows))
    return "\n\n".join(parts)


def _option(one: click.Parameter, context: click.Context) -> str | None:
    record = one.get_help_record(context)
    if record is None or not record[1]:
        return None  # an argument: the help has told it
    option, told = record
    return f"- `{option}`: {' '.join(told.split())}"


def _help(command: click.Command) -> str:
    return "\n\n".join(map(_paragraph, inspect.cleandoc(command.help or "").split("\n\n")))


def _paragraph(text: str) -> str:
    if text.startswith("\b\n"):  # how click is told to leave lines as they are
        lines = text.removeprefix("\b\n")
        return f"```bash\n{lines}\n```"
    return text.replace("<", "&lt;").replace("[tool.", "\\[tool.")


if __name__ == "__main__":
    Path(sys.argv[1]).write_text(page(), encoding="utf-8")
