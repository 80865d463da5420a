"""Row 12: jobs under which their process dies."""

from __future__ import annotations

import contextlib
import os
import random
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from sidework.ids import id_text
from sidework.state import State

from . import checker
from .checker import Death
from .field import Field, Figures, until

JOBS_PER_POISON = 200
MOST_RUNS = 3
WORDS = ("--children", "2", "--threads", "4", "--concurrency", "10")
_CGROUPS = Path("/sys/fs/cgroup/memory")
_LIMIT = 192 * 2**20


def poison_jobs(folder: Path, size: int, seed: int) -> Figures:
    """Row 12: jobs that segfault, exit or run out of memory among others. ``size`` of them."""
    draw = random.Random(seed)
    with _memory_cgroup() as group, Field(folder) as field:
        ways = ["segfault", "exit", "no memory"]
        if group is not None:  # where there are none, the kernel kills nobody for its memory
            field.env["ROW_CGROUP"] = str(group)
            ways.append("killed for its memory")
        load = field.load
        bound = [
            draw.choice([load.work, load.coroutine]).bind(draw.randint(0, 5))
            for _ in range(size * (JOBS_PER_POISON - 1))
        ]
        bad_ones = {}
        for number in range(size):
            one = load.poison.bind(ways[number % len(ways)])
            bad_ones[id_text(one.job.id)] = ways[number % len(ways)]
            bound.insert(draw.randrange(len(bound)), one)
        told = field.enqueue(bound)
        worker = field.worker(*WORDS)
        until(
            lambda: field.counts() == {"completed": len(told) - size, "discarded": size},
            "the end of all jobs", 60 + 3 * size,
        )  # fmt: skip
        bad = field.stop(worker)  # it is still the one that was started
        ran, rows = checker.runs(folder / "runs.log"), field.rows()
        bad += field.app.store.check()
    # A poison dies at once, its process a moment after: what begins there in between dies with it.
    deaths = [
        Death(run.pid, run.began, run.began + 5_000_000_000) for run in ran if run.job in bad_ones
    ]
    bad += checker.violations(told, ran, rows, deaths=deaths, asked=told)
    times = Counter(run.job for run in ran)
    for job, row in rows.items():
        if job in bad_ones:
            if row.state is not State.DISCARDED or not 1 <= times[job] <= MOST_RUNS:
                bad.append(f"{job} ({bad_ones[job]}) ran {times[job]} times and is {row.state}")
        elif times[job] > 2:
            bad.append(f"{job}, a neighbour, ran {times[job]} times")
    return {
        "jobs": len(told), "landed": len(deaths), "poison jobs": size,
        **{way: sum(1 for other in bad_ones.values() if other == way) for way in ways},
        "neighbours run again": sum(times[job] - 1 for job in rows if job not in bad_ones),
        "bad": bad,
    }  # fmt: skip


@contextlib.contextmanager
def _memory_cgroup() -> Iterator[Path | None]:
    """A memory cgroup with a limit, for a process to move into; ``None`` where none can be made."""
    group = _CGROUPS / f"sidework-row-12-{os.getpid()}"
    try:
        group.mkdir()
        (group / "memory.limit_in_bytes").write_text(str(_LIMIT))
        # The kernel's choice is among the group's members, and it is not to be put off by swap.
        (group / "memory.swappiness").write_text("0")
    except OSError:
        with contextlib.suppress(OSError):
            group.rmdir()
        yield None
        return
    try:
        yield group
    finally:
        with contextlib.suppress(TimeoutError):
            until(lambda: not (group / "cgroup.procs").read_text(), "the group's end", 5)
        with contextlib.suppress(OSError):
            group.rmdir()
