"""I13: the engines are fed the same commands and give the same answers, rows and refusals.

Also for what nobody should send: every text, number and id that reaches a verb may be hostile. Only
what an engine says of itself is masked: where it is, and the numbers of workers, which are drawn.
``SIDEWORK_EXAMPLES`` makes it longer, ``SIDEWORK_SHRINK`` a failing run shorter.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable
from operator import attrgetter
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule
from msgspec.structs import replace

from engines import ENGINES
from sidework.callbacks import CALLED, Callback, encode_callbacks
from sidework.errors import SideworkError
from sidework.job import AttemptRow, Copied, JobFilter, JobRow, NewJob, WorkerRow
from sidework.outcome import Outcome
from sidework.state import State
from sidework.store import flows
from sidework.store.opening import open_store
from sidework.store.protocol import RETENTION, Demand, Store

EXAMPLES = int(os.environ.get("SIDEWORK_EXAMPLES", "10"))
PHASES = [Phase.generate, *([Phase.shrink] if "SIDEWORK_SHRINK" in os.environ else [])]
"""To shrink a failing run takes minutes: on request."""
NOW = 1_700_000_000_000
HOUR = 3_600_000

LONG = "".join(chr(0x4E00 + 7919 * n % 20_000) for n in range(3_000))
"""Does not compress to what an index entry may hold."""
ODD = ["", "\0", "a\0b", "\ud800", "\udfffz", "\uffff", "\U0010ffff", "'; --", '"', "\\", "%s", "$1",
       ":now", "{}", "é", "e\u0301", "_", "%", "\n", "\x7f", LONG[:500], LONG[:501],
       LONG, "x" * 2**20]  # fmt: skip
# By their numbers: Hypothesis writes out what is drawn from, at every step, and some are long.
TEXT = st.one_of(st.integers(0, len(ODD) - 1).map(lambda n: ODD[n]), st.text(max_size=8))
NUMBER = st.sampled_from(
    [0, 1, -1, 2**31 - 1, 2**31, -(2**31), -(2**31) - 1, 2**53 + 1, 2**62, 2**62 + 1, 2**63 - 1, 2**63,
     -(2**63), -(2**63) - 1, 10**400]
)  # fmt: skip
LIMIT = st.one_of(st.sampled_from([1000, 1000, 1000, 0, 2**31]), NUMBER)
QUEUES = ["mail", "default", "b"]
"""Names that are meant to be met again."""
LANE = st.one_of(st.sampled_from(QUEUES * 4), TEXT)
TASK = st.one_of(st.sampled_from(["m:f", "m:g", "n.m:f", "f", "m_f"] * 3), TEXT)
TAGS = st.lists(st.one_of(st.sampled_from(["a", "b"]), TEXT), max_size=2).map(tuple)
AT = st.one_of(st.none(), st.none(), st.integers(NOW - 50, NOW + 50), NUMBER)
PARENTS = st.sampled_from([0, 0, 0, 1, 2])
CALLS = encode_callbacks(
    [
        Callback(when, "it", "m:f", "mail", "thread", 1, 0, 2, None, None, "rescue", ("a",))
        for when in CALLED
    ]
)
SPAN = st.one_of(st.none(), st.none(), st.integers(-5, 30), NUMBER)


def ordinary(usual: Any, odd: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """Mostly the usual value: a job refused for one of fifteen fields tells nothing of the others."""
    return st.integers(0, 19).flatmap(lambda n: odd if n == 0 else usual)


def id_of(number: int) -> bytes:
    return (1 << 124 | number).to_bytes(16, "big")


class Sides:
    """One store of each engine, and what its answers are called on both."""

    def __init__(self) -> None:
        self.folder = tempfile.mkdtemp()
        self.places = {name: make(Path(self.folder)) for name, make in ENGINES.items()}
        self.stores: dict[str, Store] = {
            # Of the lease depends how long a worker waits for a server: here for as long as it takes.
            name: open_store(one.url.replace("lease=4s", "lease=2m"))
            for name, one in self.places.items()
        }
        self.workers: dict[str, list[int]] = {name: [] for name in ENGINES}

    def close(self) -> None:
        for name, store in self.stores.items():
            store.close()
            self.places[name].remove()
        shutil.rmtree(self.folder)

    def both(self, ask: Callable[[Store, list[int], Any], Any]) -> Any:
        """Ask each; the answer, which must be the same, or the refusal."""
        told = {name: self._answer(name, ask) for name in ENGINES}
        assert told["postgres"] == told["sqlite"]
        return told["sqlite"]

    def _answer(self, name: str, ask: Callable[[Store, list[int], Any], Any]) -> Any:
        store, place = self.stores[name], self.places[name]
        try:
            return self._masked(name, ask(store, self.workers[name], place))
        except SideworkError as refused:
            text = str(refused)
            for number, worker in enumerate(self.workers[name]):
                text = text.replace(str(worker), f"<worker {number}>")
            return type(refused), text

    def _masked(self, name: str, told: Any) -> Any:
        number = {worker: at for at, worker in enumerate(self.workers[name])}.get
        if isinstance(told, list | tuple):
            return [self._masked(name, one) for one in told]
        if isinstance(told, JobRow | AttemptRow):
            return replace(told, worker=number(told.worker, told.worker))
        if isinstance(told, WorkerRow):
            return replace(told, id=number(told.id, told.id), life=None)
        if isinstance(told, Copied):
            attempts = tuple(self._masked(name, told.attempts))
            return replace(told, job=self._masked(name, told.job), attempts=attempts)
        return told


class Pair(RuleBasedStateMachine):
    """Every rule is a verb with whatever it may be given."""

    def __init__(self) -> None:
        super().__init__()
        # The time of one engine must not end its walk before the other's.
        self.seconds, flows.WALK_SECONDS = flows.WALK_SECONDS, 3600.0
        self.sides = Sides()
        self.both = self.sides.both
        self.now = NOW
        self.ids = [id_of(0)]
        self.crowds = 0
        self.claims: list[Any] = []
        self.enrol("host", 1, ["mail"])

    def teardown(self) -> None:
        flows.WALK_SECONDS = self.seconds
        self.same_whole()
        self.sides.close()

    # Jobs ---------------------------------------------------------------------------------------

    @rule(data=st.data(), count=st.sampled_from([0, 1, 1, 2, 3, 9]), way=st.sampled_from("iiot"))
    def insert(self, data: Any, count: int, way: str) -> None:
        jobs = [self.job(data) for _ in range(count)]
        if way == "i":
            self.both(lambda store, _, __: store.insert(jobs, self.now))
            return
        kept = data.draw(st.booleans())

        def inside(store: Store, _: Any, place: Any) -> Any:
            told = None
            opened = place.transaction() if way == "o" else store.transaction()
            try:
                with opened as connection:
                    told = store.insert_on(connection, jobs, self.now)
                    _ = 1 / kept
            except ZeroDivisionError:
                pass
            return told

        self.both(inside)

    @rule(data=st.data(), again=st.integers(0, 2))
    def insert_a_crowd(self, data: Any, again: int) -> None:
        """Many at once go another way in one engine; some may be there already, or come twice."""
        like, first = self.job(data), 10**6 + 1000 * self.crowds
        like = replace(
            like, args=like.args[:9_000]
        )  # big ones go by the few: a crowd of them takes long
        self.crowds += 1
        ids = [*map(id_of, range(first, first + 120)), *self.ids[:again]]
        self.ids.append(ids[0])
        jobs = [replace(like, id=id_, delay=n % 3) for n, id_ in enumerate(ids)]
        for _ in range(1 + again):
            self.both(lambda store, _, __: store.insert(jobs, self.now))
        # Not kept in sight, but for one: the same in every step would take long.
        self.both(lambda store, _, __: store.get(ids))
        for id_ in ids[1:120]:
            self.both(
                lambda store, _, __, id_=id_: (store.cancel(id_, "", self.now), store.delete(id_))
            )

    def job(self, data: Any) -> NewJob:
        if data.draw(st.integers(0, 3)):
            self.ids.append(id_of(len(self.ids)))
            id_ = self.ids[-1]
        else:
            id_ = self.any_id(data)
        small = st.integers(-3, 3)
        return NewJob(
            id=id_,
            task=data.draw(ordinary(st.sampled_from(["m:f", "m:g"]), TEXT)),
            args=data.draw(st.sampled_from([b"\x01{}", b"", b"\0\xff" * 9, b"x" * 700_000])),
            lane=data.draw(ordinary(st.sampled_from(QUEUES), TEXT)),
            runner=data.draw(st.sampled_from(["thread", "thread", "loop", "process"])),
            priority=data.draw(ordinary(small, NUMBER)),
            due_at=data.draw(ordinary(st.none(), AT)),
            delay=data.draw(ordinary(st.sampled_from([0, 0, 10]), NUMBER)),
            max_attempts=data.draw(ordinary(st.integers(1, 3), NUMBER)),
            backoff=data.draw(ordinary(st.none(), SPAN)),
            timeout=data.draw(ordinary(st.none(), SPAN)),
            expires_at=data.draw(ordinary(st.none(), AT)),
            expires_in=data.draw(ordinary(st.sampled_from([None, 15]), SPAN)),
            on_crash=data.draw(st.sampled_from(["rescue", "rescue", "discard"])),
            tags=data.draw(ordinary(st.just(()), TAGS)),
            unique_key=data.draw(ordinary(st.sampled_from([None, None, "k", "l"]), TEXT)),
            unique_until=data.draw(st.sampled_from(["started", "final"])),
            parents=tuple(self.any_id(data) for _ in range(data.draw(PARENTS))),
            policy=data.draw(st.sampled_from(["cancel", "continue"])),
            callbacks=data.draw(st.sampled_from([None, None, CALLS])),
        )

    def any_id(self, data: Any) -> bytes:
        odd = st.sampled_from([b"", b"x", b"\0" * 16, b"\xff" * 16, b"\0" * 17, id_of(10**9)])
        return data.draw(ordinary(st.sampled_from(self.ids), odd))

    @rule(data=st.data(), limit=LIMIT)
    def flows(self, data: Any, limit: int) -> None:
        ids = [self.any_id(data) for _ in range(data.draw(st.integers(0, 3)))]
        self.both(lambda store, _, __: store.flows.edges(ids))
        self.both(lambda store, _, __: store.flows.reconcile(limit, self.now))

    @rule(data=st.data(), note=TEXT)
    def cancel(self, data: Any, note: str) -> None:
        id_ = self.any_id(data)
        self.both(lambda store, _, __: store.cancel(id_, note, self.now))

    @rule(data=st.data())
    def retry(self, data: Any) -> None:
        id_ = self.any_id(data)
        self.both(lambda store, _, __: store.retry(id_, self.now))

    @rule(data=st.data())
    def delete(self, data: Any) -> None:
        id_ = self.any_id(data)
        self.both(lambda store, _, __: store.delete(id_))

    @rule(data=st.data(), limit=LIMIT, states=st.lists(st.sampled_from(list(State)), max_size=2),
          lanes=st.lists(LANE, max_size=2), tasks=st.lists(TASK, max_size=2),
          tag=st.one_of(st.none(), st.just("a"), TEXT))  # fmt: skip
    def page(self, data: Any, limit: int, states: Any, lanes: Any, tasks: Any, tag: Any) -> None:
        before = data.draw(st.one_of(st.none(), st.just(self.any_id(data))))
        for want in (
            JobFilter(states=tuple(states), lanes=tuple(lanes)),
            JobFilter(tasks=tuple(tasks)),
            JobFilter(tag=tag),
        ):
            self.both(lambda store, _, __, want=want: store.page(want, before, limit))

    @rule(data=st.data())
    def get(self, data: Any) -> None:
        ids = [self.any_id(data) for _ in range(data.draw(st.integers(0, 3)))]
        self.both(lambda store, _, __: store.get(ids))
        self.both(lambda store, _, __: [store.attempts(id_) for id_ in ids])

    # Claims -------------------------------------------------------------------------------------

    @rule(data=st.data(), count=st.sampled_from([0, 0, 1, 2, 5]), claims=st.booleans())
    def turn(self, data: Any, count: int, claims: bool) -> None:
        outcomes = [self.outcome(data) for _ in range(count if self.claims else 0)]
        places = data.draw(
            st.dictionaries(
                st.sampled_from(["thread", "loop", "process"]),
                ordinary(st.integers(-1, 5), NUMBER),
            )
        )
        lanes = tuple(data.draw(ordinary(st.sampled_from([(), ("mail",), ("b", "mail")]), TAGS)))
        most = data.draw(
            ordinary(st.sampled_from([{}, {}, {"mail": 1}]), st.just({"mail": -(2**63)}))
        )
        who = self.who(data)

        def ask(store: Store, workers: list[int], _: Any) -> Any:
            demand = Demand(who(workers), places, lanes, most) if claims else None
            told = store.turn(outcomes, demand, self.now)
            return list(told.took), told.claimed, told.short, told.due_in, told.limited

        told = self.both(ask)
        if len(told) == 5:
            self.claims += told[1]

    def outcome(self, data: Any) -> Outcome:
        """With a claim that may have been settled, lost or said a moment ago."""
        # The last ones more often: the others were lost long ago.
        at = data.draw(st.integers(0, min(5, len(self.claims) - 1)))
        one = self.claims[-1 - at]
        return Outcome(
            data.draw(ordinary(st.just(one.id), st.just(self.any_id(data)))),
            data.draw(ordinary(st.just(one.fence), NUMBER)),
            one.attempt,
            data.draw(st.sampled_from(
                ["completed", "retry", "discarded", "cancelled", "snoozed", "released", "crashed"]
            )),
            result=data.draw(st.sampled_from([None, b"\x01null", b"", b"\0" * 600_000])),
            delay=data.draw(ordinary(st.sampled_from([0, 10]), NUMBER)),
            failure=data.draw(st.sampled_from([None, b"{}", b"\0\xff", b"f" * 500_000])),
            note=data.draw(st.one_of(st.none(), TEXT)),
            alone=data.draw(st.booleans()),
            in_transaction=data.draw(st.booleans()),
        )  # fmt: skip

    def who(self, data: Any) -> Callable[[list[int]], int]:
        """Of the workers that were known one, mostly the last, or a number that never was one's."""
        at = data.draw(st.integers(1, 3))
        odd = data.draw(ordinary(st.none(), NUMBER))
        return lambda workers: workers[-min(at, len(workers))] if odd is None else odd

    @rule(data=st.data(), kept=st.booleans())
    def finish(self, data: Any, kept: bool) -> None:
        if not self.claims:
            return
        outcome = self.outcome(data)

        def ask(store: Store, _: Any, __: Any) -> Any:
            told = None
            try:
                with store.transaction() as connection:
                    told = [store.finish_on(connection, outcome, self.now) for _ in "ab"]
                    _ = 1 / kept
            except ZeroDivisionError:
                pass
            return told

        self.both(ask)

    @rule(data=st.data())
    def what_it_holds(self, data: Any) -> None:
        who = self.who(data)
        self.both(lambda store, workers, _: sorted(store.cancelling(who(workers))))

        def held(store: Store, workers: list[int], _: Any) -> Any:
            told = store.held(who(workers))
            return told and sorted(told, key=lambda one: one.id)

        self.both(held)

    # Workers ------------------------------------------------------------------------------------

    @rule(host=TEXT, pid=NUMBER, queues=st.lists(TEXT, max_size=2))
    def enrol(self, host: str, pid: int, queues: list[str]) -> None:
        def ask(store: Store, workers: list[int], _: Any) -> Any:
            made = store.register(host, pid, queues, self.now)
            workers.append(made.id)
            return made

        self.both(ask)

    @rule(data=st.data(), again=st.booleans())
    def lose(self, data: Any, again: bool) -> None:
        """What it held comes back with its fence; what it still says may land."""
        who = self.who(data)
        self.both(lambda store, workers, _: store.retire(who(workers), self.now))
        if again:
            self.enrol("host", 1, ["mail"])

    @rule()
    def rescue(self) -> None:
        self.both(lambda store, _, __: store.rescue(self.now))

    # Queues and chores --------------------------------------------------------------------------

    @rule(queue=LANE, by=TEXT, why=TEXT)
    def pause(self, queue: str, by: str, why: str) -> None:
        self.both(lambda store, _, __: store.pause(queue, by, why, self.now))
        self.both(lambda store, _, __: store.switch(queue))

    @rule(queue=LANE)
    def resume(self, queue: str) -> None:
        self.both(lambda store, _, __: store.resume(queue))
        self.both(lambda store, _, __: store.switch(queue))

    @rule(
        queue=LANE, most=st.one_of(st.sampled_from([None, 1, 2, 2]), NUMBER), declared=st.booleans()
    )
    def limit(self, queue: str, most: int | None, declared: bool) -> None:
        if declared and most is not None:
            self.both(lambda store, _, __: store.limits.declare(queue, most))
        else:
            self.both(lambda store, _, __: store.limits.limit(queue, most))
        self.both(lambda store, _, __: (store.switch(queue), store.limits.running(queue)))

    @rule(task=TASK, by=TEXT, why=TEXT)
    def pause_task(self, task: str, by: str, why: str) -> None:
        self.both(lambda store, _, __: store.limits.pause(task, by, why, self.now))
        self.both(lambda store, _, __: store.limits.paused())

    @rule(task=TASK, limit=LIMIT)
    def resume_task(self, task: str, limit: int) -> None:
        self.both(lambda store, _, __: store.limits.resume(task))
        self.both(lambda store, _, __: store.limits.bring_back(limit))

    @rule(name=st.one_of(st.just("prune"), TEXT), every=ordinary(st.just(10), NUMBER))
    def take_turns(self, name: str, every: int) -> None:
        self.both(lambda store, _, __: store.take_turns({name: every}, self.now))

    @rule(limit=LIMIT)
    def promote_and_expire(self, limit: int) -> None:
        self.both(lambda store, _, __: store.expire(limit, self.now))
        self.both(lambda store, _, __: store.promote(limit, self.now))

    @rule(limit=LIMIT, age=ordinary(st.sampled_from([10, HOUR]), NUMBER),
          count=ordinary(st.sampled_from([2, 1000]), NUMBER))  # fmt: skip
    def prune(self, limit: int, age: int, count: int) -> None:
        kept = {**RETENTION, "completed_age": age, "cancelled_age": age, "completed_count": count}
        self.both(lambda store, _, __: store.prune(kept, limit, self.now))

    @rule(step=st.sampled_from([1, 10, 20, HOUR]))
    def pass_time(self, step: int) -> None:
        self.now += step

    # Copies -------------------------------------------------------------------------------------

    @rule(data=st.data(), limit=LIMIT, note=TEXT)
    def copies(self, data: Any, limit: int, note: str) -> None:
        after = data.draw(st.one_of(st.none(), st.just(self.any_id(data))))
        self.both(lambda store, _, __: store.copies.dump(after, limit))
        told = self.both(lambda store, _, __: store.copies.dump(None, 1000))
        refused = data.draw(st.integers(0, 9)) == 0  # one that runs has all refused
        copied = [one for one in told if refused or one.job.state is not State.RUNNING]
        some = data.draw(st.lists(st.sampled_from(copied), max_size=4)) if copied else []
        changed = [self.changed(data, one) for one in some]
        self.both(lambda store, _, __: store.copies.load(changed))
        if data.draw(st.booleans()):
            self.both(lambda store, _, __: store.copies.disown(changed, note, self.now))

    def changed(self, data: Any, one: Copied) -> Copied:
        """The job, or one like it under an id of its own, or what could not be."""
        if data.draw(st.booleans()):
            if data.draw(st.booleans()):
                self.ids.append(id_of(len(self.ids)))
            id_ = self.ids[-1]
            attempts = tuple(replace(each, job_id=id_) for each in one.attempts)
            one = replace(one, job=replace(one.job, id=id_), attempts=attempts)
        field = data.draw(
            ordinary(
                st.none(),
                st.sampled_from(["id", "task", "lane", "note", "tags", "priority", "max_attempts",
                                 "fence", "due_at", "timeout", "backoff", "attempt"]),
            )
        )  # fmt: skip
        if field is None:
            return one
        if field == "backoff":
            return replace(one, backoff=data.draw(NUMBER))
        odd = {"id": st.just(self.any_id(data)), "tags": TAGS}.get(
            field, TEXT if field in ("task", "lane", "note") else NUMBER
        )
        return replace(one, job=replace(one.job, **{field: data.draw(odd)}))

    # The same throughout ------------------------------------------------------------------------

    @invariant()
    def same(self) -> None:
        self.both(lambda store, _, __: store.get(self.ids))

    def same_whole(self) -> None:
        self.both(lambda store, _, __: [store.attempts(id_) for id_ in self.ids])
        self.both(lambda store, _, __: store.queues())

        def known(store: Store, workers: list[int], _: Any) -> Any:
            return sorted(store.workers(), key=lambda one: workers.index(one.id))

        self.both(known)


TestPair = Pair.TestCase
TestPair.settings = settings(
    max_examples=EXAMPLES, stateful_step_count=40, deadline=None, phases=PHASES,
    suppress_health_check=list(HealthCheck),
)  # fmt: skip


@pytest.mark.parametrize("verb", ["get", "insert", "copies.load"])
def test_nothing_is_asked_for(verb: str) -> None:
    sides = Sides()
    try:
        assert sides.both(lambda store, _, __: attrgetter(verb)(store)([])) == []
    finally:
        sides.close()
