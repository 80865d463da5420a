"""What running jobs tell: written in a turn under the fence, kept as far as they say, read by place."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from sidework.errors import BadValue
from sidework.ids import new_id
from sidework.job import Claimed
from sidework.note import Note, Notes
from sidework.state import State
from sidework.store.journal import Chapter, Since
from sidework.store.protocol import RETENTION

from .conftest import NOW, Bench, outcome


def told(job: Claimed, *numbers: int, kind: str = "log", **more: object) -> Notes:
    """So many notes of a claim, each with its number for a body."""
    notes = tuple(Note(number, kind, NOW + number, b"%d" % number) for number in numbers)  # type: ignore[arg-type]
    return Notes(job.id, job.fence, notes, **more)  # type: ignore[arg-type]


def tell(bench: Bench, *notes: Notes) -> None:
    bench.store.turn([], None, bench.now, notes)


def chapter(bench: Bench, job_id: bytes, fence: int = -1, number: int = 0) -> Chapter:
    (found,) = bench.store.journal.read([Since(job_id, fence, number)])
    assert found is not None
    return found


def places(found: Chapter) -> list[tuple[int, int]]:
    return [(note.fence, note.number) for note in found.notes]


def test_notes_are_there_when_the_turn_is(bench: Bench) -> None:
    job = bench.running()
    tell(
        bench, told(job, 1, 2, first=True), Notes(job.id, job.fence, (Note(3, "value", 5, b"\0x"),))
    )
    found = chapter(bench, job.id)
    assert (found.state, found.fence, found.attempt) == (State.RUNNING, job.fence, 1)
    assert [(n.number, n.kind, n.at, n.body) for n in found.notes] == [
        (1, "log", NOW + 1, b"1"), (2, "log", NOW + 2, b"2"), (3, "value", 5, b"\0x"),
    ]  # fmt: skip
    assert places(chapter(bench, job.id, job.fence, 2)) == [(job.fence, 3)]
    assert bench.store.journal.read([Since(new_id())]) == [None]


def test_a_lost_claim_tells_nothing(bench: Bench) -> None:
    """I3: refused for the fence, and for nothing else; its end in the same turn is behind it."""
    job, rescued = bench.running(), bench.running()
    bench.store.turn([outcome(job, "completed")], None, NOW, [told(job, 1)])
    assert places(chapter(bench, job.id)) == [(job.fence, 1)]  # with its own end
    tell(bench, told(job, 2, drops=(1,), first=True, cut=1))
    assert places(chapter(bench, job.id)) == [(job.fence, 1)]
    assert bench.store.journal.cut(job.id) is None
    bench.store.retire(bench.worker, NOW)
    bench.store.rescue(NOW)
    tell(bench, told(rescued, 1))  # nobody else has claimed it
    assert places(chapter(bench, rescued.id)) == [(rescued.fence, 1)]


def test_said_again_it_is_there_once(bench: Bench) -> None:
    job = bench.running()
    for _ in range(2):
        tell(bench, told(job, 1, 2, first=True), told(job, 2, 3, drops=(1,), cut=1))
    assert places(chapter(bench, job.id)) == [(job.fence, 2), (job.fence, 3)]
    assert bench.store.journal.cut(job.id) == (job.fence, 1)
    tell(bench, told(job, 4))
    assert bench.store.journal.cut(job.id) == (job.fence, 1)


def test_the_last_two_claims_that_told_are_kept(bench: Bench) -> None:
    job_id = bench.put(max_attempts=9)
    fences = []
    for at in range(4):
        (job,) = bench.claim()
        fences.append(job.fence)
        if at != 2:  # one that told nothing does not push out one that did
            tell(bench, told(job, 1, first=True))
        bench.record(outcome(job, "snoozed"))
        bench.store.promote(10, NOW)
    assert places(chapter(bench, job_id)) == [(fences[1], 1), (fences[3], 1)]
    assert bench.store.journal.cut(job_id) == (fences[1], 0)


def test_the_newest_progress_of_each(bench: Bench) -> None:
    one, two, none = bench.running(), bench.running(), bench.running()
    tell(bench, told(one, 1, 3, kind="progress"), told(one, 4), told(two, 2, kind="progress"))
    found = bench.store.journal.progress([two.id, none.id, one.id, new_id()])
    assert [None if row is None else (row.job_id, row.number) for row in found] == [
        (two.id, 2), None, (one.id, 3), None,
    ]  # fmt: skip


def test_a_chapter_has_the_attempts_from_a_place_on(bench: Bench) -> None:
    job_id = bench.put(max_attempts=3)
    for _ in range(2):
        (job,) = bench.claim()
        bench.record(outcome(job, "retry"))
        bench.store.promote(10, NOW + 10_000_000)
    assert [one.attempt for one in chapter(bench, job_id).attempts] == [1, 2]
    assert [one.attempt for one in chapter(bench, job_id, job.fence, 0).attempts] == [2]


@pytest.mark.parametrize("way", ["delete", "prune"])
def test_notes_go_with_their_job(bench: Bench, way: str) -> None:
    job = bench.running()
    bench.store.turn([outcome(job, "completed")], None, NOW, [told(job, 1)])
    if way == "delete":
        assert bench.store.delete(job.id)
    else:
        assert bench.store.prune({**RETENTION, "completed_age": 0}, 10, NOW + 1) == 1
    assert bench.store.journal.read([Since(job.id)]) == [None]
    assert bench.store.journal.progress([job.id]) == [None]
    assert bench.store.journal.cut(job.id) is None


def test_notes_move_with_their_job(bench: Bench) -> None:
    job = bench.running()
    bench.store.turn([outcome(job, "completed")], None, NOW, [told(job, 2, 3, cut=1)])
    other = bench.other()
    (copied,) = bench.store.copies.dump(None, 10)
    assert [row.number for row in copied.notes] == [0, 2, 3]
    assert other.copies.load([copied]) == ["stored"]
    assert other.copies.load([copied]) == ["present"]
    assert other.copies.dump(None, 10) == [copied]
    assert other.journal.cut(job.id) == (job.fence, 1)


@pytest.mark.parametrize(
    "notes",
    [
        Notes(b"short", 1, ()),
        Notes(new_id(), 2**63, ()),
        Notes(new_id(), 1, (Note(0, "log", 0, b""),)),
        Notes(new_id(), 1, (Note(2**31, "log", 0, b""),)),
        Notes(new_id(), 1, (Note(1, "cut", 0, b""),)),  # type: ignore[arg-type]
        Notes(new_id(), 1, (), (0,)),
    ],
)
def test_what_no_job_can_tell_is_refused(bench: Bench, notes: Sequence[Notes]) -> None:
    with pytest.raises(BadValue):
        bench.store.turn([], None, NOW, [notes])  # type: ignore[list-item]
