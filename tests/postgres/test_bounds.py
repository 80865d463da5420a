"""Claims while an old transaction keeps dead entries: they begin behind those, and hide nothing for long."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import psycopg
import pytest

from servers.waiting import until
from sidework.ids import new_id
from sidework.job import Claimed, NewJob
from sidework.outcome import Outcome
from sidework.store.postgres.bounds import Bounds
from sidework.store.postgres.engine import PostgresStore
from sidework.store.postgres.rounds import MOST_DEAD, WHOLE_SECONDS
from sidework.store.protocol import Demand, Turn

DEAD = MOST_DEAD * 3


@contextmanager
def pinned(url: str) -> Iterator[None]:
    """A transaction that keeps every row which ends from now on."""
    with psycopg.connect(url) as old:
        old.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        old.execute("SELECT 1 FROM sidework.jobs LIMIT 1")
        yield


def jobs(count: int, priority: int = 0, lane: str = "default") -> list[NewJob]:
    return [NewJob(new_id(), "m:f", b"\x01{}", lane=lane, priority=priority) for _ in range(count)]


class Claimer:
    """A worker that has only a store, and how many index entries its last claim read."""

    def __init__(self, store: PostgresStore, url: str) -> None:
        self.store, self.url = store, url
        self.worker = store.register("h", 1, ["default"]).id
        self.lanes: tuple[str, ...] = ()

    def turn(self, places: int) -> Turn:
        return self.store.turn([], Demand(self.worker, {"thread": places}, self.lanes))

    def claim(self, places: int) -> list[Claimed]:
        return self.turn(places).claimed

    def drain(self, count: int) -> None:
        """Claim and complete so many, in large turns."""
        done: list[Outcome] = []
        while count > 0:
            turn = self.store.turn(
                done, Demand(self.worker, {"thread": min(count, 500)}, self.lanes)
            )
            assert turn.claimed
            done = [Outcome(job.id, job.fence, job.attempt, "completed") for job in turn.claimed]
            count -= len(turn.claimed)
        self.store.turn(done, None)

    def read(self) -> int:
        """Entries that were read of the claims' index so far. A backend tells it once a second, or when
        asked."""
        self.store._session.read(lambda c: c.execute("SELECT pg_stat_force_next_flush()"))
        with psycopg.connect(self.url, autocommit=True) as other:
            (read,) = other.execute(
                "SELECT idx_tup_read FROM pg_stat_user_indexes WHERE indexrelname = 'jobs_available'"
            ).fetchone() or (0,)
            return int(read)


@pytest.fixture(params=["", "default"], ids=["all lanes", "one lane"])
def claimer(request: pytest.FixtureRequest, store: PostgresStore, database: str) -> Claimer:
    made = Claimer(store, database)
    made.lanes = (request.param,) if request.param else ()
    return made


def test_a_claim_begins_behind_the_dead(claimer: Claimer, database: str) -> None:
    with pinned(database):
        claimer.store.insert(jobs(DEAD))
        claimer.drain(DEAD)
        assert claimer.claim(1) == []  # from the start: it learns that this is slow
        before = claimer.read()
        asked = jobs(20)
        claimer.store.insert(asked)
        claimed = [job.id for _ in asked for job in claimer.claim(1)]
        assert claimed == sorted(one.id for one in asked)
        assert claimer.read() - before < DEAD * len(asked) / 2, (
            "twenty claims, few of them from the start"
        )


def test_an_urgent_job_is_seen_at_once(claimer: Claimer, database: str) -> None:
    with pinned(database):
        claimer.store.insert(jobs(DEAD))
        claimer.drain(DEAD - 100)
        urgent = jobs(3, priority=7)
        claimer.store.insert(urgent)
        assert [job.id for job in claimer.claim(3)] == [one.id for one in urgent]


def test_a_job_with_an_old_place_is_hidden_for_a_second_at_most(
    claimer: Claimer, database: str
) -> None:
    """It comes first again, and a claim that missed it says when to look."""
    with pinned(database):
        claimer.store.insert(jobs(DEAD))
        (old,) = claimer.claim(1)
        claimer.drain(DEAD - 1)
        claimer.claim(1)
        claimer.store.turn([Outcome(old.id, old.fence, old.attempt, "released")], None)
        newer = jobs(5)
        claimer.store.insert(newer)
        found: list[bytes] = []

        def came() -> bool:
            turn = claimer.turn(1)
            found.extend(job.id for job in turn.claimed)
            assert turn.claimed or turn.due_in is not None
            return old.id in found

        until(came, "the released job", patience=WHOLE_SECONDS + 2)


def test_another_lane_is_hidden_for_a_second_at_most(store: PostgresStore, database: str) -> None:
    claimer = Claimer(store, database)
    with pinned(database):
        store.insert(jobs(DEAD))
        claimer.drain(DEAD)
        claimer.claim(1)
        (other,) = jobs(1, lane="other")
        store.insert([other])
        until(
            lambda: other.id in [job.id for job in claimer.claim(1)],
            "the job of the other lane",
            patience=WHOLE_SECONDS + 2,
        )


def test_without_slowness_there_are_no_bounds(claimer: Claimer) -> None:
    claimer.store.insert(jobs(600))
    (old,) = claimer.claim(1)
    claimer.drain(599)
    claimer.store.turn([Outcome(old.id, old.fence, old.attempt, "released")], None)
    assert [job.id for job in claimer.claim(1)] == [old.id]


def claimed(priority: int, due_at: int) -> Claimed:
    return Claimed(
        id=due_at.to_bytes(16, "big"), fence=1, attempt=1, max_attempts=1, task="m:f", lane="a",
        runner="thread", priority=priority, due_at=due_at, timeout=None, backoff=None,
        on_crash="retry", args=b"",
    )  # fmt: skip


def heads(bounds: Bounds) -> dict[int, int]:
    return {priority: due_at for _, priority, due_at, _ in bounds.parts("thread", "a")[:-1]}


def test_more_that_came_back_than_there_were_places_is_gone_on_with() -> None:
    bounds = Bounds()
    bounds.took("thread", "a", [claimed(5, 90), claimed(0, 100)], whole=False, full=True)
    bounds.took("thread", "a", [claimed(0, 10)], whole=True, full=True)
    assert heads(bounds) == {5: 90, 0: 10}
    bounds.took("thread", "a", [claimed(5, 8)], whole=True, full=True)
    assert heads(bounds) == {5: 8}, "of the lower priority nothing was seen"


def test_few_that_came_back_leave_the_bound_where_it_was() -> None:
    bounds = Bounds()
    bounds.took("thread", "a", [claimed(0, 100)], whole=False, full=True)
    bounds.took("thread", "a", [claimed(0, 10)], whole=True, full=False)
    assert heads(bounds) == {0: 100}


def test_the_parts_are_the_whole_lane() -> None:
    bounds = Bounds()
    for priority in (3, -4, 9):
        bounds.took("thread", "a", [claimed(priority, 1)], whole=False, full=True)
    parts = bounds.parts("thread", "a")
    assert [part[1] for part in parts[:-1]] == [9, 3, -4]
    assert [part[0] for part in parts[1:]] == [9, 3, -4]
    assert parts[0][0] > 100
    assert parts[-1][1] < -100
