"""The store's own transaction for a caller: what fails in it is told, and told as what it is."""

from __future__ import annotations

import contextlib

import psycopg
import pytest

from sidework.errors import StoreRefused, StoreUnavailable
from sidework.ids import new_id
from sidework.job import NewJob
from sidework.state import State
from sidework.store.postgres.engine import PostgresStore


def job() -> NewJob:
    return NewJob(new_id(), "m:f", b"\x01{}")


def test_after_a_failed_statement_the_end_of_the_block_is_no_success(store: PostgresStore) -> None:
    """I1: who leaves it without an error believes the jobs to be stored."""
    lost = job()
    with (
        pytest.raises(StoreRefused, match="nothing of it is stored"),
        store.transaction() as connection,
    ):
        store.insert_on(connection, [lost])
        with contextlib.suppress(psycopg.errors.DivisionByZero):
            connection.execute("SELECT 1 / 0")
    assert store.get([lost.id]) == [None]


def test_what_failed_in_a_savepoint_is_nobodys_harm(store: PostgresStore) -> None:
    kept = job()
    with store.transaction() as connection:
        store.insert_on(connection, [kept])
        with contextlib.suppress(psycopg.errors.DivisionByZero), connection.transaction():
            connection.execute("SELECT 1 / 0")
    (row,) = store.get([kept.id])
    assert row is not None
    assert row.state is State.AVAILABLE


def test_another_servers_error_in_the_block_is_not_the_stores(store: PostgresStore) -> None:
    with (
        pytest.raises(psycopg.OperationalError, match="port 1 failed"),
        store.transaction(),
    ):
        psycopg.connect("postgresql://someone@127.0.0.1:1/another")


def test_its_own_connection_lost_in_the_block_is(store: PostgresStore, database: str) -> None:
    with pytest.raises(StoreUnavailable), store.transaction() as connection:
        with psycopg.connect(database) as other:
            other.execute("SELECT pg_terminate_backend(%s, 5000)", [connection.info.backend_pid])
        connection.execute("SELECT 1")
