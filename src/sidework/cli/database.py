"""``sidework db``: the store itself."""

from __future__ import annotations

import sys
from typing import Any

import click
from msgspec.structs import asdict

from ..errors import StoreError
from ..store.protocol import Store
from ..url import shown
from .choosing import as_json, on_store
from .copying import copy_command
from .showing import ago, show_findings, show_json, when
from .table import show_table


@click.group(name="db", short_help="Migrate, look at, check, back up, move and shrink the store.")
def database() -> None:
    """Migrate, look at, check, back up, move and shrink the store."""


@database.command(short_help="Show sizes, jobs by state, the schema.")
@on_store
@as_json
def info(store: Store, as_json: bool) -> None:
    """Show sizes, jobs by state, the schema; of a server also what waits and how a claim is planned.

    With many jobs some numbers are estimates, and it says so. --json tells the plan as a whole.
    """
    told = store.info()
    if as_json:
        show_json(_for_programs(told))
        return
    tables = {name: value for name, value in told.items() if isinstance(value, list)}
    for name, value in told.items():
        if name not in tables and not name.endswith("_plan"):
            click.echo(f"{name:<21} {_for_people(name, value)}")
    for name, rows in tables.items():
        if rows:
            click.echo(f"\n{name}:")
            cells = ([_for_people(key, value) for key, value in row.items()] for row in rows)
            show_table(tuple(rows[0]), cells)


def _for_people(name: str, value: Any) -> str:
    """A time as how long ago, a number with its thousands, several as a list of them."""
    if name.endswith("_at"):
        return ago(value) or "never"
    if isinstance(value, dict):
        return ", ".join(f"{count:,} {key}" for key, count in value.items()) or "none"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:,}" if isinstance(value, int) else str(value)


def _for_programs(value: Any) -> Any:
    """The times in it as they are in all JSON of ours."""
    if isinstance(value, dict):
        return {
            name: when(one) if name.endswith("_at") else _for_programs(one)
            for name, one in value.items()
        }
    return [_for_programs(one) for one in value] if isinstance(value, list) else value


@database.command(short_help="Make or change the tables, where a server has them.")
@on_store
@click.option("--sql", is_flag=True, help="Print the script for psql instead of running it.")
def migrate(store: Store, sql: bool) -> None:
    """Bring the tables of a server to what this Sidework knows, while others work; a file does so by itself.

    Safe to run twice and from several machines: they take turns.
    """
    if sql:
        click.echo(store.script(), nl=False)
        return
    applied = store.migrate()
    if applied:
        named = ", ".join(map(str, applied))
        click.echo(f"{shown(store.url)}: applied version{'s' * (len(applied) > 1)} {named}")
    else:
        click.echo(store.script().strip().removeprefix("-- "))


@database.command(short_help="Read the whole store and say what is damaged, missing or hurts.")
@on_store
@as_json
def check(store: Store, as_json: bool) -> None:
    """Say what is missing or hurts around the store, and read it whole for what is damaged.

    Exit code 1 when anything is damaged or a problem (!!); a hint (--) is only that.
    """
    found = [one for one in store.findings() if one.advice or one.problem]
    problem = any(one.problem for one in found)
    damage: list[str] = []
    failure: StoreError | None = None
    try:
        damage = store.check()
    except StoreError as wrong:
        failure = wrong
    if as_json:
        unread = str(failure or "")
        show_json({"damage": damage, "findings": [asdict(one) for one in found], "unread": unread})
    else:
        for line in damage:
            click.echo(f"!!  damaged: {line}")
        show_findings(found)
        if failure is not None:
            click.echo("whether anything is damaged could not be read")
        elif not damage:
            click.echo("nothing is damaged")
    if failure is not None and not problem:
        # Not before what was found: a hint may name what is in the way. A problem is itself the reason.
        raise failure
    sys.exit(1 if damage or problem else 0)


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
