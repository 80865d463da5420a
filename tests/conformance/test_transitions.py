"""The state table through the verbs: what it allows happens, and nothing else changes anything.

Promises I3 (only the fence decides), I4 (final states change only by a retry), I5 (attempts).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from sidework.job import Claimed
from sidework.state import FINAL, TRANSITIONS, Event, State

from .conftest import NOW, Bench, outcome

HOUR = 3_600_000


def arrive(bench: Bench, state: State) -> Claimed:
    """A job in that state, which has been claimed before; the claim that it had last. It has an input."""
    parent = bench.running(lane="parents", task="m:parent")
    bench.record(outcome(parent, "completed"))
    job = bench.running(max_attempts=5, parents=(parent.id,))
    # Two crashes on the way (a rescue is one): the third, alone, is for the quarantine.
    for _ in range(1 if state in (State.AVAILABLE, State.BLOCKED) else 2):
        bench.record(outcome(job, "crashed"))
        (job,) = bench.claim(runner="process")
    match state:
        case State.RUNNING:
            pass
        case State.AVAILABLE:  # rescued and not claimed again: its claim is still the last
            bench.store.retire(bench.worker)
            bench.worker = bench.store.register("host", 2, (), bench.now).id
        case State.BLOCKED:  # so is it, and set aside
            bench.store.retire(bench.worker)
            bench.worker = bench.store.register("host", 2, (), bench.now).id
            fire(bench, Event.SET_ASIDE, job)
        case State.SCHEDULED:
            bench.record(outcome(job, "snoozed", delay=HOUR))
        case State.RETRYABLE:
            bench.record(outcome(job, "retry", delay=HOUR))
        case _:
            bench.record(outcome(job, state.value))
    assert bench.row(job.id).state is state
    return job


def fire(bench: Bench, event: Event, job: Claimed) -> None:
    match event:
        case Event.DUE:
            bench.store.promote(10, bench.now + 2 * HOUR)
        case Event.CLAIM:
            bench.claim(runner="process")
        case Event.SET_ASIDE:
            bench.store.limits.pause("m:f", "me", "", bench.now)
            bench.claim(runner="process")
        case Event.UNBLOCK:
            bench.store.limits.resume("m:f")
        case Event.RESCUE:
            bench.store.retire(bench.worker)
        case Event.CANCEL:
            if bench.store.cancel(job.id, "by hand", bench.now) == "running":
                bench.record(outcome(job, "cancelled"))
        case Event.RETRY:
            bench.store.retry(job.id, bench.now)
        case Event.BLOCK:
            (edge,) = bench.store.flows.edges([job.id])
            bench.store.retry(edge.parent, bench.now)
            bench.store.retry(job.id, bench.now)
        case _:
            kinds = {
                Event.COMPLETE: "completed", Event.FAIL: "retry", Event.DISCARD: "discarded",
                Event.SNOOZE: "snoozed", Event.RELEASE: "released", Event.QUARANTINE: "crashed",
            }  # fmt: skip
            alone = event is Event.QUARANTINE
            bench.record(outcome(job, kinds[event], delay=HOUR, alone=alone))


# What is set aside waits for no inputs, so it has none to be done before it is due (test_flows.py).
EVENTS = [event for event in Event if event is not Event.DEFER]


@pytest.mark.parametrize("event", EVENTS, ids=str)
@pytest.mark.parametrize("state", State, ids=str)
def test_the_table(bench: Bench, state: State, event: Event) -> None:
    job = arrive(bench, state)
    before = bench.row(job.id)
    fire(bench, event, job)
    after = bench.row(job.id)
    wanted = TRANSITIONS.get((state, event))
    if wanted is None:
        assert after == before
        return
    assert after.state is wanted
    assert after.fence >= before.fence
    assert (after.finished_at is not None) == (wanted in FINAL)
    assert (after.worker is not None) == (wanted is State.RUNNING)
    assert 0 <= after.attempt <= after.max_attempts


def test_a_rescue_brings_back_and_gives_the_attempt_back(bench: Bench) -> None:
    """I5."""
    job = bench.running()
    bench.store.retire(bench.worker)
    row = bench.row(job.id)
    assert (row.state, row.attempt, row.crashes) == (State.AVAILABLE, 0, 1)


@pytest.mark.parametrize("kind", ["snoozed", "released", "crashed"])
def test_what_is_not_the_jobs_fault_gives_the_attempt_back(bench: Bench, kind: Any) -> None:
    """I5: ten times over with one attempt allowed (a crash only twice: then it is quarantined)."""
    job_id = bench.put()
    for _ in range(10 if kind != "crashed" else 2):
        bench.store.promote(10, bench.now)
        (job,) = [j for runner in ("thread", "process") for j in bench.claim(runner=runner)]
        assert job.attempt == 1
        assert bench.record(outcome(job, kind)) == [True]
        assert bench.row(job_id).attempt == 0


GUARDS: dict[str, tuple[Callable[[Bench, Claimed], Any], State]] = {
    "a failure with no attempt left": (
        lambda bench, job: bench.record(outcome(job, "retry")), State.DISCARDED),
    "a release of a job asked to cancel": (
        lambda bench, job: (bench.store.cancel(job.id, "x", bench.now),
                            bench.record(outcome(job, "released"))), State.CANCELLED),
    "a failure of a job asked to cancel": (
        lambda bench, job: (bench.store.cancel(job.id, "x", bench.now),
                            bench.record(outcome(job, "retry"))), State.CANCELLED),
    "a result of a job asked to cancel": (
        lambda bench, job: (bench.store.cancel(job.id, "x", bench.now),
                            bench.record(outcome(job, "completed"))), State.COMPLETED),
    "a rescue of a job asked to cancel": (
        lambda bench, job: (bench.store.cancel(job.id, "x", bench.now),
                            bench.store.retire(bench.worker)), State.CANCELLED),
}  # fmt: skip


@pytest.mark.parametrize("case", GUARDS)
def test_a_guard(bench: Bench, case: str) -> None:
    act, wanted = GUARDS[case]
    job = bench.running()
    act(bench, job)
    assert bench.row(job.id).state is wanted


@pytest.mark.parametrize("how", ["crash", "rescue"])
def test_at_most_once(bench: Bench, how: str) -> None:
    """I5: ``on_crash="discard"``."""
    job = bench.running(on_crash="discard")
    if how == "crash":
        bench.record(outcome(job, "crashed"))
    else:
        bench.store.retire(bench.worker)
    assert bench.row(job.id).state is State.DISCARDED


def test_a_suspect_runs_alone_and_is_quarantined_at_the_third_crash(bench: Bench) -> None:
    """I5: a crash in company makes a suspect; only a crash alone can condemn it."""
    job = bench.running()
    for crash in range(1, 6):
        alone = crash == 5
        bench.record(outcome(job, "crashed", alone=alone))
        row = bench.row(job.id)
        if alone:
            assert row.state is State.DISCARDED
            return
        assert (row.state, row.crashes, row.runner) == (State.AVAILABLE, crash, "process")
        (job,) = bench.claim(runner="process")


@pytest.mark.parametrize("runner", ["thread", "process"])
def test_no_death_of_a_worker_condemns_a_job(bench: Bench, runner: Any) -> None:
    """I5: five power cuts in a row, and the job still runs; only alone from the second on."""
    job_id = bench.put(runner=runner)
    for death in range(1, 6):
        (job,) = [j for kind in ("thread", "process") for j in bench.claim(runner=kind)]
        assert job.runner == ("process" if death > 2 else runner)
        bench.store.retire(bench.worker)
        bench.worker = bench.store.register("host", 1, (), NOW).id
        row = bench.row(job_id)
        assert (row.state, row.attempt, row.crashes) == (State.AVAILABLE, 0, death)
