"""``sidework init``: a first app with its test, in files that were not there."""

from __future__ import annotations

import shlex
from pathlib import Path

import click

from ..errors import SideworkError

APP = '''\
"""The jobs of this project, for which a worker is started by: sidework worker jobs"""

from sidework import Sidework

app = Sidework()  # jobs.sidework.db beside this file; SIDEWORK_URL names another store


@app.task(retries=3)
def greet(name: str) -> str:
    return f"hello, {name}"


@app.task
async def greet_all(names: list[str]) -> int:
    for name in names:
        await greet.aenqueue(name)
    return len(names)
'''
TEST = '''\
"""Run by: pytest. The jobs run in the test itself, in a store of its own."""

import pytest
from jobs import app, greet, greet_all


@pytest.fixture
def sidework_app():
    return app


def test_each_is_greeted(sidework):
    job = greet_all.enqueue(["ann", "bob"])
    sidework.drain()
    assert job.result() == 2
    [ann] = sidework.enqueued(greet, "ann")
    assert ann.result == "hello, ann"


def test_a_greeting_is_tried_again(sidework):
    sidework.fail(greet, ConnectionError("no route"))
    job = greet.enqueue("ann")
    sidework.drain(within="1h")
    assert job.result() == "hello, ann"
'''
FILES = {"jobs.py": APP, "test_jobs.py": TEST}


@click.command(short_help="Write a small app and its test.")
@click.argument("folder", type=click.Path(path_type=Path, file_okay=False), default=".")
def init(folder: Path) -> None:
    """Write a small app, jobs.py, and its test, test_jobs.py, into FOLDER (here by default).

    What is there stays as it is: when one of the two is, nothing is written.
    """
    for name in FILES:
        if (folder / name).exists() or (folder / name).is_symlink():
            raise SideworkError(
                f"{folder / name} is there already, and stays as it is: choose another folder, like "
                "sidework init myapp"
            )
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, text in FILES.items():
            with open(folder / name, "x", encoding="utf-8") as file:
                file.write(text)
            click.echo(f"wrote {folder / name}")
    except OSError as error:
        raise SideworkError(f"cannot write into {folder}: {error.strerror or error}") from None
    there = "" if folder == Path() else f"cd {shlex.quote(str(folder))} && "
    click.echo("\nNow, in two terminals:\n")
    click.echo(f"  {there}sidework {'dev' if _follows() else 'worker'} jobs")
    click.echo(f"  {there}sidework run jobs:greet world --wait")


def _follows() -> bool:
    """Whether ``sidework dev`` has what it needs; where not, a worker is what there is."""
    try:
        import watchfiles as _  # noqa: F401
    except ImportError:
        return False
    return True
