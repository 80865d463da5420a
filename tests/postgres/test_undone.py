"""Turns that the server undoes, at any time of a connection's life: the next one is none the worse for it."""

from __future__ import annotations

import pytest

from sidework.errors import StoreError
from sidework.ids import new_id
from sidework.job import Claimed, NewJob
from sidework.outcome import Outcome
from sidework.store.postgres.engine import PostgresStore
from sidework.store.protocol import Demand


def completed(job: Claimed, attempt: int) -> Outcome:
    return Outcome(job.id, job.fence, attempt, "completed")


@pytest.mark.parametrize("between", range(4))
def test_a_turn_that_was_undone_leaves_no_name_that_the_server_does_not_know(
    store: PostgresStore, between: int
) -> None:
    """The driver prepares what comes often. What it says behind a statement that fails is not even read."""
    worker = store.register("host", 1, ()).id
    store.insert([NewJob(new_id(), "m:f", b"\x01{}") for _ in range(between + 3)])
    claimed = store.turn([], Demand(worker, {"thread": between + 3})).claimed
    store._session.close()
    undone, last, *rest = claimed

    def undo() -> None:
        with pytest.raises(StoreError, match="jobs_check"):
            store.turn([completed(undone, 99)], None)

    undo()
    for job in rest[:between]:
        assert list(store.turn([completed(job, 1)], None).took) == [True]
    undo()
    assert list(store.turn([completed(last, 1)], None).took) == [True]
