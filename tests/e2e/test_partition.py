"""A worker cut off from its store: what must not run on has stopped before anybody else may run it.

The worker, its children and its store are real. Between the last two stands a link that the test
cuts: then no verb reaches the store, and the trust runs out as that of an engine with leases would.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path
from time import monotonic
from typing import Any

import pytest

from conftest import until
from e2e.conftest import Ways
from sidework import JobHandle, State
from sidework.errors import StoreUnavailable
from sidework.outcome import Outcome
from sidework.store.opening import open_store
from sidework.store.protocol import STOP_SECONDS, Demand
from sidework.worker.crew import Crew
from sidework.worker.worker import Worker

LEASE = STOP_SECONDS + 1.0
BESIDE = frozenset({"trust", "listen", "hurry", "close", "url", "ring_work", "ring_done"})
"""What an engine does without asking its server."""
NOUNS = frozenset({"flows", "journal", "periodics", "limits", "copies", "gauges"})
"""The engine's parts, each with verbs of its own."""


class Link:
    """Of all stores that the worker opens."""

    def __init__(self) -> None:
        self.ends: float | None = None  # while cut: when the trust does
        self.holds = False  # while cut: verbs neither answer nor fail
        self.delays_claim = False  # the answer of the next claim comes when trust is nearly over
        self.restored = threading.Event()

    def cut(self, *, holds: bool = False) -> float:
        """Cut it; when the trust ends."""
        self.restored.clear()
        self.holds = holds
        self.ends = monotonic() + LEASE
        return self.ends

    def restore(self) -> None:
        self.ends, self.holds = None, False
        self.restored.set()


class Noun:
    """A part of a real store behind its link."""

    def __init__(self, behind: Linked, noun: Any) -> None:
        self._behind, self._noun = behind, noun

    def __getattr__(self, name: str) -> Any:
        return self._behind.linked(getattr(self._noun, name), name)


class Linked:
    """The real store behind the link."""

    def __init__(self, url: str, link: Link) -> None:
        self._store: Any = open_store(url)
        self._link = link
        for noun in NOUNS:
            setattr(self, noun, Noun(self, getattr(self._store, noun)))

    def __getattr__(self, name: str) -> Any:
        return self.linked(getattr(self._store, name), name)

    def linked(self, verb: Any, name: str) -> Any:
        return verb if name in BESIDE else lambda *given: self._pass(verb, given)

    def _pass(self, verb: Any, given: tuple[Any, ...]) -> Any:
        if self._link.ends is not None:
            if self._link.holds:
                self._link.restored.wait()
            raise StoreUnavailable("the link is cut")
        return verb(*given)

    def turn(self, outcomes: Any, demand: Any, now: Any = None, notes: Any = ()) -> Any:
        turn = self._pass(self._store.turn, (outcomes, demand, now, notes))
        if turn.claimed and self._link.delays_claim:
            self._link.delays_claim = False
            self._link.cut()
            self._link.ends = monotonic() + 0.1
        return turn

    def trust(self, worker: int) -> float:
        ends = self._link.ends
        return LEASE if ends is None else ends - monotonic()


class Field:
    """A worker behind a link."""

    def __init__(self, ways: Ways) -> None:
        self.ways = ways
        self.link = Link()
        crew = Crew([str(ways.place.folder / "ways.py")], 1, 2, 10, 4)
        self.worker = Worker(crew, self._open)
        self._thread = threading.Thread(target=self.worker.run)
        self._thread.start()

    def _open(self, url: str) -> Any:
        return Linked(url, self.link)

    def go(self, *tags: int) -> None:
        for tag in tags:
            (self.ways.place.folder / f"go-{tag}").touch()

    def said(self, tag: int) -> list[str]:
        return [what for what, *_ in self.ways.runs(tag)]

    def running(self, *tags: int) -> None:
        until(lambda: all("run" in self.said(tag) for tag in tags), f"runs of {tags}")

    def close(self) -> None:
        self.link.restore()
        self.worker.stop()
        self.worker.stop()
        self._thread.join()


@pytest.fixture
def field(ways: Ways) -> Iterator[Field]:
    made = Field(ways)
    yield made
    made.close()


def untouched(job: JobHandle[Any]) -> bool:
    """It ran to its end as if nothing had been: one attempt counted, no crash, none kept."""
    row = job.info()
    return (row.state, row.attempt, row.crashes) == (State.COMPLETED, 1, 0) and not job.attempts()


def gone(pid: int) -> bool:
    """Dead, whether or not the worker has had a moment to fetch it."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except (FileNotFoundError, ProcessLookupError):
        return True


def test_what_stops_has_stopped_in_time_and_runs_again(
    field: Field, caplog: pytest.LogCaptureFixture
) -> None:
    """I3, I5, FAULTS row 8: coroutine and process end, a thread is told; the others run on."""
    ways = field.ways
    stops = [
        ways.stop_coroutine.enqueue(1),
        ways.stop_process.enqueue(2),
        ways.stop_thread.enqueue(3),
    ]
    runs = [
        ways.wait_coroutine.enqueue(4),
        ways.wait_process.enqueue(5),
        ways.wait_thread.enqueue(6),
    ]
    field.running(1, 2, 3, 4, 5, 6)
    ends = field.link.cut()
    until(lambda: [field.said(tag)[1:] for tag in (1, 2, 3)] == [["ended"], ["ended"], ["told"]])
    assert ends - STOP_SECONDS < monotonic() < ends
    assert all(field.said(tag) == ["run"] for tag in (4, 5, 6))
    assert all(job.state is State.RUNNING for job in stops)  # nobody could be told yet
    late = ways.stop_thread.enqueue(7)
    field.go(1, 2, 3, 4, 5, 6, 7)
    assert late.state is State.AVAILABLE
    field.link.restore()
    for job in (*stops, *runs, late):
        assert job.result(timeout=20) == "went"
    assert all(untouched(job) for job in (*stops, *runs, late))
    assert [field.said(tag).count("run") for tag in range(1, 8)] == [2, 2, 2, 1, 1, 1, 1]
    (line,) = [one for one in caplog.messages if "on_partition" in one]
    assert all(job.id in line for job in stops)
    assert "stopping 3 jobs" in line
    assert "1 of them in threads" in line


@pytest.mark.sqlite_alone("of the worker's judgement: the store says nothing meanwhile")
def test_what_does_not_stop_is_killed_in_time_and_its_neighbours_go_back(field: Field) -> None:
    """I5: no attempt is spent and no crash counted, for those that die with it neither."""
    ways = field.ways
    jobs = [ways.stubborn_coroutine.enqueue(1), ways.stubborn_process.enqueue(2)]
    neighbour = ways.wait_thread.enqueue(3)
    field.running(1, 2, 3)
    pids = {ways.runs(tag)[0][2] for tag in (1, 2)}
    ends = field.link.cut()
    until(lambda: all(gone(pid) for pid in pids), "the end of both children")
    assert ends - STOP_SECONDS < monotonic() < ends
    assert "refused" in field.said(1)
    assert "refused" in field.said(2)
    field.go(1, 2, 3)
    field.link.restore()
    assert [job.result(timeout=20) for job in (*jobs, neighbour)] == ["went"] * 3
    assert all(untouched(job) for job in (*jobs, neighbour))


@pytest.mark.sqlite_alone("of the worker's judgement: the store says nothing meanwhile")
def test_a_store_that_holds_the_worker_keeps_nothing_alive(field: Field) -> None:
    """FAULTS row 8: a link that stalls; the worker's own loop waits for the store meanwhile."""
    ways = field.ways
    jobs = [ways.stop_coroutine.enqueue(1), ways.stop_process.enqueue(2)]
    field.running(1, 2)
    pids = {ways.runs(tag)[0][2] for tag in (1, 2)}
    ends = field.link.cut(holds=True)
    until(lambda: all(gone(pid) for pid in pids), "the end of both children")
    assert monotonic() < ends
    field.go(1, 2)
    field.link.restore()
    assert [job.result(timeout=20) for job in jobs] == ["went"] * 2
    assert all(untouched(job) for job in jobs)


@pytest.mark.sqlite_alone("of the worker's judgement: the store says nothing meanwhile")
def test_what_waits_in_a_child_is_taken_back(field: Field) -> None:
    """A window of jobs that have not begun: none of them begins while the store is away."""
    ways = field.ways
    busy = [ways.wait_thread.enqueue(tag) for tag in range(4)]
    field.running(0, 1, 2, 3)
    ways.app.enqueue_many(ways.coroutine.bind(99) for _ in range(2000))
    until(lambda: len(ways.runs(99)) == 2000, "the crowd that widens the window")
    jobs = [ways.stop_coroutine.enqueue(tag) for tag in range(10, 30)]
    until(lambda: sum(job.state is State.RUNNING for job in jobs) > 10, "more than run at a time")
    begun = [tag for tag in range(10, 30) if field.said(tag)]
    assert len(begun) == 10
    field.link.cut()
    until(lambda: all(field.said(tag)[-1:] == ["ended"] for tag in begun), "the end of those begun")
    field.go(*range(30))
    until(
        lambda: all(job.info().state is State.RUNNING for job in busy)
    )  # their end cannot be told
    assert [tag for tag in range(10, 30) if field.said(tag)] == begun
    field.link.restore()
    assert [job.result(timeout=20) for job in (*busy, *jobs)] == ["went"] * 24
    assert all(untouched(job) for job in (*busy, *jobs))


def test_what_a_late_answer_brings_does_not_begin(field: Field) -> None:
    """Claimed, but so late that it could not be stopped in time; what may run on begins."""
    ways = field.ways
    ways.coroutine.enqueue(1).result(timeout=20)  # the worker is there
    ways.app.store.pause("default", "test", "both in one claim")
    jobs = [ways.stop_coroutine.enqueue(2), ways.wait_coroutine.enqueue(3)]
    field.link.delays_claim = True
    ways.app.store.resume("default")
    field.running(3)
    until(lambda: field.worker._recorder.waiting, "the other to be handed back")
    assert field.said(2) == []
    field.go(2, 3)
    field.link.restore()
    assert [job.result(timeout=20) for job in jobs] == ["went"] * 2
    assert all(untouched(job) for job in jobs)
    assert [row[1] for row in ways.runs(2) if row[0] == "run"] == [1]


def test_another_may_have_it_meanwhile(field: Field) -> None:
    """I3: what was stopped meets a grown fence, when its worker was taken for dead and comes back."""
    ways = field.ways
    job, runs_on = ways.stop_coroutine.enqueue(1), ways.wait_coroutine.enqueue(2)
    field.running(1, 2)
    field.link.cut()
    until(lambda: field.said(1) == ["run", "ended"], "the end")
    rival = open_store(ways.place.url)
    (known,) = rival.workers()
    rival.retire(
        known.id
    )  # as a rescuer does: its jobs are available, and it is not known any more
    me = rival.register("elsewhere", 1, ())
    taken = {one.id: one for one in rival.turn([], Demand(me.id, {"loop": 2})).claimed}
    assert {job.info().attempt, runs_on.info().attempt} == {1}
    field.go(1, 2)
    field.link.restore()
    until(lambda: len(rival.workers()) == 2, "the worker, registered again")
    assert ways.thread.enqueue(3).result(timeout=20) == 4
    assert {job.state, runs_on.state} == {State.RUNNING}
    done = [Outcome(one.id, one.fence, one.attempt, "completed", b"\x01\"rival's\"")
            for one in taken.values()]  # fmt: skip
    assert rival.turn(done, None).took == [True, True]
    assert {job.result(timeout=20), runs_on.result(timeout=20)} == {"rival's"}
    assert field.said(1) == ["run", "ended"]
    rival.retire(me.id)
    rival.close()


def test_what_was_taken_for_dead_unawares_stops_when_it_learns_of_it(field: Field) -> None:
    """The store always answered, yet its entry is gone: its jobs may be another's now."""
    ways = field.ways
    job = ways.stubborn_coroutine.enqueue(1)
    field.running(1)
    (known,) = ways.app.store.workers()
    ways.app.store.retire(known.id)
    until(lambda: "refused" in field.said(1), "its being asked")
    until(lambda: gone(ways.runs(1)[0][2]), "its being killed")
    field.go(1)
    assert job.result(timeout=20) == "went"


def test_at_most_once_stays_so(field: Field) -> None:
    """I5: ``on_crash="discard"`` and begun: it does not run again, whoever ended it."""
    job = field.ways.stop_once.enqueue(1)
    field.running(1)
    field.link.cut()
    until(lambda: field.worker._recorder.waiting, "the outcome")
    field.link.restore()
    assert job.wait(timeout=20) is State.DISCARDED
    assert field.said(1) == ["run"]
