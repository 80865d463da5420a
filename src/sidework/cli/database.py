"""``sidework db``: the store itself."""

from __future__ import annotations

import sys

import click

from ..store.protocol import Store
from ..url import shown
from .choosing import as_json, on_store
from .copying import copy_command
from .showing import show_json


@click.group(name="db", short_help="Look at, check, back up, move and shrink the store.")
def database() -> None:
    """Look at, check, back up, move and shrink the store."""


@database.command(short_help="Show sizes, jobs by state, the schema.")
@on_store
@as_json
def info(store: Store, as_json: bool) -> None:
    """Show sizes, jobs by state, the schema."""
    told = store.info()
    if as_json:
        show_json(told)
        return
    for name, value in told.items():
        if isinstance(value, dict):
            value = ", ".join(f"{count:,} {key}" for key, count in value.items()) or "none"
        click.echo(f"{name:<12} {f'{value:,}' if isinstance(value, int) else value}")


@database.command(short_help="Read the whole store and say what is damaged.")
@on_store
@as_json
def check(store: Store, as_json: bool) -> None:
    """Read the whole store and say what is damaged; exit code 1 when something is."""
    found = store.check()
    if as_json:
        show_json({"damage": found})
    else:
        click.echo("\n".join(found) if found else "nothing is damaged")
    sys.exit(1 if found else 0)


@database.command(short_help="Write a whole copy to a new file.")
@on_store
@click.argument("target", type=click.Path())
def backup(store: Store, target: str) -> None:
    """Write a whole copy to TARGET, a new file, while everything runs."""
    store.backup(target)
    click.echo(f"{shown(store.url)} is backed up in {target}")


@database.command(short_help="Give free pages back to the disk.")
@on_store
def vacuum(store: Store) -> None:
    """Give free pages back to the disk."""
    before = store.info()["file_bytes"]
    store.vacuum()
    click.echo(f"{before:,} bytes before, {store.info()['file_bytes']:,} after")


database.add_command(copy_command)
