"""Connections to the server: how they are opened, what they check, and the one border where psycopg's
errors are translated."""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib import resources
from typing import Any, NamedTuple
from uuid import UUID

import psycopg
from psycopg.generators import execute

from ...clock import monotonic
from ...errors import SchemaMismatch, StoreError, StoreMissing, StoreRefused
from .arrays import adapt
from .place import Place, secrets_of
from .sqlstate import CONNECTION_LOST, error_of

OLDEST_SERVER = 140_000
NAME = "sidework"

AGAIN = frozenset({"40001", "40P01"})
"""Serialization failure and deadlock: the transaction was undone whole, to be tried again
(postgresql.org/docs/current/mvcc-serialization-failure-handling.html)."""
READ_ONLY = "25006"
"""Of a server that was the primary when the connection was made, or a database whose default was read-only
then: the connection would stay so for ever, while new ones lead to where jobs can be stored."""
TRIES = 8

_NOW = "coalesce(%s::bigint, (extract(epoch FROM statement_timestamp()) * 1000)::bigint)"
_SETTINGS = {
    # A row that a stranger's open transaction has locked is not waited for without end.
    "lock_timeout": "5s",
    # A statement whose caller is gone ends; it would keep its locks.
    "client_connection_check_interval": "2s",
    # So does a transaction whose caller was cut off between two statements, or is stopped: nothing says
    # that it has gone, and a rescue leaves out the rows that it has locked.
    "idle_in_transaction_session_timeout": "3s",
    # And one whose answer fills the line to a caller who takes no more of it.
    "tcp_user_timeout": "10s",
    # What the role or the database has for its own programs changes nothing here.
    "default_transaction_isolation": "read committed",
    "search_path": "pg_catalog, pg_temp",
}
_PLANS = {
    # Statistics are always of yesterday: with few rows in them the planner prefers to read the whole
    # table, which is full an hour later. Each of our statements has an index that serves it.
    "enable_seqscan": "off",
    # A bitmap reads all that an index has before its first row: with a LIMIT, far too much.
    "enable_bitmapscan": "off",
    "enable_hashjoin": "off",
    "enable_mergejoin": "off",
    "jit": "off",
    # What a role or a database has by default may be stricter, and would undo statements for nothing.
    "default_transaction_isolation": "read committed",
}


class Sql(NamedTuple):
    """A statement with the names of its parameters, in the order of their numbers."""

    text: bytes
    names: tuple[str, ...]
    answers: bool = True
    """Whether rows come back; else they are empty, as many as it wrote."""

    def values(self, given: dict[str, Any]) -> list[Any]:
        """The parameters in order."""
        return [given[name] for name in self.names]


@functools.cache
def statement(name: str, schema: str) -> Sql:
    """One verb's ``.sql`` file, for one schema.

    ``:name`` is a parameter of type text, ``:name::type`` one of that type; ``:now`` is a time that, when
    it is NULL, is the server's. ``sidework.`` stands for the schema.
    """
    return numbered(text_of(name), schema)


def text_of(name: str) -> str:
    """One verb's ``.sql`` file as it is."""
    return _read("sql", f"{name}.sql")


_PARAMETER = re.compile(r"(?<![:\w]):([a-z_]+)(::[a-z]+(?:\[\])?)?")


def numbered(text: str, schema: str) -> Sql:
    """The text with its parameters numbered and its schema named."""
    names: list[str] = []

    def parameter(found: re.Match[str]) -> str:
        name, kind = found.groups()
        if name not in names:
            names.append(name)
        number = f"${names.index(name) + 1}"
        return _NOW % number if name == "now" else number + (kind or "::text")

    lines = (line for line in text.splitlines() if not line.lstrip().startswith("--"))
    body = _PARAMETER.sub(parameter, "\n".join(lines))
    answers = body.lstrip().startswith(("SELECT", "WITH")) or "RETURNING" in body
    return Sql(in_schema(body, schema).encode(), tuple(names), answers)


def in_schema(text: str, schema: str) -> str:
    """``sidework.`` as the quoted name of the schema, also where a literal begins with it."""

    def named(found: re.Match[str]) -> str:
        name = schema.replace("'", "''") if found[1] else schema
        return f'{found[1]}"{name}".'

    return re.sub(r"('?)\bsidework\.", named, text)


@functools.cache
def _read(folder: str, name: str) -> str:
    files = resources.files("sidework.store.postgres")
    return files.joinpath(folder, name).read_text("utf-8")


@functools.cache
def migrations() -> list[str]:
    """The texts of the numbered migrations, in order."""
    folder = resources.files("sidework.store.postgres").joinpath("migrations")
    names = sorted(entry.name for entry in folder.iterdir() if entry.name.endswith(".sql"))
    return [_read("migrations", name) for name in names]


Patience = float | Callable[[], float]
"""How many seconds a server may take for its next answer; a function is asked before each."""


class Connection(psycopg.Connection[tuple[Any, ...]]):
    """psycopg's, that waits for an answer at most ``patience`` seconds: a server that stalls must not
    stall a worker, which would not notice that its lease runs out. Then it is closed."""

    patience: Patience | None = None
    _kept: psycopg.Cursor[tuple[Any, ...]] | None = None

    def kept(self) -> psycopg.Cursor[tuple[Any, ...]]:
        """A cursor for statements whose rows are fetched at once: a new one each time costs 15 us."""
        if self._kept is None:
            self._kept = self.cursor(binary=True)
        return self._kept

    def tell(self, sql: bytes) -> None:
        """Run statements without values whose rows nobody wants, in one round trip. Straight through libpq:
        a ring costs a third of what it costs through a cursor, and everybody waits for rings."""
        self.pgconn.send_query(sql)
        for result in self.wait(execute(self.pgconn)):
            if result.status == psycopg.pq.ExecStatus.FATAL_ERROR:
                raise psycopg.errors.error_from_result(result)

    def wait(self, gen: Any, interval: float = 0.1, timeout: float | None = None) -> Any:
        limit = timeout
        if limit is None and self.patience is not None:
            limit = _seconds(self.patience)
        try:
            return super().wait(gen, interval, limit)
        except psycopg.errors._WaitTimeout as late:
            self.pgconn.finish()
            raise psycopg.OperationalError(f"no answer within {limit:g} s") from late


def _seconds(patience: Patience) -> float:
    return patience() if callable(patience) else patience


@dataclass
class Opened:
    """A connection with what it found: whether a pooler is between (then nothing may be kept in a
    session), which schema version is there (``None``: no tables of ours), and the mark of the schema."""

    connection: Connection
    pooled: bool
    version: int | None
    mark: UUID | None


def translate(
    error: psycopg.Error, place: Place, wrote_on: psycopg.Connection[Any] | None = None
) -> StoreError:
    """What an error of psycopg means for whoever uses the store at ``place``; no secret is in it.

    ``wrote_on``: the connection that something to be stored was sent on. If it broke, only the answer may
    be missing.
    """
    text = (error.diag.message_primary or str(error)).strip()
    for secret in secrets_of(place.url):
        text = text.replace(secret, "***")
    broke = wrote_on is not None and (wrote_on.closed or wrote_on.broken)
    return error_of(error.sqlstate or (CONNECTION_LOST if broke else None), text, place.shown)


def connect(place: Place, patience: Patience, *, name: str = NAME) -> Connection:
    """A connection to the server, about which nothing is known yet."""
    try:
        made = Connection.connect(
            place.conninfo,
            autocommit=True,
            application_name=name,
            cursor_factory=psycopg.RawCursor,
        )
    except psycopg.Error as error:
        # The driver's frames hold the password: a report of errors with local variables would show it.
        raise translate(error, place) from error.with_traceback(None)
    made.patience = patience
    return made


def open_connection(
    place: Place, patience: Patience, *, name: str = NAME, plan_proof: bool = True
) -> Opened:
    """A connection to the server, with our types and, without a pooler, our settings."""
    tries, began = 0, monotonic()
    while True:
        tries += 1
        made = connect(place, patience, name=name)
        try:
            return _looked_at(made, place, plan_proof)
        except psycopg.Error as error:
            # Nothing was asked of it yet, so another one is as good: this one broke, or what it reads was
            # undone, as a role's serializable transactions may be.
            lost = made.closed or made.broken or error.sqlstate in AGAIN
            made.close()
            if not lost or tries >= TRIES or monotonic() - began >= _seconds(patience):
                raise translate(error, place) from error
        except BaseException:
            made.close()
            raise


def _looked_at(connection: Connection, place: Place, plan_proof: bool) -> Opened:
    adapt(connection)
    row = connection.execute(
        b"SELECT pg_backend_pid(), current_setting('server_version_num')::bigint, "
        # Not by to_regclass, which fails where the role may not use the schema.
        b"(SELECT count(*) FROM pg_catalog.pg_class AS c JOIN pg_catalog.pg_namespace AS n "
        b"ON n.oid = c.relnamespace WHERE n.nspname = $1::text AND c.relname IN ('migrations', 'place'))",
        [place.schema],
    ).fetchone()
    assert row is not None
    backend, server, tables = row
    if server < OLDEST_SERVER:
        raise StoreRefused(
            f"{place.shown} is PostgreSQL {server // 10_000}: Sidework needs "
            f"{OLDEST_SERVER // 10_000} or newer"
        )
    encoding = connection.info.parameter_status("server_encoding")
    if encoding not in (None, "UTF8"):
        raise StoreRefused(
            f"the database at {place.shown} is in {encoding}, which cannot hold every text: name one "
            "that was made with ENCODING 'UTF8' TEMPLATE template0"
        )
    version, mark = None, None
    if tables == 2:
        sql = in_schema(_VERSION, place.schema)
        ((version, mark),) = connection.execute(sql.encode()).fetchall()
    # A pooler hands out numbers of its own for cancelling.
    pooled = backend != connection.info.backend_pid
    if pooled:
        connection.prepare_threshold = None
    else:
        connection.prepare_threshold = 2
        connection.execute(*settings(local=False, plan_proof=plan_proof))
    return Opened(connection, pooled, version, None if mark is None else UUID(mark))


_VERSION = """
SELECT coalesce(max(version), 0), (SELECT mark::text FROM sidework.place) FROM sidework.migrations
"""


def settings(*, local: bool, plan_proof: bool = True) -> tuple[bytes, list[Any]]:
    """The statement that sets what ours rely on, for the session or the transaction; ``plan_proof``: with
    plans that are independent of statistics."""
    chosen = {**_SETTINGS, **(_PLANS if plan_proof else {})}
    calls = [f"set_config('{name}', '{value}', {local})" for name, value in chosen.items()]
    return f"SELECT {', '.join(calls)}".encode(), []


def check_version(version: int | None, place: Place) -> None:
    """Refuse a schema that this code does not fit. One that is a version ahead is fine: that is what a
    migration under running workers needs. One behind lacks what statements name (decision 16)."""
    known = len(migrations())
    if version is None:
        raise StoreMissing(
            f"there are no tables of Sidework in schema {place.schema!r} of {place.shown}: "
            "run sidework db migrate"
        )
    if version < known:
        raise SchemaMismatch(
            f"{place.shown} has schema version {version}, this Sidework needs {known}: "
            "run sidework db migrate"
        )
    if version > known + 1:
        raise SchemaMismatch(
            f"{place.shown} has schema version {version}, this Sidework knows {known}: upgrade Sidework"
        )


def rows(connection: Connection, sql: Sql, values: Sequence[Any]) -> list[tuple[Any, ...]]:
    """Run one statement; its rows."""
    return _rows_of(connection.kept().execute(sql.text, values), sql)


Rows = Callable[[], list[tuple[Any, ...]]]
"""The rows of a statement that was sent: called, it waits for them."""


def ask(connection: Connection, sql: Sql, values: Sequence[Any]) -> Rows:
    """Have one statement run. On a connection in pipeline mode it goes out together with the next one whose
    rows are waited for."""
    cursor = connection.execute(sql.text, values, binary=True)
    return lambda: _rows_of(cursor, sql)


def _rows_of(cursor: psycopg.Cursor[tuple[Any, ...]], sql: Sql) -> list[tuple[Any, ...]]:
    return cursor.fetchall() if sql.answers else [()] * cursor.rowcount
