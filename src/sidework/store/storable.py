"""What a store takes, the same for every engine (promise I13): texts that each can hold, numbers that fit
its columns. Anything else is a ``BadValue`` before a store is asked, so that nobody's bad value fails the
others of its batch.

Names and ids are looked up by others, hence refused. What only a person reads (``readable``) is made
storable instead: the end of an attempt must not be lost for the text that tells of it.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable, Sequence

from ..errors import BadValue
from ..job import MOST_LIMIT, Copied, JobFilter, NewJob
from ..note import NOTE_KINDS, Notes
from ..outcome import Outcome, clean
from ..periodic import Declaration, Firing
from ..state import FINAL, State
from .protocol import Demand

LONGEST_NAME = 500
MOST_PARENTS = 20_000
"""For whom one job waits: more than its arguments can name (1 MiB); others wait while they are stored."""
"""Characters of a lane, a queue or a chore: an index entry of PostgreSQL holds 2,700 bytes."""
_ID = 16
_SMALL = 2**31
_MOMENT = 2**62
"""Times and durations: the sum of two still fits into 64 bits."""
_BIG = 2**63


def check_jobs(jobs: Iterable[NewJob]) -> None:
    """``BadValue`` for the first that no store should take."""
    for job in jobs:
        # One expression, in the path of every enqueue: 0.3 us.
        if not (
            len(job.id) == _ID
            and (_names(job.task) or _holds(job.task))
            and _names(job.lane)
            and -_SMALL <= job.priority < _SMALL
            and 0 < job.max_attempts < _SMALL
            and -_MOMENT <= job.delay <= _MOMENT
            and (job.due_at is None or -_MOMENT <= job.due_at <= _MOMENT)
            and (job.expires_at is None or -_MOMENT <= job.expires_at <= _MOMENT)
            and (job.expires_in is None or -_MOMENT <= job.expires_in <= _MOMENT)
            and (job.timeout is None or -_MOMENT <= job.timeout <= _MOMENT)
            and (job.backoff is None or -_MOMENT <= job.backoff <= _MOMENT)
            and (not job.tags or all(map(_holds, job.tags)))
            and (not job.parents or _waits(job.parents))
            and (job.unique_key is None or _names(job.unique_key))
            and (job.context is None or _holds(job.context))
        ):
            _explain(job)


def _waits(parents: Sequence[bytes]) -> bool:
    return len(parents) <= MOST_PARENTS and all(len(one) == _ID for one in parents)


def _explain(job: NewJob) -> None:
    check_id(job.id)
    check_text(job.task, "task")
    check_name(job.lane, "lane")
    check_number(job.priority, "priority", -_SMALL, _SMALL - 1)
    check_number(job.max_attempts, "max_attempts", 1, _SMALL - 1)
    for name in ("delay", "due_at", "expires_at", "expires_in", "timeout", "backoff"):
        check_moment(getattr(job, name), name)
    for tag in job.tags:
        check_text(tag, "tag")
    check_ids(job.parents)
    if len(job.parents) > MOST_PARENTS:
        raise BadValue(
            f"a job of {job.task} would wait for {len(job.parents):,} others, the cap is {MOST_PARENTS:,}: "
            "let some jobs gather the others first"
        )
    check_name(job.unique_key or "", "unique_key")
    check_text(job.context or "", "context")


def check_outcomes(outcomes: Iterable[Outcome]) -> None:
    """``BadValue`` for an end that is of no claim."""
    for one in outcomes:
        if not (
            len(one.id) == _ID
            and -_BIG <= one.fence < _BIG
            and -_SMALL < one.attempt < _SMALL
            and -_MOMENT <= one.delay <= _MOMENT
        ):
            check_id(one.id)
            check_number(one.fence, "fence", -_BIG, _BIG - 1)
            check_number(one.attempt, "attempt", 1 - _SMALL, _SMALL - 1)
            check_moment(one.delay, "delay")


def check_notes(told: Iterable[Notes]) -> None:
    """``BadValue`` for what no running job can tell."""
    for one in told:
        check_id(one.id)
        check_number(one.fence, "fence", -_BIG, _BIG - 1)
        check_number(one.cut, "cut", 0, _SMALL - 1)
        for number in one.drops:
            check_number(number, "number", 1, _SMALL - 1)
        for note in one.notes:
            check_number(note.number, "number", 1, _SMALL - 1)
            check_moment(note.at, "at")
            if note.kind not in NOTE_KINDS:
                raise BadValue(f"kind={note.kind!r}: expected one of {', '.join(NOTE_KINDS)}")


def check_demand(demand: Demand) -> None:
    """``BadValue`` for a worker or lanes that cannot be, or more places than can be counted."""
    check_worker(demand.worker)
    for lane in demand.lanes:
        check_text(lane, "lane")
    for places in (*demand.places.values(), *demand.most.values()):
        check_number(places, "places", -_BIG, _SMALL - 1)


def check_declaration(worker: int, mine: Declaration) -> None:
    """``BadValue`` for what no store should take."""
    check_worker(worker)
    for app in mine.apps:
        check_name(app, "app")
    for entry in mine.entries:
        check_name(entry.name, "periodic")
        check_name(entry.app, "app")
    check_jobs(entry.job_of(0) for entry in mine.entries)


def check_firings(firings: Sequence[Firing]) -> None:
    """``BadValue`` for what no store should take."""
    for firing in firings:
        check_name(firing.name, "periodic")
        for moment in (firing.next_at, firing.look_at, firing.last_at):
            if moment is not None:
                check_moment(moment, "tick")
        check_jobs(firing.jobs)


def check_copied(jobs: Iterable[Copied]) -> None:
    """``BadValue`` for the first that another store cannot have had. One whose next claim would not fit its
    columns would fail every claim of its lane."""
    for one in jobs:
        job = one.job
        check_id(job.id)
        check_text(job.task, "task")
        check_name(job.lane, "lane")
        check_text(job.note or "", "note")
        for tag in job.tags:
            check_text(tag, "tag")
        check_number(job.priority, "priority", -_SMALL, _SMALL - 1)
        check_number(job.max_attempts, "max_attempts", 1, _SMALL - 1)
        waits = job.state not in (*FINAL, State.RUNNING)
        most = job.max_attempts - waits
        check_number(job.attempt, "attempt", 0, min(most, _SMALL - 2))
        check_number(job.crashes, "crashes", 0, _SMALL // 2)
        check_number(job.fence, "fence", 0, _BIG // 2)
        for name in ("inserted_at", "due_at", "started_at", "finished_at", "expires_at", "timeout"):
            check_moment(getattr(job, name), name)
        check_moment(one.backoff, "backoff")
        for attempt in one.attempts:
            check_number(attempt.attempt, "attempt", 1 - _SMALL, _SMALL - 1)
            check_number(attempt.fence, "fence", 0, _BIG // 2)
            check_moment(attempt.started_at, "started_at")
            check_moment(attempt.finished_at, "finished_at")
            check_worker(attempt.worker or 0)
        for note in one.notes:
            check_number(note.fence, "fence", 0, _BIG // 2)
            check_number(note.number, "number", 0, _SMALL - 1)
            check_text(note.kind, "kind")
            check_moment(note.at, "at")


def check_filter(want: JobFilter) -> None:
    """``BadValue`` for a name that no job can have."""
    for name, texts in (("lane", want.lanes), ("task", want.tasks), ("tag", (want.tag or "",))):
        for text in texts:
            check_text(text, name)


def check_id(id_: bytes) -> None:
    """``BadValue`` for what is not 16 bytes."""
    if len(id_) != _ID:
        raise BadValue(f"id={id_[:40]!r}: expected 16 bytes")


def check_ids(ids: Sequence[bytes]) -> None:
    """``check_id`` for each."""
    for id_ in ids:
        check_id(id_)


def check_name(text: str, name: str) -> None:
    """``check_text`` for what is in an index: not too long either."""
    check_text(text, name)
    if len(text) > LONGEST_NAME:
        raise BadValue(f"{name}={text[:40]!r}…: expected at most {LONGEST_NAME} characters")


def check_text(text: str, name: str) -> None:
    """``BadValue`` for a NUL or a lone surrogate: no place in a text of PostgreSQL's, none in UTF-8."""
    if not isinstance(text, str):
        raise BadValue(f"{name}={text!r}: expected a text")
    if not _holds(text):
        raise BadValue(f"{name}={text[:200]!r}: a NUL or a lone surrogate in it cannot be stored")


def check_number(number: int, name: str, least: int, most: int) -> None:
    """``BadValue`` for a number that does not fit."""
    if not least <= number <= most:
        # Not shown: one of over 4,300 digits has no repr.
        raise BadValue(f"{name}: expected a number from {least} to {most}")


def check_moment(number: int | None, name: str) -> None:
    """``check_number`` for milliseconds, if any."""
    check_number(number or 0, name, -_MOMENT, _MOMENT)


def check_worker(worker: int) -> None:
    """``BadValue`` for what is not a worker's number."""
    check_number(worker, "worker", -_BIG, _BIG - 1)


def check_pid(pid: int) -> None:
    """``BadValue`` for what is not a process's number."""
    check_number(pid, "pid", 0, _SMALL - 1)


def check_limit(limit: int) -> None:
    """``BadValue`` for what cannot be a number of rows."""
    check_number(limit, "limit", 0, _BIG - 1)


def check_most(most: int | None) -> None:
    """``BadValue`` for what cannot be how many jobs run at a time."""
    check_number(1 if most is None else most, "limit", 1, MOST_LIMIT)


def check_retention(retention: dict[str, int]) -> None:
    """``BadValue`` for an age or a count that makes no sense."""
    for name, value in retention.items():
        check_number(value, name, 0, _MOMENT)


def readable(text: str) -> str:
    """A text for people, made storable."""
    if not isinstance(text, str):
        raise BadValue(f"{text!r}: expected a text")
    return text if _holds(text) else clean(text, len(text) * 10)


@functools.lru_cache(1000)
def _names(text: str) -> bool:
    return len(text) <= LONGEST_NAME and _holds(text)


@functools.lru_cache(1000)
def _short_holds(text: str) -> bool:
    return _looked_through(text)


def _holds(text: str) -> bool:
    # Long ones are not kept in memory, and seldom come twice.
    return _short_holds(text) if len(text) <= LONGEST_NAME else _looked_through(text)


def _looked_through(text: str) -> bool:
    if "\0" in text:
        return False
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
