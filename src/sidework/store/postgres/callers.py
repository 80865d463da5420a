"""The caller's own connection: one statement runs on it, in its transaction, whatever driver it is of.

``run`` is for sync code, ``arun`` for coroutines. Both take the connections that ``TAKEN`` names and
import no driver: a connection is known by the names of its type's bases, so who passes one has its
driver already. Nothing else of the caller's is touched: no commit, no rollback, no flush of a Session,
no setting; row factories and cursor classes of theirs are not used.

- The row is there when the caller commits, and gone when they roll back. If the statement fails, their
  transaction is aborted as by any other statement that fails in it.
- A connection in autocommit works: the statement is a transaction of its own, durable when ``run``
  returns. Except in a psycopg pipeline, where it is committed at the pipeline's next sync.
- A sync connection given to ``arun`` runs, and blocks the event loop for the one statement. Django's
  refuses by itself to run there.
- In a pipeline, the failure of an earlier statement may be told by this one.

A driver may have been taught to load ``uuid`` or ``json`` in a way of the caller's: a statement should
return text, numbers and booleans.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator, Sequence
from typing import Any, NamedTuple
from uuid import UUID

from msgspec import Struct

from ...errors import SideworkError, StoreError, StoreRefused, StoreUnavailable
from .sqlstate import error_of, one_line
from .statement import Statement

Rows = list[tuple[Any, ...]]

TAKEN = (
    "psycopg (Connection, AsyncConnection), psycopg2, asyncpg, SQLAlchemy (Session, AsyncSession, "
    "Connection, AsyncConnection) or Django's django.db.connection"
)


class _Call(NamedTuple):
    """A statement with its values, and whether it is only to run inside a transaction."""

    statement: Statement
    values: Sequence[Any]
    inside: bool

    def check(self, *, autocommit: object) -> None:
        """``StoreRefused`` if it would be a transaction of its own and must not."""
        if self.inside and autocommit:
            raise StoreRefused(
                "the connection is in no transaction (autocommit), so nothing would be stored together: "
                "begin one before finish_in, or just return the result"
            )


def run(
    connection: object, statement: Statement, values: Sequence[Any], *, inside: bool = False
) -> Rows:
    """Run the statement on the caller's connection; its rows.

    ``values``: str, int, bool, bytes, UUID, None, and lists of these. ``inside``: only in a
    transaction, which costs no question. Raises ``StoreRefused`` for what is no open connection to
    PostgreSQL that works in sync code, and what ``error_of`` makes of the driver's errors; other errors
    (of a hook of the caller's) pass as they are.
    """
    kind = _kind(connection)
    if kind.run is None:
        raise StoreRefused(
            f"{kind.name} works in async code only: use aenqueue, or pass a sync connection to enqueue"
        )
    try:
        return kind.run(connection, _Call(statement, values, inside))
    except SideworkError:
        raise
    except Exception as error:
        if (ours := _translated(error, kind, connection)) is None:
            raise
        raise ours from error


async def arun(
    connection: object, statement: Statement, values: Sequence[Any], *, inside: bool = False
) -> Rows:
    """``run`` for a coroutine: awaits an async connection, and runs a sync one here and now."""
    kind = _kind(connection)
    if kind.arun is None:
        return run(connection, statement, values, inside=inside)
    try:
        return await kind.arun(connection, _Call(statement, values, inside))
    except SideworkError:
        raise
    except Exception as error:
        if (ours := _translated(error, kind, connection)) is None:
            raise
        raise ours from error


class Where(Struct, frozen=True):
    """Which database a connection says it is to; None for what it does not say.

    For messages. It proves little: one server has many names, a pooler has its own names for databases.
    """

    database: str | None = None
    host: str | None = None
    port: int | None = None

    def __str__(self) -> str:
        place = f"{self.host}:{self.port}" if self.host and self.port else self.host
        return " at ".join(
            part for part in (self.database and f"database {self.database}", place) if part
        )


def where(connection: object) -> Where:
    """Where the connection leads, without asking the server; ``StoreRefused`` if it is none of ``TAKEN``."""
    return _where(_kind(connection), connection)


class _Kind(NamedTuple):
    """One kind of connection: how a statement runs on it, in the colours in which it can."""

    name: str
    where: Callable[[Any], Where]
    run: Callable[[Any, _Call], Rows] | None = None
    arun: Callable[[Any, _Call], Awaitable[Rows]] | None = None


def _psycopg(connection: Any, call: _Call) -> Rows:
    from psycopg import RawCursor
    from psycopg.rows import tuple_row

    _check_open(connection.closed)
    call.check(autocommit=connection.autocommit and _idle(connection))
    sql: Any = call.statement.dollar  # psycopg's types want a literal
    with RawCursor(connection, row_factory=tuple_row) as cursor:
        return cursor.execute(sql, call.values).fetchall()


async def _psycopg_async(connection: Any, call: _Call) -> Rows:
    from psycopg import AsyncRawCursor
    from psycopg.rows import tuple_row

    _check_open(connection.closed)
    call.check(autocommit=connection.autocommit and _idle(connection))
    sql: Any = call.statement.dollar
    async with AsyncRawCursor(connection, row_factory=tuple_row) as cursor:
        await cursor.execute(sql, call.values)
        return await cursor.fetchall()


def _psycopg2(connection: Any, call: _Call) -> Rows:
    from psycopg2.extensions import cursor as plain

    _check_open(connection.closed)
    call.check(autocommit=connection.autocommit and _idle(connection))
    with connection.cursor(cursor_factory=plain) as cursor:
        cursor.execute(call.statement.percent, _literal(call.statement.in_order(call.values)))
        return list(cursor.fetchall())


def _idle(connection: Any) -> bool:
    """Whether libpq knows of no transaction: someone may have sent BEGIN in autocommit."""
    return int(connection.info.transaction_status) == 0


async def _asyncpg(connection: Any, call: _Call) -> Rows:
    _check_open(connection.is_closed())
    call.check(autocommit=not connection.is_in_transaction())
    return [tuple(row) for row in await connection.fetch(call.statement.dollar, *call.values)]


def _sqlalchemy(connection: Any, call: _Call) -> Rows:
    call.check(autocommit=call.inside and connection.connection.dbapi_connection.autocommit)
    result = connection.exec_driver_sql(*_for_dialect(connection.dialect, call))
    return [tuple(row) for row in result]


async def _sqlalchemy_async(connection: Any, call: _Call) -> Rows:
    pooled = connection.sync_connection.connection
    call.check(autocommit=call.inside and pooled.dbapi_connection.autocommit)
    result = await connection.exec_driver_sql(*_for_dialect(connection.dialect, call))
    return [tuple(row) for row in result]


def _session(session: Any, call: _Call) -> Rows:
    # The connection of the Session's transaction, begun if there is none; it flushes nothing.
    return _sqlalchemy(session.connection(), call)


async def _session_async(session: Any, call: _Call) -> Rows:
    return await _sqlalchemy_async(await session.connection(), call)


def _django(connection: Any, call: _Call) -> Rows:
    # Not the driver's connection below: the cursor connects when it must, refuses a broken atomic block
    # and another thread, and is what assertNumQueries and the tests' database guards look at.
    if (vendor := getattr(connection, "vendor", "no database")) != "postgresql":
        raise StoreRefused(
            f"Django's connection is to {vendor}, the jobs are in PostgreSQL: "
            "pass django.db.connections[…] of a postgresql backend"
        )
    call.check(autocommit=call.inside and connection.get_autocommit())  # off in an atomic block
    with connection.cursor() as cursor:
        cursor.execute(call.statement.percent, call.statement.in_order(call.values))
        return [tuple(row) for row in cursor.fetchall()]


def _for_dialect(dialect: Any, call: _Call) -> tuple[str, tuple[Any, ...]]:
    """What ``exec_driver_sql`` takes for the driver that SQLAlchemy was given."""
    statement, values = call.statement, call.values
    driver = dialect.driver if dialect.name == "postgresql" else ""
    if driver == "asyncpg":
        return statement.dollar, tuple(values)
    if driver in {"psycopg", "psycopg_async"}:
        return statement.percent, statement.in_order(values)
    if driver == "psycopg2":
        return statement.percent, _literal(statement.in_order(values))
    raise StoreRefused(
        f"SQLAlchemy on {dialect.name}+{dialect.driver} cannot be used here: the jobs are in "
        "PostgreSQL; use an engine on psycopg, asyncpg or psycopg2"
    )


def _literal(values: tuple[Any, ...]) -> tuple[Any, ...]:
    """psycopg2 knows UUID only after ``register_uuid``; as text, the cast makes one of it."""

    def plain(value: Any) -> Any:
        return str(value) if isinstance(value, UUID) else value

    return tuple(
        [plain(each) for each in value] if isinstance(value, list) else plain(value)
        for value in values
    )


def _check_open(closed: object) -> None:
    if closed:
        raise StoreRefused("the connection is closed: pass one that is open")


def _where_libpq(connection: Any) -> Where:
    if connection.closed:
        return Where()
    info = connection.info
    return Where(info.dbname, info.host, info.port)


def _where_asyncpg(connection: Any) -> Where:
    # asyncpg has no public name for these; without them nothing is known.
    database = getattr(getattr(connection, "_params", None), "database", None)
    match getattr(connection, "_addr", None):
        case str() as socket:
            folder, _, port = socket.rpartition("/.s.PGSQL.")
            return Where(database, folder, int(port) if port.isdigit() else None)
        case (str() as host, int() as port, *_):
            return Where(database, host, port)
    return Where(database)


def _where_sqlalchemy(connection: Any) -> Where:
    # Not the driver's connection below: a Session may have none yet. A socket's folder is in the query.
    url = connection.engine.url
    port = str(url.port or url.query.get("port", ""))
    return Where(
        url.database, url.host or url.query.get("host"), int(port) if port.isdigit() else None
    )


def _where_session(session: Any) -> Where:
    return _where_sqlalchemy(session.get_bind())


def _where_django(connection: Any) -> Where:
    settings = connection.settings_dict
    port = str(settings["PORT"])
    return Where(
        str(settings["NAME"]) or None,
        settings["HOST"] or None,
        int(port) if port.isdigit() else None,
    )


_KINDS = {
    ("psycopg", "Connection"): _Kind("a psycopg Connection", _where_libpq, run=_psycopg),
    ("psycopg", "AsyncConnection"): _Kind(
        "a psycopg AsyncConnection", _where_libpq, arun=_psycopg_async
    ),
    ("psycopg2", "connection"): _Kind("a psycopg2 connection", _where_libpq, run=_psycopg2),
    ("asyncpg", "Connection"): _Kind("an asyncpg Connection", _where_asyncpg, arun=_asyncpg),
    ("asyncpg", "PoolConnectionProxy"): _Kind(
        "an asyncpg Connection", _where_asyncpg, arun=_asyncpg
    ),
    ("sqlalchemy", "Connection"): _Kind(
        "a SQLAlchemy Connection", _where_sqlalchemy, run=_sqlalchemy
    ),
    ("sqlalchemy", "AsyncConnection"): _Kind(
        "a SQLAlchemy AsyncConnection", _where_sqlalchemy, arun=_sqlalchemy_async
    ),
    ("sqlalchemy", "Session"): _Kind("a SQLAlchemy Session", _where_session, run=_session),
    ("sqlalchemy", "scoped_session"): _Kind("a scoped_session", _where_session, run=_session),
    ("sqlalchemy", "AsyncSession"): _Kind(
        "a SQLAlchemy AsyncSession", _where_session, arun=_session_async
    ),
    ("sqlalchemy", "async_scoped_session"): _Kind(
        "an async_scoped_session", _where_session, arun=_session_async
    ),
    ("django", "BaseDatabaseWrapper"): _Kind("Django's connection", _where_django, run=_django),
    ("django", "ConnectionProxy"): _Kind("Django's connection", _where_django, run=_django),
}
"""By package and class name of the type or of a base of it."""


def _kind(connection: object) -> _Kind:
    type_ = type(connection)
    for base in type_.__mro__:
        if found := _KINDS.get((_package(base), base.__qualname__)):
            return found
    if _package(type_) in {"apsw", "sqlite3"}:
        raise StoreRefused(
            f"a connection of {_package(type_)} cannot be used here: the jobs are in PostgreSQL, and "
            "a transaction cannot span both"
        )
    name = f"{type_.__module__}.{type_.__qualname__}".removeprefix("builtins.")
    raise StoreRefused(
        f"connection={name} cannot be used: pass an open connection (no pool, no engine) of {TAKEN}"
    )


def _package(type_: type) -> str:
    return type_.__module__.partition(".")[0]


_ABORTED = frozenset({"PendingRollbackError", "PipelineAborted", "TransactionManagementError"})
"""Drivers that know by themselves that the transaction is aborted and do not ask the server."""

_EXHAUSTED = frozenset({("sqlalchemy", "TimeoutError"), ("psycopg_pool", "PoolTimeout")})
_UNREACHED = frozenset({"OperationalError", "OSError", "TimeoutError"})
_BAD_VALUE = "DataError"
_DRIVERS = frozenset(package for package, _ in _KINDS)


def _translated(error: Exception, kind: _Kind, connection: object) -> StoreError | None:
    """The error of ours for one of a driver; None for an error that is none of a driver's."""
    place = str(_where(kind, connection)) or f"the database of {kind.name}"
    causes = list(_causes(error))
    for cause in reversed(causes):
        for name in ("sqlstate", "pgcode"):
            if isinstance(state := getattr(cause, name, None), str):
                return error_of(state, str(cause), place)
    if isinstance(error, UnicodeEncodeError):
        return StoreError(
            f"{place} cannot be told a text: the connection's client_encoding is {error.encoding}"
        )
    if _package(type(error)) not in _DRIVERS and not isinstance(error, OSError):
        return None
    message, names = str(causes[-1]), {base.__name__ for e in causes for base in type(e).__mro__}
    if names & _ABORTED:
        return error_of("25P02", message, place)
    if {(_package(type(e)), type(e).__name__) for e in causes} & _EXHAUSTED:
        return StoreUnavailable(
            f"the pool has no connection to {place} left ({one_line(message)}): give one back, or enlarge it"
        )
    if names & _UNREACHED:
        return error_of(None, message or type(error).__name__, place)
    if "SynchronousOnlyOperation" in names:
        return StoreRefused(
            "Django's connection works in sync code only: use enqueue, inside sync_to_async"
        )
    if _BAD_VALUE in names:
        return StoreError(f"{place} cannot store a value: {one_line(message)}")
    return StoreRefused(f"{kind.name} cannot be used as it is: {one_line(message)}")


def _causes(error: BaseException) -> Iterator[BaseException]:
    """The error and, ever deeper, what it came from: SQLAlchemy wraps one more than ``__cause__`` tells."""
    for _ in range(10):
        yield error
        below = getattr(error, "orig", None) or error.__cause__
        if not isinstance(below, BaseException):
            return
        error = below


def _where(kind: _Kind, connection: object) -> Where:
    try:
        return kind.where(connection)
    except Exception as error:
        # A Session of several engines, a connection lost just now: then it says nothing.
        if _package(type(error)) not in _DRIVERS:
            raise
        return Where()
