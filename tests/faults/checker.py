"""Three logs that know nothing of each other, compared: what the program was told, what the jobs' own
code wrote, what the store says. Rules in the words of the promises; each violation is one line."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from pathlib import Path

from sidework.job import JobRow
from sidework.state import FINAL


def acknowledged(path: Path) -> list[str]:
    """Ids that a producer was told are stored; a line cut off by its death does not count."""
    text = path.read_text() if path.exists() else ""
    return [line for line in text.split("\n")[:-1] if len(line) == 36]


def runs(path: Path) -> list[tuple[str, str, int]]:
    """("start" or "end", job id, fence) in the order written."""
    text = path.read_text() if path.exists() else ""
    split = [line.split() for line in text.split("\n")[:-1]]
    return [(what, job, int(fence)) for what, job, fence in split]


def violations(
    told: Iterable[str], ran: list[tuple[str, str, int]], rows: dict[str, JobRow], in_flight: int
) -> list[str]:
    """What does not fit; ``in_flight`` is how many jobs ran at the faults, all together."""
    found = []
    told = set(told)
    starts = Counter(job for what, job, _ in ran if what == "start")
    for job in told - set(rows):
        found.append(f"{job} was acknowledged and is not there")
    for job in set(starts) - set(rows):
        found.append(f"{job} ran and was never asked for")
    for job, row in rows.items():
        if row.state not in FINAL:
            found.append(f"{job} never ended: {row.state}")
        elif row.state == "completed" and not any(
            w == "end" and j == job for w, j, _ in ran if j == job
        ):
            found.append(f"{job} is completed and its code never came to its end")
    fences: dict[str, int] = {}
    for what, job, fence in ran:
        if what == "start":
            if fence <= fences.get(job, 0):
                found.append(f"{job} ran twice under fence {fence}")
            fences[job] = fence
    extra = sum(starts.values()) - len(starts)
    if extra > in_flight:
        found.append(f"{extra} extra runs, but only {in_flight} jobs were in flight at the faults")
    return found
