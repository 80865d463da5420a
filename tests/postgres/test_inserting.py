"""One job, a few, and many go by different statements: the same must come of it."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any
from uuid import UUID

import psycopg
import pytest
from msgspec.structs import replace

from conftest import until
from sidework.errors import SideworkError, StoreUnavailable
from sidework.ids import new_id
from sidework.job import NewJob
from sidework.store.postgres import bulk, connection
from sidework.store.postgres.engine import PostgresStore

from .conftest import Database

NOW = 1_700_000_000_000


@pytest.fixture
def store(server: Database) -> Iterator[PostgresStore]:
    store = PostgresStore(f"{server.conninfo}&schema=inserting")
    store.migrate()
    yield store
    store.close()
    server.sql("DROP SCHEMA inserting CASCADE")


def jobs() -> list[NewJob]:
    """Of every field some values, in turns."""
    return [
        NewJob(
            new_id(),
            f"m:f{n % 2}",
            b"\x01" + bytes((n, 0, 9, 10, 92)),
            lane=("default", "a\tb\\n", "käse / 🧀", "")[n % 4],
            runner=("loop", "thread", "process")[n % 3],
            priority=(0, -100, 100)[n % 3],
            due_at=(None, None, NOW - 5, NOW + 5, NOW)[n % 5],
            delay=(0, 1000)[n % 2],
            max_attempts=1 + n % 7,
            backoff=(None, 0, 2**40)[n % 3],
            timeout=(None, 5)[n % 2],
            expires_at=(None, NOW + 9)[n % 2],
            expires_in=(None, 50, 0)[n % 3],
            on_crash=("rescue", "discard")[n % 2],
            tags=((), ("a:b", "c\"'{}\\"))[n % 2],
        )
        for n in range(bulk.LEAST)
    ]


def stored(store: PostgresStore, jobs: list[NewJob]) -> list[dict[str, Any]]:
    rows = store.get([job.id for job in jobs])
    return [{f: getattr(row, f) for f in row.__struct_fields__ if f != "id"} for row in rows if row]


def test_however_many_at_once_the_rows_are_the_same(store: PostgresStore) -> None:
    many, few, one = jobs(), jobs(), jobs()
    store.insert(many, NOW)
    for start in range(0, len(few), 50):
        store.insert(few[start : start + 50], NOW)
    for job in one:
        store.insert([job], NOW)
    assert len(stored(store, many)) == bulk.LEAST
    assert stored(store, many) == stored(store, few) == stored(store, one)


def test_many_of_which_some_are_there(store: PostgresStore) -> None:
    many = jobs()
    store.insert(many[:3])
    other = replace(many[3], args=b"\x01other")
    told = store.insert([*many, many[7], other])
    assert [one.verdict for one in told] == [
        *["present"] * 3, *["stored"] * (bulk.LEAST - 3), "present", "conflict",
    ]  # fmt: skip
    assert {one.verdict for one in store.insert(many)} == {"present"}
    assert len(stored(store, many)) == bulk.LEAST


def test_one_that_cannot_be_stored_among_many(store: PostgresStore) -> None:
    """None of them is, and the store goes on."""
    many = jobs()
    with pytest.raises(SideworkError):
        store.insert([*many, replace(many[0], id=new_id(), task="m:\0")])
    assert stored(store, many) == []
    assert {one.verdict for one in store.insert(many)} == {"stored"}


@pytest.mark.parametrize("count", [40, bulk.LEAST])
def test_unique_keys_are_taken_in_one_order(
    server: Database, store: PostgresStore, count: int
) -> None:
    """Whatever the order of the call, and by each way in: two who did it in different orders would lock
    each other out. What has no key stays as it is, and the answers are those of the call."""
    given = [
        NewJob(new_id(), "m:f", b"\x01[]", unique_key=f"k{n % 30:02}", unique_until="final")
        for n in reversed(range(count))
    ]
    plain = [NewJob(new_id(), "m:f", b"\x01[]") for _ in range(3)]

    def laid_down() -> list[object]:
        rows = server.sql("SELECT coalesce(unique_key, id::text) FROM inserting.jobs ORDER BY ctid")
        server.sql("TRUNCATE inserting.jobs")
        return [row[0] for row in rows]

    some = [*given[:30], plain[0], *given[30:], *plain[1:]]
    want = [*(str(UUID(bytes=one.id)) for one in plain), *sorted({one.unique_key for one in given})]
    told = [store.insert(some, NOW)]
    assert [one for one in laid_down() if one is not None] == want
    with psycopg.connect(server.conninfo) as callers:
        told.append(store.insert_on(callers, some, NOW))
    assert laid_down() == want
    distinct = [
        *given[:30],
        *plain,
        *(replace(one, unique_key=f"{n:03}") for n, one in enumerate(given[30:][::-1])),
    ]
    store.insert(distinct, NOW)
    assert len(keys := laid_down()) == len(distinct)
    assert keys[3:] == sorted(map(str, keys[3:]))
    assert [one.id for one in told[0][:31]] == [one.id for one in some[:31]]
    assert told[0] == told[1]


def test_the_servers_clock_counts_for_many(store: PostgresStore) -> None:
    many = [replace(job, due_at=None, expires_at=None, expires_in=None) for job in jobs()]
    single = NewJob(new_id(), "m:f", b"\x01{}")
    store.insert([single])
    store.insert(many)
    (before,), after = stored(store, [single]), stored(store, many)[0]
    assert 0 <= after["inserted_at"] - before["inserted_at"] < 60_000


def test_an_id_in_a_strangers_transaction_fails_nobody_elses_jobs(
    server: Database, store: PostgresStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Callers who meet share a commit: one of them waits in vain for whoever has stored his id."""
    monkeypatch.setitem(connection._SETTINGS, "lock_timeout", "1s")
    taken = NewJob(new_id(), "m:f", b"\x01{}")
    others = [NewJob(new_id(), "m:f", b"\x01{}") for _ in range(3)]
    told: list[tuple[bytes, object]] = []

    def enqueue(job: NewJob) -> None:
        try:
            told.append((job.id, store.insert([job])[0].verdict))
        except StoreUnavailable as error:
            told.append((job.id, type(error)))

    with psycopg.connect(server.conninfo) as stranger:
        store.insert_on(stranger, [taken])
        store.migrate()  # connects anew
        first = threading.Thread(target=enqueue, args=[taken])
        first.start()
        until(lambda: store._inserts._busy, "the first to lead, which waits")
        threads = [threading.Thread(target=enqueue, args=[job]) for job in (taken, *others)]
        for thread in threads:
            thread.start()
        until(lambda: len(store._inserts._line) == len(threads), "all others in line")
        for thread in (first, *threads):
            thread.join()
        stranger.rollback()
    assert dict(told) == {taken.id: StoreUnavailable, **{job.id: "stored" for job in others}}
