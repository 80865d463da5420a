"""The app of the tests of ``finish_in``: each job writes one row of a table of its own, and ends with it."""

import asyncio
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import apsw
import psycopg

from sidework import ClaimLost, Sidework, current_job
from sidework.store.postgres.place import place_of

app = Sidework()
HERE = Path(__file__).parent
ON_SERVER = app.url.startswith("postgres")
# Of this test alone, also in a database that others use.
EFFECTS = f'"{place_of(app.url).schema}".effects' if ON_SERVER else "effects"


class Undone(Exception):
    """Raised in a transaction, so that it is rolled back."""


def prepare() -> None:
    with app.transaction() as connection:
        connection.execute(f"CREATE TABLE IF NOT EXISTS {EFFECTS} (job TEXT, attempt INTEGER)")


def effect(connection: Any) -> None:
    job = current_job()
    connection.execute(f"INSERT INTO {EFFECTS} VALUES ('{job.id}', {job.attempt})")


def effects(job: str) -> list[int]:
    """The attempts of the job whose row is there."""
    with app.transaction() as connection:
        rows = connection.execute(f"SELECT attempt FROM {EFFECTS} WHERE job = '{job}'")
        return [row[0] for row in rows]


def outside() -> Any:
    """A connection of the program's own, in no transaction."""
    if ON_SERVER:
        return psycopg.connect(place_of(app.url).conninfo, autocommit=True)
    connection = apsw.Connection(app.url.removeprefix("sqlite:///"))
    connection.set_busy_timeout(10_000)
    return connection


@contextmanager
def own() -> Iterator[Any]:
    """The same in a transaction."""
    connection = outside()
    try:
        connection.execute("BEGIN" if ON_SERVER else "BEGIN IMMEDIATE")
        yield connection
        connection.execute("COMMIT")
    finally:
        connection.close()


def finish(value: int) -> str:
    with app.transaction() as connection:
        effect(connection)
        current_job().finish_in(connection, value)
    return "what it returns counts no more"


@app.task
def thread(value: int) -> int | str:
    return finish(value)


@app.task(runner="process")
def process(value: int) -> int | str:
    return finish(value)


@app.task
async def coroutine(value: int) -> int | str:
    with app.transaction() as connection:
        effect(connection)
        await current_job().afinish_in(connection, value)
    await asyncio.sleep(0)
    return "what it returns counts no more"


@app.task
def own_connection(value: int) -> int:
    with own() as connection:
        effect(connection)
        current_job().finish_in(connection, value)
    return -1


@app.task(retries=1, backoff="10ms")
def fails_first(value: int) -> int:
    with app.transaction() as connection:
        effect(connection)
        current_job().finish_in(connection, value)
        if current_job().attempt == 1:
            raise Undone("not yet")
    return -1


@app.task(retries=1, backoff="10ms")
def swallows_first(value: int) -> int:
    try:
        with app.transaction() as connection:
            effect(connection)
            current_job().finish_in(connection, value)
            if current_job().attempt == 1:
                raise Undone
    except Undone:
        pass
    return -1


@app.task
def swallows(value: int) -> int:
    try:
        with app.transaction() as connection:
            current_job().finish_in(connection, value)
            raise Undone
    except Undone:
        return value


@app.task(retries=3)
def fails_afterwards(value: int) -> int:
    finish(value)
    raise Undone("too late to fail")


@app.task
def repeats_its_transaction(value: int) -> int:
    try:
        with app.transaction() as connection:
            effect(connection)
            current_job().finish_in(connection, value)
            raise Undone
    except Undone:
        finish(value + 1)
    return -1


@app.task
def twice_in_one(value: int) -> int:
    with app.transaction() as connection:
        effect(connection)
        current_job().finish_in(connection, value)
        current_job().finish_in(connection, value)
    return -1


@app.task
def twice_in_two(value: int) -> int | str:
    finish(value)
    try:
        finish(value)
    except ClaimLost as lost:
        (HERE / "told").write_text(str(lost))
    return "done"


@app.task
def unfit(how: str) -> str:
    connection: Any = sqlite3.connect(":memory:") if how == "sqlite3" else None
    if how == "outside":
        connection = outside()
    if connection is not None:
        current_job().finish_in(connection, 1)
    with app.transaction() as transaction:
        effect(transaction)
        current_job().finish_in(transaction, object())
    return "never"


@app.task
def told_to_stop(tag: int) -> int:
    (HERE / f"runs-{tag}").touch()
    while not current_job().should_stop:
        pass
    return int(finish(tag) == "")


@app.task
def plain(value: int) -> int:
    return value
