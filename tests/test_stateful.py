"""Each engine against a model of a page, step by step, on a real store with the time moved by hand.

Promises I3, I4, I5 and I6 at every step. ``SIDEWORK_EXAMPLES`` makes it longer.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, invariant, multiple, rule

from engines import ENGINES
from sidework.callbacks import Callback, encode_callbacks
from sidework.errors import StoreRefused
from sidework.ids import new_id
from sidework.job import MAX_CRASHES, Claimed, NewJob
from sidework.outcome import Outcome
from sidework.state import FINAL, TRANSITIONS, WAITING, Event, State
from sidework.store.opening import open_store
from sidework.store.protocol import Demand

EXAMPLES = int(os.environ.get("SIDEWORK_EXAMPLES", "25"))
CALLS = encode_callbacks(
    [Callback("final", "end", "m:end", "calls", "loop", 0, 0, 1, None, None, "rescue")]
)
KINDS = [
    "completed",
    "retry",
    "discarded",
    "cancelled",
    "snoozed",
    "released",
    "crashed",
    "crashed alone",
]


@dataclass
class Model:
    """A job as it should be."""

    id: bytes
    priority: int
    lane: str
    due: int
    max_attempts: int
    expires: int | None
    state: State
    runner: str = "thread"
    attempt: int = 0
    crashes: int = 0
    asked: bool = False
    fence: int = 0
    task: str = "m:f"
    key: str | None = None
    until: str | None = None
    seen: list[int] = field(default_factory=list)
    inputs: tuple[bytes, ...] = ()
    policy: str = "cancel"
    waits: set[bytes] = field(default_factory=set)
    calls: bool = False
    called: int = 0

    def go(self, event: Event) -> None:
        self.state = TRANSITIONS[self.state, event]
        if self.state in FINAL:
            self.key = None
            self.called += self.calls


class Machine(RuleBasedStateMachine):
    """Rules are verbs; each changes the model as the words say, then the store is compared."""

    claims = Bundle("claims")
    engine: ClassVar[str]

    def __init__(self) -> None:
        super().__init__()
        self.folder = tempfile.mkdtemp()
        self.place = ENGINES[self.engine](Path(self.folder))
        # Of the lease depends how long a worker waits for a server: here for as long as it takes.
        self.store = open_store(self.place.url.replace("lease=4s", "lease=2m"))
        self.now = 1_000_000
        self.worker = self.store.register("host", 1, (), self.now).id
        self.jobs: dict[bytes, Model] = {}
        self.paused: set[str] = set()
        self.held: set[str] = set()
        self.limits: dict[str, int | None] = {}
        self.deleted = 0
        """Callbacks of jobs that are gone."""
        self.steps = 0

    def teardown(self) -> None:
        self.store.close()
        self.place.remove()
        shutil.rmtree(self.folder)

    @rule(
        priority=st.sampled_from([-5, 0, 5]),
        lane=st.sampled_from(["a", "b"]),
        delay=st.sampled_from([0, 0, 10]),
        attempts=st.integers(1, 3),
        expires=st.sampled_from([None, None, 15]),
        task=st.sampled_from(["m:f", "m:f", "m:g"]),
        key=st.sampled_from([None, None, "k", "l"]),
        until=st.sampled_from(["started", "final"]),
        policy=st.sampled_from(["cancel", "cancel", "continue"]),
        calls=st.booleans(),
        data=st.data(),
    )
    def enqueue(
        self,
        priority: int,
        lane: str,
        delay: int,
        attempts: int,
        expires: int | None,
        task: str,
        key: str | None,
        until: Any,
        policy: Any,
        calls: bool,
        data: Any,
    ) -> None:
        inputs: tuple[bytes, ...] = ()
        if self.jobs and data.draw(st.booleans()):
            some = st.sampled_from(sorted(self.jobs))
            inputs = tuple(data.draw(st.lists(some, min_size=1, max_size=3, unique=True)))
        job = NewJob(
            new_id(), task, b"\x01{}", lane=lane, priority=priority, delay=delay,
            max_attempts=attempts, expires_in=expires, unique_key=key, unique_until=key and until,
            parents=inputs, policy=policy, callbacks=CALLS if calls else None,
        )  # fmt: skip
        told = self.store.insert([job], self.now)[0]
        holders = [one.id for one in self.jobs.values() if key is not None and one.key == key]
        if holders:  # I9
            assert (told.verdict, [told.id]) == ("unique", holders)
            return
        assert told.verdict == "stored"
        waits = {one for one in inputs if not self._well(one, policy)}
        state = State.SCHEDULED if delay else State.AVAILABLE
        self.jobs[job.id] = Model(
            job.id, priority, lane, self.now + delay, attempts,
            None if expires is None else self.now + expires,
            State.BLOCKED if waits else state, task=task, key=key, until=until, inputs=inputs,
            policy=policy, waits=waits, calls=calls,
        )  # fmt: skip

    @rule(target=claims, runner=st.sampled_from(["thread", "process"]), limit=st.integers(1, 4))
    def claim(self, runner: Any, limit: int) -> Any:
        running = Counter(job.lane for job in self.jobs.values() if job.state is State.RUNNING)
        turn = self.store.turn([], Demand(self.worker, {runner: limit}), self.now)
        self._expire()
        self._promote()
        self._follow(levels=1)
        lines: dict[str, list[Model]] = {}
        for lane in {"a", "b"} - self.paused:
            line = [
                job
                for job in self.jobs.values()
                if (job.lane, job.state, job.runner) == (lane, State.AVAILABLE, runner)
            ]
            most = self.limits.get(lane)
            room = len(line) if most is None else max(0, most - running[lane])  # I11
            if room:
                self._set_aside(line)
            line = [job for job in line if job.task not in self.held]
            lines[lane] = sorted(line, key=lambda job: (-job.priority, job.due, job.id))[:room]
        assert len(turn.claimed) == min(limit, sum(map(len, lines.values())))
        for lane, line in lines.items():  # I6, in each lane
            got = [one.id for one in turn.claimed if one.lane == lane]
            assert got == [job.id for job in line[: len(got)]]
        for one in turn.claimed:
            job = self.jobs[one.id]
            job.go(Event.CLAIM)
            job.expires = None  # it is for what never started
            if job.until == "started":
                job.key = None
            job.attempt += 1
            assert one.attempt == job.attempt
            assert not job.seen or one.fence > job.seen[-1]
            job.seen.append(one.fence)
            job.fence = one.fence
        return multiple(*turn.claimed)

    @rule(one=claims, kind=st.sampled_from(KINDS), delay=st.sampled_from([0, 10]))
    def record(self, one: Claimed, kind: str, delay: int) -> None:
        """With a claim that may have been lost long ago."""
        alone = kind == "crashed alone"
        outcome = Outcome(
            one.id, one.fence, one.attempt, kind.split()[0], b"\x011" if kind == "completed" else None,
            delay, b"{}" if kind == "retry" else None, alone=alone,
        )  # fmt: skip
        (took,) = self.store.turn([outcome], None, self.now).took
        job = self.jobs.get(one.id)
        if job is None or job.fence != one.fence:
            assert not took
            return
        assert took
        job.fence = -1
        asked, job.asked = job.asked, False
        job.attempt = one.attempt - (kind in ("snoozed", "released", "crashed", "crashed alone"))
        if kind in ("retry", "snoozed"):
            job.due = self.now + delay
        crashed = kind.startswith("crashed")
        job.crashes = job.crashes + 1 if crashed else job.crashes if kind == "released" else 0
        if crashed:
            job.runner = "process"
        if kind == "completed":
            job.go(Event.COMPLETE)
        elif kind == "discarded":
            job.go(Event.DISCARD)
        elif alone and job.crashes >= MAX_CRASHES:
            job.go(Event.QUARANTINE)
        elif kind == "cancelled" or asked:
            job.go(Event.CANCEL)
        elif kind == "retry":
            job.go(Event.DISCARD if one.attempt >= job.max_attempts else Event.FAIL)
        elif kind == "snoozed":
            job.go(Event.SNOOZE)
        else:
            job.go(Event.RELEASE)

    @rule(one=claims, kept=st.booleans())
    def finish(self, one: Claimed, kept: bool) -> None:
        """In a transaction of the job's own, with a claim that may have been lost long ago."""
        ending = Outcome(one.id, one.fence, one.attempt, "completed", b"\x011")
        job = self.jobs.get(one.id)
        holds = job is not None and job.fence == one.fence
        with contextlib.suppress(ZeroDivisionError), self.store.transaction() as connection:
            assert self.store.finish_on(connection, ending, self.now) is holds
            assert self.store.finish_on(connection, ending, self.now) is False
            _ = 1 / kept
        if job is not None and holds and kept:
            job.go(Event.COMPLETE)
            job.fence, job.asked, job.crashes, job.attempt = -1, False, 0, one.attempt

    @rule(data=st.data())
    def cancel(self, data: Any) -> None:
        job = self._pick(data)
        if job is None:
            return
        told = self.store.cancel(job.id, "x", self.now)
        if job.state in FINAL:
            assert told is None
        elif job.state is State.RUNNING:
            assert told == "running"
            job.asked = True
        else:
            assert told == "cancelled"
            job.go(Event.CANCEL)
            job.fence = -1

    @rule(data=st.data())
    def retry(self, data: Any) -> None:
        job = self._pick(data)
        if job is None:
            return
        assert self.store.retry(job.id, self.now) is (job.state in FINAL)
        if job.state in FINAL:
            job.waits = {one for one in job.inputs if self._live(one)}
            for other in self.jobs.values():
                if other.waits and job.id in other.inputs:
                    other.waits.add(job.id)
            job.go(Event.BLOCK if job.waits else Event.RETRY)
            job.due, job.expires, job.crashes = self.now, None, 0
            job.max_attempts = max(job.max_attempts, job.attempt + 1)

    @rule(data=st.data())
    def delete(self, data: Any) -> None:
        job = self._pick(data)
        if job is None:
            return
        takers = [one for one in self.jobs.values() if job.id in one.inputs]
        if job.state in FINAL and any(one.state not in FINAL for one in takers):
            with pytest.raises(StoreRefused):
                self.store.delete(job.id)
            return
        assert self.store.delete(job.id) is (job.state in FINAL)
        if job.state in FINAL:
            self.deleted += job.called
            del self.jobs[job.id]

    @rule()
    def lose_the_worker(self) -> None:
        """Its jobs come back with their fence; a result that it still holds may land."""
        self.store.retire(self.worker, self.now)
        self.worker = self.store.register("host", 1, (), self.now).id
        for job in self.jobs.values():
            if job.state is State.RUNNING:
                job.attempt -= 1
                job.crashes += 1
                asked, job.asked = job.asked, False
                if asked:
                    job.go(Event.CANCEL)
                    job.fence = -1
                else:
                    job.go(Event.RESCUE)
                if job.crashes >= 2:
                    job.runner = "process"

    @rule(lane=st.sampled_from(["a", "b"]), on=st.booleans())
    def pause(self, lane: str, on: bool) -> None:
        if on:
            self.store.pause(lane, "me", "x", self.now)
            self.paused.add(lane)
        else:
            assert self.store.resume(lane) is (lane in self.paused)
            self.paused.discard(lane)

    @rule(lane=st.sampled_from(["a", "b"]), most=st.sampled_from([None, 1, 2]))
    def limit(self, lane: str, most: int | None) -> None:
        self.store.limits.limit(lane, most)
        self.limits[lane] = most

    @rule(task=st.sampled_from(["m:f", "m:g"]), on=st.booleans())
    def hold(self, task: str, on: bool) -> None:
        if on:
            self.store.limits.pause(task, "me", "x", self.now)
            self.held.add(task)
            return
        assert self.store.limits.resume(task) is (task in self.held)
        self.held.discard(task)
        for job in self.jobs.values():
            if job.task == task and job.state is State.BLOCKED and not job.waits:
                job.go(Event.UNBLOCK)

    @rule(step=st.sampled_from([1, 10, 20]))
    def pass_time(self, step: int) -> None:
        self.now += step

    @rule()
    def chores(self) -> None:
        self.store.expire(100, self.now)
        self._expire()
        self.store.promote(100, self.now)
        self._promote()

    @rule(one=consumes(claims))
    def forget(self, one: Claimed) -> None:
        """Keeps the bundle small."""

    @invariant()
    def same(self) -> None:
        while self.store.flows.reconcile(1000, self.now):
            pass
        self._follow()
        self.steps += 1
        if self.steps % 8 == 0:  # on PostgreSQL a look at all queues is a connection of its own
            called = {one.name: one.counts for one in self.store.queues()}.get("calls", {})
            made = sum(job.called for job in self.jobs.values()) + self.deleted
            assert sum(called.values()) == made
        rows = self.store.get(list(self.jobs))
        for row, job in zip(rows, self.jobs.values(), strict=True):
            assert row is not None
            assert (row.state, row.attempt, row.crashes) == (job.state, job.attempt, job.crashes)
            assert (row.runner, row.due_at, row.max_attempts) == (
                job.runner,
                job.due,
                job.max_attempts,
            )
            assert row.expires_at == job.expires
            assert row.cancel_requested is job.asked
            assert row.unique_key == job.key
            assert row.pending == len(job.waits) or job.state in FINAL
            assert 0 <= row.attempt <= row.max_attempts
            assert (row.finished_at is not None) is (row.state in FINAL)

    def _pick(self, data: Any) -> Model | None:
        return (
            data.draw(st.sampled_from(sorted(self.jobs.values(), key=lambda j: j.id)))
            if self.jobs
            else None
        )

    def _expire(self) -> None:
        for job in self.jobs.values():
            if job.state in WAITING and job.expires is not None and job.expires <= self.now:
                job.go(Event.CANCEL)
                job.fence = -1

    def _live(self, job_id: bytes) -> bool:
        return job_id in self.jobs and self.jobs[job_id].state not in FINAL

    def _well(self, job_id: bytes, policy: str) -> bool:
        """Whether it has ended so that who waits for it by this policy may run."""
        over = not self._live(job_id)
        done = job_id in self.jobs and self.jobs[job_id].state is State.COMPLETED
        return over and (done or policy == "continue")

    def _follow(self, levels: int = 100) -> None:
        """Go on from every end."""
        for _ in range(levels):
            ended = {one.id for one in self.jobs.values() if one.state in FINAL}
            failed = {id_ for id_ in ended if self.jobs[id_].state is not State.COMPLETED}
            waiting = [one for one in self.jobs.values() if one.state is State.BLOCKED]
            waiting = [one for one in waiting if one.waits & ended]
            if not waiting:
                return
            for job in waiting:
                fails = bool(job.waits & failed) and job.policy == "cancel"
                job.waits -= ended
                if fails:
                    job.go(Event.CANCEL)
                    job.fence = -1
                elif not job.waits:
                    job.go(Event.DEFER if job.due > self.now else Event.UNBLOCK)
                    job.due = max(job.due, self.now)

    def _set_aside(self, line: list[Model]) -> None:
        for job in line:
            if job.task in self.held:
                job.go(Event.SET_ASIDE)

    def _promote(self) -> None:
        for job in self.jobs.values():
            if job.state in (State.SCHEDULED, State.RETRYABLE) and job.due <= self.now:
                job.go(Event.DUE)


class OnSqlite(Machine):
    engine = "sqlite"


class OnPostgres(Machine):
    engine = "postgres"


SETTINGS = settings(
    max_examples=EXAMPLES, stateful_step_count=40, deadline=None,
    suppress_health_check=list(HealthCheck),
)  # fmt: skip
TestSqlite, TestPostgres = OnSqlite.TestCase, OnPostgres.TestCase
TestSqlite.settings = TestPostgres.settings = SETTINGS


def test_every_engine_has_its_run() -> None:
    assert {OnSqlite.engine, OnPostgres.engine} == set(ENGINES)
