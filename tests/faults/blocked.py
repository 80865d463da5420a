"""Row 10: a child in which nothing else runs, while its worker lives."""

from __future__ import annotations

from pathlib import Path

from . import checker
from .checker import Run
from .field import Field, Figures, until
from .said import Said

SECONDS = 3
"""How long each is blocked: six looks of whoever rescues, and three times the time to warn."""

WARNED_WITHIN = 1.0
WORDS = ("--children", "4", "--threads", "1", "--concurrency", "1")


def blocked_children(folder: Path, size: int, seed: int) -> Figures:
    """Row 10: blocked event loops and held GILs, 3 s each; nothing runs twice, all are told: loops with
    their stacks, GILs with their jobs. Two of three of ``size`` are loops."""
    held = max(1, size // 3)
    with (
        Field(folder) as field,
        Said(folder / "loops.log") as of_loops,
        Said(folder / "gils.log") as of_gils,
    ):
        # One worker each: in a child with both, the GIL would keep the loop's warning from being said.
        workers = [
            field.worker(*WORDS, "--queues", name, log=folder / f"{name}.log")
            for name in ("loops", "gils")
        ]
        field.ready(*workers)
        block = field.load.block_loop.options(queue_name="loops")
        hold = field.load.hold_gil.options(queue_name="gils")
        loops = field.enqueue([block.bind(SECONDS) for _ in range(max(1, size - held))])
        gils = field.enqueue([hold.bind(SECONDS) for _ in range(held)])
        told = loops + gils
        until(lambda: field.counts() == {"completed": len(told)}, "their end", 60 + SECONDS * size)
        bad = field.stop(*workers)
        ran, rows = checker.runs(folder / "runs.log"), field.rows()
    bad += checker.violations(told, ran, rows, deaths=[], in_flight=0, asked=told)
    bad += [f"{job} crashed {row.crashes} times" for job, row in rows.items() if row.crashes]
    landed = [run for run in ran if run.ended and run.ended - run.began >= SECONDS * 0.99e9]
    late: dict[str, list[float]] = {"loop": [], "GIL": []}
    for run in sorted(landed, key=lambda run: run.began):
        child = rf"\(pid {run.pid}\)"
        if run.job in loops:
            # The warning and its stack are one entry of the log.
            entry = of_loops.find(
                rf"{child}: the event loop is blocked(?:(?! WARNING ).|\n)*?block_loop"
            )
            late["loop"] += _first(run, [at for at, _ in entry], bad, "not said to be blocked")
        else:
            entry = of_gils.find(rf"{child} has not answered for \S+: its GIL is held.*{run.job}")
            late["GIL"] += _first(run, [at for at, _ in entry], bad, "not said to be held")
    shown = of_gils.find(r"no other Python code ran(?:(?! WARNING ).|\n)*?hold_gil")
    for what, values in late.items():
        if values and max(values) > WARNED_WITHIN:
            bad.append(f"{what}: told after {max(values):.2f} s")
    return {
        "blocked loops": len(loops), "held GILs": len(gils), "landed": len(landed),
        **{f"longest until told, {what}, s": round(max(values, default=0), 2)
           for what, values in late.items()},
        "stacks of GILs, once let go": len(shown),
        "bad": bad,
    }  # fmt: skip


def _first(run: Run, times: list[int], bad: list[str], missing: str) -> list[float]:
    """Seconds from the run's beginning to the first of the times that fall into it, which is used up."""
    fit = [at for at in times if run.began <= at <= (run.ended or 0)]
    if not fit:
        bad.append(f"{run.job}: {missing}")
        return []
    times.remove(fit[0])
    return [(fit[0] - run.began) / 1e9]
