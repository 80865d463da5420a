"""Through a pooler in transaction mode: turns in pipeline mode and inserts by COPY, other clients between."""

from __future__ import annotations

import pytest

from servers.pgbouncer import PgBouncer, why_not
from servers.running import Running
from sidework.errors import StoreRefused
from sidework.ids import new_id
from sidework.job import JobFilter, NewJob
from sidework.outcome import Outcome
from sidework.store.postgres import bulk
from sidework.store.postgres.engine import PostgresStore
from sidework.store.protocol import Demand

pytestmark = pytest.mark.skipif(why_not() is not None, reason=why_not() or "")


def test_turns_of_two_workers_on_one_connection_of_a_pool(postgres: Running, database: str) -> None:
    with PgBouncer(postgres, pool_size=1) as pooler:
        name = database.partition("?")[0].rpartition("/")[2]
        stores = [PostgresStore(pooler.url(name)) for _ in range(2)]
        stores[0].migrate()
        made = [NewJob(new_id(), "m:f", b"\x01{}") for _ in range(bulk.LEAST)]
        assert {one.verdict for one in stores[0].insert(made)} == {"stored"}
        workers = [store.register("host", 1, ()).id for store in stores]
        ended: set[bytes] = set()
        outcomes: list[list[Outcome]] = [[], []]
        while len(ended) < bulk.LEAST:
            for at, store in enumerate(stores):
                turn = store.turn(outcomes[at], Demand(workers[at], {"thread": 20}))
                assert all(turn.took)
                ended |= {one.id for one in outcomes[at]}
                outcomes[at] = [
                    Outcome(job.id, job.fence, job.attempt, "completed", b"\x017")
                    for job in turn.claimed
                ]
        with pytest.raises(StoreRefused, match="register again"):
            stores[0].turn([], Demand(7, {"thread": 1}))
        assert stores[0].turn([], Demand(workers[0], {"thread": 1})).claimed == []
        for store in stores:
            store.close()


def test_transactions_that_say_the_same_often_leave_nothing_in_the_session(
    postgres: Running, database: str
) -> None:
    """The driver would name a statement that came five times, and the next one to get the session, too."""
    with PgBouncer(postgres, pool_size=1) as pooler:
        store = PostgresStore(pooler.url(database.partition("?")[0].rpartition("/")[2]))
        store.migrate()
        for _ in range(2):
            with store.transaction() as connection:
                for _ in range(8):
                    store.insert_on(connection, [NewJob(new_id(), "m:f", b"\x01{}")])
        assert len(store.page(JobFilter(), None, 99)) == 16
        store.close()
