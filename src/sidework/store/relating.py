"""Jobs that wait for jobs, as they are handed over: which of their inputs they still wait for, and what no
store takes, a wait for a job that is not there or for one another."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from msgspec.structs import replace

from ..errors import BadValue, JobConflict, JobNotFound
from ..ids import id_text
from ..job import CALL, Edge, Inserted, NewJob
from ..state import State

Ends = Mapping[bytes, tuple[State, bool]]
"""Jobs that are there: their state, and whether they are final."""


def related(jobs: Sequence[NewJob]) -> bool:
    """Whether any of them waits for another job, or has callbacks."""
    return any(job.parents or job.callbacks is not None for job in jobs)


def parents_of(jobs: Sequence[NewJob]) -> list[bytes]:
    """Whom they wait for, but for one another; ``BadValue`` when they wait in a circle."""
    within = {job.id: job for job in jobs}
    _refuse_circles(within)
    outside = {one for job in jobs for one in job.parents if one not in within}
    return sorted(outside)


def edges_of(jobs: Sequence[NewJob], ends: Ends) -> list[list[Edge]]:
    """For each job its edges; those to jobs that have ended well are done. ``JobNotFound`` for a wait that
    would have no end."""
    within = {job.id for job in jobs}
    edges: list[list[Edge]] = []
    for job in jobs:
        of_job = []
        for parent in dict.fromkeys(job.parents):
            if parent not in within and parent not in ends:
                raise JobNotFound(
                    f"there is no job {id_text(parent)} that {id_text(job.id)} ({job.task}) could wait "
                    "for: it was deleted or pruned, or is to be enqueued first; nothing is stored"
                )
            state, final = ends.get(parent, (State.BLOCKED, False))
            # One that failed is left open: its follow-up cancels what waits, or counts it.
            over = final and (state is State.COMPLETED or job.policy == "continue")
            of_job.append(Edge(parent, job.id, job.policy, over and parent not in within))
        if job.callbacks is not None:
            of_job.append(Edge(job.id, job.id, CALL))
        edges.append(of_job)
    return edges


def with_pending(jobs: Sequence[NewJob], edges: Sequence[Sequence[Edge]]) -> list[NewJob]:
    """The jobs, each with how many inputs it waits for by its edges."""
    return [
        replace(job, pending=sum(not one.done and one.policy != CALL for one in its))
        for job, its in zip(jobs, edges, strict=True)
    ]


def conflict(job_id: bytes) -> JobConflict:
    """What says that an id is taken."""
    return JobConflict(
        f"job {id_text(job_id)} exists with another task, other arguments or other inputs: "
        "an id names one job for ever"
    )


def refuse_parts(jobs: Sequence[NewJob], told: Sequence[Inserted]) -> None:
    """``JobConflict`` when the id of one is taken, or one waits for another of them that was not stored."""
    for one in told:
        if one.verdict == "conflict":
            raise conflict(one.id)
    verdicts = {job.id: one.verdict for job, one in zip(jobs, told, strict=True)}
    for job in jobs:
        for parent in job.parents:
            if verdicts.get(parent) == "unique":
                raise JobConflict(
                    f"job {id_text(job.id)} ({job.task}) would wait for job {id_text(parent)}, which is not "
                    "stored, since another holds its unique key"
                )


def _refuse_circles(jobs: Mapping[bytes, NewJob]) -> None:
    seen: set[bytes] = set()
    for start in jobs:
        # Depth first without recursion; on the way are those whose inputs are being looked at.
        way: dict[bytes, list[bytes]] = {}
        ahead = [start]
        while ahead:
            job_id = ahead[-1]
            if job_id in seen or job_id not in jobs:
                ahead.pop()
                continue
            if job_id not in way:
                way[job_id] = [one for one in jobs[job_id].parents if one in jobs]
            if not way[job_id]:
                seen.add(job_id)
                del way[job_id]
                ahead.pop()
                continue
            parent = way[job_id].pop()
            if parent in way:
                raise BadValue(
                    f"job {id_text(job_id)} ({jobs[job_id].task}) would wait for itself, by way of its "
                    f"input {id_text(parent)}: nothing is stored"
                )
            ahead.append(parent)
