"""Three logs that know nothing of each other, compared: what the program was told, what the jobs' own
code wrote, what the store says. Each rule is a function in the words of the promises, each violation
one line; ``test_checker.py`` shows every rule catch what it is for.

Times are nanoseconds of the monotonic clock, which all processes of a machine share on Linux.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby, pairwise
from pathlib import Path

from sidework.job import JobRow
from sidework.state import FINAL, State


@dataclass(frozen=True)
class Run:
    """One run of a job's code. ``parent`` is the worker of the child ``pid``; ``ended`` is ``None``
    when its code did not come to its end."""

    job: str
    fence: int
    pid: int
    parent: int
    began: int
    ended: int | None = None


@dataclass(frozen=True)
class Death:
    """A process that was killed, or killed itself: at ``at`` it still lived, at ``by`` it was gone,
    and with it all its children (a worker's outlive it by some milliseconds)."""

    pid: int
    at: int
    by: int


def acknowledged(path: Path) -> list[str]:
    """Ids that a producer was told are stored; a line cut off by its death does not count."""
    text = path.read_text() if path.exists() else ""
    return [line for line in text.split("\n")[:-1] if len(line) == 36]


def runs(path: Path) -> list[Run]:
    """The runs that the jobs' own code told of, as they began.

    Raises ``ValueError`` for an end without a beginning: then the log itself is not to be trusted.
    """
    text = path.read_text() if path.exists() else ""
    found: list[Run] = []
    open_at: dict[tuple[str, int, int], int] = {}
    for line in text.split("\n")[:-1]:
        what, job, fence, pid, parent, at = line.split()
        key = (job, int(fence), int(pid))
        if what == "start":
            open_at[key] = len(found)
            found.append(Run(job, int(fence), int(pid), int(parent), int(at)))
            continue
        if key not in open_at:
            raise ValueError(f"the log of runs has an end without a beginning: {line}")
        begun = found[position := open_at.pop(key)]
        found[position] = Run(*key, begun.parent, begun.began, int(at))
    return sorted(found, key=lambda run: run.began)


def violations(
    told: Iterable[str],
    ran: Sequence[Run],
    rows: Mapping[str, JobRow],
    *,
    deaths: Sequence[Death] | None = None,
    in_flight: int | None = None,
    asked: Iterable[str] | None = None,
    lost: Mapping[tuple[str, int], int] | None = None,
    seen: Iterable[tuple[str, State, int]] = (),
) -> list[str]:
    """What does not fit, by every rule for which there is a log.

    ``deaths``: all processes that died by a fault, when the harness knows them. ``in_flight``: how
    many jobs ran at the faults, all together. ``asked``: ids that the program handed over, whether
    or not it was told that they are stored. ``lost``: since when a claim (job, fence) was known to
    be lost. ``seen``: final states read on the way, as (job, state, fence).
    """
    found = [
        *missing(told, rows),
        *unasked(ran, rows, asked),
        *unended(ran, rows),
        *changed(seen, rows),
        *fences(ran),
        *overlaps(ran, deaths, lost or {}),
        *overspent(rows),
    ]
    if deaths is not None:
        found += unexplained(ran, deaths)
    if in_flight is not None:
        found += extra(ran, in_flight)
    return found


def missing(told: Iterable[str], rows: Mapping[str, JobRow]) -> Iterator[str]:
    """Nothing acknowledged is missing."""
    for job in sorted(set(told) - set(rows)):
        yield f"{job} was acknowledged and is not there"


def unasked(
    ran: Iterable[Run], rows: Mapping[str, JobRow], asked: Iterable[str] | None
) -> Iterator[str]:
    """Nothing ran, and nothing is stored, that was not asked for."""
    for job in sorted({run.job for run in ran} - set(rows)):
        yield f"{job} ran and was never asked for"
    if asked is not None:
        for job in sorted(set(rows) - set(asked)):
            yield f"{job} is stored and was never asked for"


def unended(ran: Iterable[Run], rows: Mapping[str, JobRow]) -> Iterator[str]:
    """Each job has a final state; a completed one has its end in the log, under the claim whose
    result stands (landing moves the fence by one: it is the claim before)."""
    ends = {(run.job, run.fence) for run in ran if run.ended is not None}
    for job, row in rows.items():
        if row.state not in FINAL:
            yield f"{job} never ended: {row.state}"
        elif row.state is State.COMPLETED and (job, row.fence - 1) not in ends:
            yield f"{job} is completed and its code never came to its end under that claim"


def changed(seen: Iterable[tuple[str, State, int]], rows: Mapping[str, JobRow]) -> Iterator[str]:
    """A final state is final."""
    for job, state, fence in seen:
        row = rows.get(job)
        if row is None or (row.state, row.fence) != (state, fence):
            now = "gone" if row is None else f"{row.state} with fence {row.fence}"
            yield f"{job} had ended as {state} with fence {fence} and is {now}"


def fences(ran: Sequence[Run]) -> Iterator[str]:
    """The fences of a job's runs strictly grow."""
    for job, several in _by_job(ran):
        for first, second in pairwise(several):
            if second.fence == first.fence:
                yield f"{job} ran twice under fence {first.fence}"
            elif second.fence < first.fence:
                yield f"{job} ran under fence {second.fence} after fence {first.fence}"


def overlaps(
    ran: Sequence[Run], deaths: Sequence[Death] | None, lost: Mapping[tuple[str, int], int]
) -> Iterator[str]:
    """Two runs of one job overlap only when the first had lost its claim.

    A run without an end lived at least until its process was killed; if that never happened, for
    ever. Without a log of deaths only runs with an end can be judged. Between ``at`` and ``by`` the
    doubt is for the product: the harness may see a death later than who rescues.
    """
    for job, several in _by_job(ran):
        for position, first in enumerate(several[:-1]):
            until = first.ended
            if until is None:
                if deaths is None:
                    continue
                death = _death(first, deaths)
                until = None if death is None else max(death.at, first.began)
            for second in several[position + 1 :]:
                gone = lost.get((job, first.fence))
                if (until is None or second.began < until) and (
                    gone is None or second.began < gone
                ):
                    yield (
                        f"{job} ran under fences {first.fence} and {second.fence} at once, "
                        "and the first had not lost its claim"
                    )


def overspent(rows: Mapping[str, JobRow]) -> Iterator[str]:
    """No job has more attempts than it was given (promise I5)."""
    for job, row in rows.items():
        if not 0 <= row.attempt <= row.max_attempts:
            yield f"{job} has {row.attempt} attempts of {row.max_attempts}"


def unexplained(ran: Sequence[Run], deaths: Sequence[Death]) -> Iterator[str]:
    """A job runs again only because the process of the run before, or its worker, died in between."""
    for job, several in _by_job(ran):
        for first, second in pairwise(several):
            death = _death(first, deaths)
            if death is None or death.at > second.began:
                yield f"{job} ran again under fence {second.fence} without a fault of its first run"


def extra(ran: Sequence[Run], in_flight: int) -> Iterator[str]:
    """There are no more extra runs than jobs in flight at the faults."""
    count = len(ran) - len({run.job for run in ran})
    if count > in_flight:
        yield f"{count} extra runs, but only {in_flight} jobs were in flight at the faults"


def _by_job(ran: Sequence[Run]) -> Iterator[tuple[str, list[Run]]]:
    for job, several in groupby(sorted(ran, key=lambda run: (run.job, run.began)), _job):
        yield job, list(several)


def _job(run: Run) -> str:
    return run.job


def _death(run: Run, deaths: Sequence[Death]) -> Death | None:
    """The first death, since the run began, of its process or of the worker that process dies with."""
    fit = (one for one in deaths if one.pid in (run.pid, run.parent) and one.by >= run.began)
    return min(fit, key=lambda one: one.at, default=None)
