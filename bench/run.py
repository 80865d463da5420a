"""Measures what docs/benchmarks.md says, ours and peers in one run, and writes that page.

``python bench/run.py [--repeat N] [--quick] [--only NAME ...]``.
Rates are medians of the repeats, with least and most.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import shutil
import statistics
import tempfile
from datetime import UTC, datetime
from pathlib import Path

from measures import BENCHES, HERE, Run

PAGE = HERE.parent / "docs" / "benchmarks.md"

# What must be reached (DESIGN's budgets for SQLite); each with its sign.
TARGETS = {
    ("drain", "coroutines, 1 child"): (">=", 25_000),
    ("drain", "coroutines, 2 children"): (">=", 25_000),
    ("enqueue", "ratio to bare"): (">=", 0.8),
    ("enqueue", "64 callers, coroutines"): (">=", 40_000),
    ("enqueue", "64 callers, threads"): (">=", 40_000),
    ("bulk", "enqueue_many"): (">=", 80_000),
    ("bulk", "other writer's p99, ms"): ("<=", 20),
    ("latency", "pickup p50 less 2 commits, ms"): ("<=", 0.7),
    ("latency", "enqueue to result p50 less 3 commits, ms"): ("<=", 1.0),
    ("parallel", "2,000 sleeps of 100 ms, s"): ("<=", 0.35),
    ("parallel", "40 calculations of 100 ms, s"): ("<=", 2.15),
    ("parallel", "calculations, ratio to bare processes"): ("<=", 1.075),
    ("backlog", "ratio"): (">=", 0.9),
    ("weight", "import, ms"): ("<=", 150),
    ("weight", "start to first result, s"): ("<=", 0.6),
    ("weight", "worker and one child, MB"): ("<=", 70),
}


def number(value: float) -> str:
    return f"{value:,.0f}" if value >= 1000 else f"{value:.3g}"


def page(told: dict[str, dict[str, list[float]]], repeat: int) -> str:
    import apsw

    lines = [
        "# Benchmarks", "",
        f"Made by `./scripts/bench --repeat {repeat}` on {datetime.now(UTC):%Y-%m-%d}: "
        f"{os.cpu_count()} cores, "
        f"Python {platform.python_version()}, SQLite {apsw.sqlite_lib_version()}, {platform.system()} "
        f"{platform.release().split('-')[0]}. Medians of {repeat} runs, with the least and the most; "
        "rates are per second. "
        "Ours commits with `synchronous=FULL` and keeps history and results; the peers run as they come, "
        "litequeue and huey without a flush at each commit.", "",
    ]  # fmt: skip
    for name, rows in told.items():
        lines += [
            f"## {name}",
            "",
            "| what | median | least – most | must | |",
            "|---|---|---|---|---|",
        ]
        for what, values in rows.items():
            middle = statistics.median(values)
            sign, target = TARGETS.get((name, what), ("", 0.0))
            met = (
                "" if not sign else "met" if (middle >= target) == (sign == ">=") else "**missed**"
            )
            must = f"{sign} {number(target)}" if sign else ""
            spread = f"{number(min(values))} – {number(max(values))}"
            lines.append(f"| {what} | {number(middle)} | {spread} | {must} | {met} |")
        lines.append("")
    notes = HERE / "notes.md"
    return "\n".join(lines) + ("\n" + notes.read_text("utf-8") if notes.exists() else "")


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--repeat", type=int, default=5)
    parser.add_argument("--quick", action="store_true", help="tiny sizes, no page")
    parser.add_argument("--only", nargs="*", default=list(BENCHES), choices=list(BENCHES))
    given = parser.parse_args()
    told: dict[str, dict[str, list[float]]] = {name: {} for name in given.only}
    for turn in range(given.repeat):
        for name in given.only:
            folder = Path(tempfile.mkdtemp(prefix="sidework-bench-"))
            try:
                run = Run(folder, 0.02 if given.quick else 1.0)
                for what, value in BENCHES[name](run).items():
                    told[name].setdefault(what, []).append(value)
                    print(f"{turn + 1}/{given.repeat} {name}: {what}: {number(value)}", flush=True)
                run.app.close()
            finally:
                os.chdir(HERE)
                shutil.rmtree(folder, ignore_errors=True)
    if given.quick:
        return
    kept = HERE / "results.json"
    results = json.loads(kept.read_text()) if kept.exists() else {}
    results.update(told)
    kept.write_text(json.dumps(results, indent=1) + "\n")
    PAGE.write_text(
        page({name: results[name] for name in BENCHES if name in results}, given.repeat), "utf-8"
    )


if __name__ == "__main__":
    main()
