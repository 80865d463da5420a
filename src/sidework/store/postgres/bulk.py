"""Storing many new jobs that wait for no others: COPY, which costs the server little more than
half of what INSERT does.

It knows no ON CONFLICT and no expressions: the server's time is asked before, and when an id was there (a
batch that was sent again) it stores nothing, and ``inserting`` goes the other way.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from operator import attrgetter
from struct import Struct as Packer

import psycopg

from ...clock import Millis
from ...job import NewJob
from .connection import Connection, in_schema, numbered, rows
from .rows import tags_of

LEAST = 100
"""Jobs from which on it pays: it takes more round trips."""

_COLUMNS = (
    "id, task, lane, state, runner, priority, due_at, max_attempts, inserted_at, expires_at, timeout, "
    "backoff, on_crash, unique_key, unique_until, context, tags, args"
)
# The binary format (postgresql.org/docs/current/sql-copy.html): a head, rows of fields, a tail.
_HEAD = b"PGCOPY\n\xff\r\n\0" + bytes(8)
_TAIL = b"\xff\xff"
_ID_FIELD = Packer(">hi").pack(_COLUMNS.count(",") + 1, 16)
_LENGTH = Packer(">i").pack
_BIGINT = Packer(">iq").pack
_INT = Packer(">ii").pack
_NULL = _LENGTH(-1)


def copy_in(
    connection: Connection, schema: str, jobs: Sequence[NewJob], now: Millis | None
) -> bool:
    """Store all of the jobs, in the transaction that is open; False when an id or a unique key is taken, and
    then the transaction has failed: whatever ends it undoes it."""
    ((moment,),) = rows(connection, numbered("SELECT :now", schema), [now])
    with connection.cursor() as cursor:
        try:
            with cursor.copy(_copy(schema)) as copy:
                copy.write(packed(jobs, moment))
        except psycopg.errors.UniqueViolation:
            return False
    return True


@functools.cache
def _copy(schema: str) -> bytes:
    text = f"COPY sidework.jobs ({_COLUMNS}) FROM STDIN (FORMAT binary)"
    return in_schema(text, schema).encode()


def packed(jobs: Sequence[NewJob], moment: Millis) -> bytes:
    """The jobs as COPY takes them. Jobs of one call are mostly alike but for ids and arguments: what they
    have in common is made once."""
    alike: dict[tuple[object, ...], bytes] = {}
    parts = [_HEAD]
    for job in jobs:
        key = _ALIKE(job)
        middle = alike.get(key)
        if middle is None:
            middle = alike[key] = _middle(job, moment)
        parts += (_ID_FIELD, job.id, middle, _LENGTH(len(job.args)), job.args)
    parts.append(_TAIL)
    return b"".join(parts)


_ALIKE = attrgetter(*(name for name in NewJob.__struct_fields__ if name not in ("id", "args")))


def _middle(job: NewJob, moment: Millis) -> bytes:
    """Every field between the id and the arguments; times as in ``insert.sql``."""
    due = moment + job.delay if job.due_at is None else job.due_at
    expires = job.expires_at
    if expires is None and job.expires_in is not None:
        expires = moment + job.expires_in
    return b"".join(
        (
            _text(job.task),
            _text(job.lane),
            _text("scheduled" if due > moment else "available"),
            _text(job.runner),
            _INT(4, job.priority),
            _BIGINT(8, max(due, moment)),
            _INT(4, job.max_attempts),
            _BIGINT(8, moment),
            *(
                _NULL if one is None else _BIGINT(8, one)
                for one in (expires, job.timeout, job.backoff)
            ),
            _text(job.on_crash),
            *(
                _NULL if one is None else _text(one)
                for one in (job.unique_key, job.unique_until, job.context)
            ),
            _text(tags_of(job)),
        )
    )


def _text(value: str) -> bytes:
    raw = value.encode()
    return _LENGTH(len(raw)) + raw
