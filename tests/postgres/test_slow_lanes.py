"""A claim whose questions are not answered in time: it is found out which of them, and what is recorded with
it does not wait for ever."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import psycopg
import pytest
from psycopg import sql

from servers.running import Running
from sidework.errors import StoreError, StoreUnavailable
from sidework.ids import new_id
from sidework.job import NewJob
from sidework.outcome import Outcome
from sidework.state import State
from sidework.store.postgres.engine import PostgresStore
from sidework.store.protocol import Demand

SLOWLY = """
CREATE TABLE public.slow ();
CREATE FUNCTION public.look(state text) RETURNS boolean LANGUAGE plpgsql AS $$
BEGIN
    IF state = 'available' AND EXISTS (SELECT FROM public.slow) THEN PERFORM pg_sleep(1.5); END IF;
    RETURN true;
END $$;
CREATE POLICY slowly ON sidework.jobs USING (public.look(state)) WITH CHECK (true);
ALTER TABLE sidework.jobs ENABLE ROW LEVEL SECURITY;
"""
"""Once there is a row in ``slow``, each available job is to whoever is no superuser what ten million dead
entries are."""


@pytest.fixture
def database(database: str) -> str:
    PostgresStore(database).migrate()
    return database


@pytest.fixture
def role(postgres: Running, database: str) -> Iterator[str]:
    """The URL of a role for which the lanes may be slow; within a second the server has to answer."""
    name = str(psycopg.conninfo.conninfo_to_dict(database)["dbname"])
    named = {"role": sql.Identifier(f"slow_{name}")}
    with psycopg.connect(database, autocommit=True) as connection:
        connection.execute(SLOWLY)
        for text in (
            "CREATE ROLE {role} LOGIN",
            "GRANT USAGE ON SCHEMA sidework TO {role}",
            "GRANT ALL ON ALL TABLES IN SCHEMA sidework, public TO {role}",
        ):
            connection.execute(sql.SQL(text).format(**named))
        yield replace(postgres.endpoint, user=f"slow_{name}").url(name, lease="4s")
        connection.execute(sql.SQL("DROP OWNED BY {role}").format(**named))
        connection.execute(sql.SQL("DROP ROLE {role}").format(**named))


@pytest.fixture
def store(role: str) -> Iterator[PostgresStore]:
    made = PostgresStore(role)
    yield made
    made.close()


def job() -> NewJob:
    return NewJob(new_id(), "m:f", b"\x01{}")


def test_an_outcome_lands_though_the_lanes_are_not_answered(
    store: PostgresStore, database: str
) -> None:
    """They go out together, and each of its turns would fail for the lanes alone."""
    worker = store.register("host", 1, ()).id
    store.insert([job()])
    (claimed,) = store.turn([], Demand(worker, {"thread": 1})).claimed
    store.insert([job()])
    with psycopg.connect(database, autocommit=True) as connection:
        connection.execute("INSERT INTO public.slow DEFAULT VALUES")
    end = Outcome(claimed.id, claimed.fence, claimed.attempt, "completed")
    for _ in range(2):
        with pytest.raises(StoreUnavailable, match="no answer within 1 s"):
            store.turn([end], Demand(worker, {"thread": 1}))
    # Of another runner, so that the slow job is asked for by no bound either.
    assert store.turn([end], Demand(worker, {"process": 1})).took == [True]
    (row,) = store.get([claimed.id])
    assert row is not None
    assert row.state is State.COMPLETED


def test_a_lock_on_a_table_is_not_taken_for_slow_lanes(database: str) -> None:
    """Else a worker that knows no lanes yet would see none for a while after it."""
    store = PostgresStore(f"{database}&lease=4s")
    try:
        worker = store.register("host", 1, ()).id
        with psycopg.connect(database) as somebody:
            somebody.execute("LOCK TABLE sidework.queues IN ACCESS EXCLUSIVE MODE")
            with pytest.raises(StoreError, match="no answer within 1 s"):
                store.turn([], Demand(worker, {"thread": 1}))
        store.insert([job()])
        assert store.turn([], Demand(worker, {"thread": 1})).claimed
    finally:
        store.close()
