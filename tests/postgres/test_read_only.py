"""A connection that was made while nothing could be written, as to a primary that a failover has made a
standby: it is not kept, or workers and programs would be refused until they are restarted."""

from __future__ import annotations

import psycopg
import pytest
from psycopg import sql

from servers.running import Running
from sidework.errors import StoreRefused
from sidework.ids import new_id
from sidework.job import NewJob
from sidework.outcome import Outcome
from sidework.store.postgres.engine import PostgresStore
from sidework.store.protocol import Demand


def set_read_only(postgres: Running, url: str, value: str) -> None:
    """For connections that are made from now on."""
    name = sql.Identifier(str(psycopg.conninfo.conninfo_to_dict(url)["dbname"]))
    text = "ALTER DATABASE {} SET default_transaction_read_only = {}"
    postgres.psql(sql.SQL(text).format(name, sql.SQL(value)))


def job() -> NewJob:
    return NewJob(new_id(), "m:f", b"\x01{}")


def test_a_program_goes_on_once_there_is_a_primary(
    store: PostgresStore, postgres: Running, database: str
) -> None:
    set_read_only(postgres, database, "on")
    with pytest.raises(StoreRefused, match="use the primary"):
        store.insert([job()])
    set_read_only(postgres, database, "off")
    assert [one.verdict for one in store.insert([job()])] == ["stored"]


def test_a_worker_that_was_moved_records_and_claims(
    store: PostgresStore, postgres: Running, database: str
) -> None:
    """It would beat on another connection, so nobody would ever bring back what it holds."""
    worker = store.register("host", 1, ()).id
    store.insert([job(), job()])
    (first,) = store.turn([], Demand(worker, {"thread": 1})).claimed
    set_read_only(postgres, database, "on")
    store._session.close()
    assert store.held(worker), "it reads there"
    set_read_only(postgres, database, "off")
    done = Outcome(first.id, first.fence, first.attempt, "completed")
    turn = store.turn([done], Demand(worker, {"thread": 1}))
    assert (list(turn.took), len(turn.claimed)) == ([True], 1)
