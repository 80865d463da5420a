"""What the server does without us: the same rows by a plain statement, and by a plain COPY."""

from __future__ import annotations

import struct
import time
from collections.abc import Callable

import psycopg

BARE = """INSERT INTO sidework.jobs (id, task, lane, state, runner, priority, due_at, max_attempts,
  inserted_at, expires_at, timeout, backoff, on_crash, tags, args)
VALUES (%s, 'm:f', 'default', 'available', 'loop', 0, 1, 1, 1, NULL, NULL, NULL, 'rescue', '[]', %b)"""


def bare_commits(url: str, count: int) -> Callable[[], float]:
    """Inserts/s of the same row on a plain connection that commits each, prepared."""
    from uuid import UUID

    from sidework.ids import new_id

    connection = psycopg.connect(url, autocommit=True)

    def measure() -> float:
        began = time.perf_counter()
        for _ in range(count):
            connection.execute(BARE, (UUID(bytes=new_id()), b"\x01{}"), prepare=True)
        return count / (time.perf_counter() - began)

    return measure


COPY = """COPY sidework.jobs (id, task, lane, state, runner, priority, due_at, max_attempts, inserted_at,
  on_crash, tags, args) FROM STDIN (FORMAT binary)"""


def bare_copies(url: str, jobs: int) -> float:
    """Rows/s of the same table by COPY alone, 500 a transaction, packed before: what the server can take."""
    from sidework.ids import new_id

    field = lambda raw: struct.pack(">i", len(raw)) + raw  # noqa: E731
    number, moment = field(struct.pack(">i", 1)), field(struct.pack(">q", 1))
    rest = (
        field(b"m:f") + field(b"default") + field(b"available") + field(b"loop") + number + moment
        + number + moment + field(b"rescue") + field(b"[]") + field(b"\x01{}")
    )  # fmt: skip
    chunks = [
        b"PGCOPY\n\xff\r\n\0" + bytes(8)
        + b"".join(struct.pack(">h", 12) + field(new_id()) + rest for _ in range(500))
        + b"\xff\xff"
        for _ in range(max(1, jobs // 500))
    ]  # fmt: skip
    with psycopg.connect(url, autocommit=True) as connection:
        began = time.perf_counter()
        for chunk in chunks:
            with connection.cursor() as cursor, cursor.copy(COPY) as copy:
                copy.write(chunk)
        return 500 * len(chunks) / (time.perf_counter() - began)
