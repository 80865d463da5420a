"""Errands on the caller's own connection: what is to be asked there, and whether it leads to this store.

An errand is a generator: it yields statements with their values, and is sent the rows. So one text
serves sync code and coroutines. Each statement compares the mark of the schema (``place`` in
0001_jobs.sql) with the one that this store's own connection has found, and does nothing where it
differs. So nothing more is sent, and neither names nor poolers can deceive; only a restored copy of
the database, which has the same mark, is taken for the database itself.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Generator
from typing import Any, TypeVar
from uuid import UUID

from ...errors import SchemaMismatch, StoreMissing, StoreRefused
from . import callers
from .connection import Sql, numbered, text_of
from .session import Session
from .statement import Statement

T = TypeVar("T")

Asked = tuple[Sql, dict[str, Any]]
Errand = Generator[Asked, callers.Rows, T]


@functools.cache
def guarded(verb: str, schema: str, beside: str | None = None) -> Sql:
    """A verb's statement that works on rows from one ``unnest``, with one more parameter, ``mark``. A verb
    ``beside`` it works, in the same statement, on what that has ``changed``.

    A row says ``here`` in its first column if it ran; one whose second is NULL says no more than that.
    Where strings in literals have escapes (``off``) it does not run: psycopg sends a list of bytes as text
    that is then misread.
    """
    text, count = re.subn(r"\bFROM unnest\(", "FROM here, unnest(", text_of(verb))
    assert count == 1, verb
    more = "" if beside is None else f",\nmore AS (\n{text_of(beside)})"
    return numbered(
        "WITH here AS (SELECT FROM sidework.place WHERE mark = :mark::uuid\n"
        " AND current_setting('standard_conforming_strings') = 'on' LIMIT 1),\n"
        f"changed AS (\n{text}){more}\n"
        "SELECT CASE WHEN EXISTS (SELECT FROM here) THEN 'here'"
        " ELSE current_setting('standard_conforming_strings') END, changed.*"
        " FROM (SELECT 1) AS always LEFT JOIN changed ON true",
        schema,
    )


_Step = tuple[Sql, dict[str, Any], UUID] | None
"""What is to be done next: a statement on the caller's connection, or a look at the mark on our own."""


class Errands:
    """Runs those of one store."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def run(self, connection: object, errand: Errand[T], *, inside: bool = False) -> T:
        """Run it to its end, on a sync connection. ``inside``: only in a transaction.

        Raises ``StoreRefused`` when the connection leads elsewhere; nothing is changed there.
        """
        steps = self._steps(connection, errand)
        try:
            step = next(steps)
            while True:
                if step is None:
                    step = steps.send(self._look())
                    continue
                try:
                    rows = callers.run(connection, *_call(step), inside=inside)
                except StoreMissing as missing:
                    step = steps.send(missing)
                else:
                    step = steps.send(_told(rows))
        except StopIteration as done:
            result: T = done.value
            return result

    async def arun(self, connection: object, errand: Errand[T], *, inside: bool = False) -> T:
        """``run`` in a coroutine; the event loop goes on while the store itself is asked for its mark."""
        steps = self._steps(connection, errand)
        try:
            step = next(steps)
            while True:
                if step is None:
                    import asyncio  # whoever awaits has it already

                    step = steps.send(await asyncio.to_thread(self._look))
                    continue
                try:
                    rows = await callers.arun(connection, *_call(step), inside=inside)
                except StoreMissing as missing:
                    step = steps.send(missing)
                else:
                    step = steps.send(_told(rows))
        except StopIteration as done:
            result: T = done.value
            return result

    def _steps(self, connection: object, errand: Errand[T]) -> Generator[_Step, Any, T]:
        mark = self._session.mark or (yield None)
        sql, values = next(errand)
        while True:
            found = yield sql, values, mark
            if not isinstance(found, list):
                # Perhaps the database was made anew under us: or ours, too, has no schema any more.
                known, mark = mark, (yield None)
                if found is None and mark != known:
                    found = yield sql, values, mark
            if not isinstance(found, list):
                raise self._elsewhere(connection, found) from found
            try:
                sql, values = errand.send(found)
            except StopIteration as done:
                result: T = done.value
                return result

    def _look(self) -> UUID:
        """The mark as it is now."""
        place = self._session.place
        sql = numbered("SELECT mark::text FROM sidework.place", place.schema)
        found = self._session.one(sql, [], again=True)
        if not found:
            raise SchemaMismatch(
                f"schema {place.schema!r} of {place.shown} has lost its mark: "
                f'INSERT INTO "{place.schema}".place DEFAULT VALUES'
            )
        self._session.mark = mark = UUID(found[0][0])
        return mark

    def _elsewhere(self, connection: object, missing: StoreMissing | None) -> StoreRefused:
        where = str(callers.where(connection)) or "another database"
        place = self._session.place
        why = "" if missing is None else f", which has no such tables in schema {place.schema!r}"
        return StoreRefused(
            f"the connection is to {where}{why}, the jobs are in {place.shown}: "
            "a transaction cannot span both; pass a connection to the database of the jobs"
        )


def _call(step: tuple[Sql, dict[str, Any], UUID]) -> tuple[Statement, list[Any]]:
    sql, values, mark = step
    return _for_all(sql), sql.values({**values, "mark": mark})


def _told(rows: callers.Rows) -> callers.Rows | None:
    """The rows of the statement itself; ``None`` when the mark was another."""
    if rows[0][0] == "off":
        raise StoreRefused(
            "the connection has standard_conforming_strings off, with which drivers garble bytes: "
            "SET standard_conforming_strings = on"
        )
    if rows[0][0] != "here":
        return None
    return [row[1:] for row in rows if row[1] is not None]


@functools.cache
def _for_all(sql: Sql) -> Statement:
    """A statement of ours as any driver takes it."""
    return Statement(sql.text.decode())
