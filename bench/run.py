"""Measures what the pages docs/benchmarks*.md say, ours and peers in one run, and writes the page.

``python bench/run.py [--engine sqlite|postgres|peers] [--repeat N] [--quick] [--only MEASURE …]
[--peers NAME …]``.
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
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
DOCS = HERE.parent / "docs"
Told = dict[str, dict[str, list[float]]]
Targets = dict[tuple[str, str], tuple[str, float]]

# What must be reached (DESIGN's budgets); each with its sign.
BOTH = {
    ("enqueue", "ratio to bare"): (">=", 0.8),
    ("bulk", "enqueue_many"): (">=", 80_000),
    ("bulk", "other writer's p99, ms"): ("<=", 20),
    ("latency", "pickup p50 less 2 commits, ms"): ("<=", 0.7),
    ("parallel", "2,000 sleeps of 100 ms, s"): ("<=", 0.35),
    ("parallel", "40 calculations of 100 ms, s"): ("<=", 2.15),
    ("parallel", "calculations, ratio to bare processes"): ("<=", 1.075),
    ("backlog", "ratio"): (">=", 0.9),
    ("weight", "start to first result, s"): ("<=", 0.6),
    ("weight", "worker and one child, MB"): ("<=", 70),
}
SQLITE = BOTH | {
    ("drain", "coroutines, 1 child"): (">=", 25_000),
    ("drain", "coroutines, 2 children"): (">=", 25_000),
    ("enqueue", "64 callers, coroutines"): (">=", 40_000),
    ("enqueue", "64 callers, threads"): (">=", 40_000),
    ("latency", "enqueue to result p50 less 3 commits, ms"): ("<=", 1.0),
    ("weight", "import, ms"): ("<=", 150),
}
POSTGRES = BOTH | {
    ("drain", "coroutines, 1 child"): (">=", 12_000),
    ("drain", "coroutines, 2 children"): (">=", 12_000),
    ("drain", "ours against the fastest peer"): (">=", 2.0),
    ("enqueue", "64 callers, coroutines"): (">=", 15_000),
    ("enqueue", "64 callers, threads"): (">=", 15_000),
    ("weight", "connections of the worker"): ("<=", 3),
}


@dataclass
class Engine:
    """``measure`` runs one bench once, in a folder of its own."""

    title: str
    page: Path
    kept: Path
    notes: Path
    names: list[str]
    measure: Callable[[str, Path], dict[str, float]]
    introduction: Callable[[int], list[str]]
    tables: Callable[[Told], Iterator[str]]
    part: bool = False
    """Too little for a page."""
    together: Callable[[list[str]], Iterator[tuple[str, dict[str, float]]]] | None = None
    """What is measured of several at a time, after each turn."""


def number(value: float) -> str:
    return f"{value:,.0f}" if value >= 1000 else f"{value:.3g}"


def machine() -> str:
    return (
        f"{os.cpu_count()} cores, Python {platform.python_version()}, {platform.system()} "
        f"{platform.release().split('-')[0]}"
    )


def tables(told: Told, targets: Targets) -> Iterator[str]:
    for name, rows in told.items():
        yield from (
            f"## {name}",
            "",
            "| what | median | least – most | must | |",
            "|---|---|---|---|---|",
        )
        for what, values in rows.items():
            middle = statistics.median(values)
            sign, target = targets.get((name, what), ("", 0.0))
            reached = middle >= target if sign == ">=" else middle <= target
            met = "" if not sign else "met" if reached else "**missed**"
            must = f"{sign} {number(target)}" if sign else ""
            spread = f"{number(min(values))} – {number(max(values))}"
            yield f"| {what} | {number(middle)} | {spread} | {must} | {met} |"
        yield ""


def sqlite(given: argparse.Namespace, _stack: ExitStack) -> Engine:
    from measures import BENCHES, Run

    def measure(name: str, folder: Path) -> dict[str, float]:
        run = Run(folder, 0.02 if given.quick else 1.0)
        try:
            return BENCHES[name](run)
        finally:
            run.app.close()

    def introduction(repeat: int) -> list[str]:
        import apsw

        return [
            f"Made by `./scripts/bench --repeat {repeat}` on {datetime.now(UTC):%Y-%m-%d}: {machine()}, "
            f"SQLite {apsw.sqlite_lib_version()}. Medians of {repeat} runs, with the least and the most; "
            "rates are per second. "
            "Ours commits with `synchronous=FULL` and keeps history and results. Beside its peers, in one "
            "table: [benchmarks-peers.md](benchmarks-peers.md). On PostgreSQL: "
            "[benchmarks-postgres.md](benchmarks-postgres.md). Which of the two: "
            "[leaving-sqlite.md](leaving-sqlite.md).", "",
        ]  # fmt: skip

    return Engine(
        "Benchmarks", DOCS / "benchmarks.md", HERE / "results.json", HERE / "notes.md",
        list(BENCHES), measure, introduction, lambda told: tables(told, SQLITE),
    )  # fmt: skip


def postgres(given: argparse.Namespace, stack: ExitStack) -> Engine:
    from peers import ON_POSTGRESQL
    from rivals import Failed, Rival
    from server import SETTINGS, databases

    from postgres import BENCHES, Bench

    failures: dict[str, str] = {}
    rivals: list[Rival] = []
    for peer in ON_POSTGRESQL:
        if given.peers is not None and peer.name not in given.peers:
            continue
        try:
            rivals.append(Rival(peer))
        except Failed as why:
            failures[f"{peer.name}: install"] = str(why)
    served = stack.enter_context(databases())

    def measure(name: str, folder: Path) -> dict[str, float]:
        return BENCHES[name](Bench(served, rivals, 0.02 if given.quick else 1.0, failures, folder))

    def introduction(repeat: int) -> list[str]:
        import psycopg

        shown = ", ".join(f"`{name}={value}`" for name, value in SETTINGS.items())
        lines = [
            f"Made by `./scripts/bench --engine postgres --repeat {repeat}` on "
            f"{datetime.now(UTC):%Y-%m-%d}: {machine()}, PostgreSQL {served.version} on the same cores "
            f"over a Unix socket, psycopg {psycopg.__version__}. The server is durable and has its "
            f"default settings but for {shown}. Medians of {repeat} runs, with the least and the most; "
            "rates are per second. Ours keeps history and results. Every peer ran on the same server in "
            "the same run, in an environment of its own, with the settings its documentation recommends "
            "for speed (`bench/rival/`); a job is done when the database "
            "says so (awa: when its function has ended). On SQLite: [benchmarks.md](benchmarks.md).", "",
            "| peer | version | of a job that is done |", "|---|---|---|",
        ]  # fmt: skip
        lines += [f"| {one.peer.name} | {one.version} | {one.peer.keeps} |" for one in rivals]
        lines += [""]
        if failures:
            lines += ["What could not be measured in this run:", ""]
            lines += [f"- {what}: `{why}`" for what, why in failures.items()]
            lines += [""]
        return lines

    return Engine(
        "Benchmarks on PostgreSQL", DOCS / "benchmarks-postgres.md", HERE / "results-postgres.json",
        HERE / "notes-postgres.md", list(BENCHES), measure, introduction, lambda told: tables(told, POSTGRES),
    )  # fmt: skip


def peers(given: argparse.Namespace, stack: ExitStack) -> Engine:
    import beside

    folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="sidework-bench-")))
    places = beside.Places(stack, folder)
    all_of_it = beside.Beside(places, 0.05 if given.quick else 1.0, given.peers)

    def introduction(repeat: int) -> list[str]:
        lines = [
            f"Made by `./scripts/bench --engine peers --repeat {repeat}` on {datetime.now(UTC):%Y-%m-%d}: "
            f"{machine()}, with a load of {os.getloadavg()[2]:.1f} in its last quarter of an hour. "
            f"{' '.join(places.servers())} The same work on the same machine in the same run; every peer "
            "in an environment of its own (`bench/rival/`), two worker processes. Medians of the runs, "
            "which take turns; each value is in `bench/results-peers.json`. –: not measured, or no results.",
            "",
        ]  # fmt: skip
        if repeat == 0:
            lines += [
                "**No figures yet**: the command above with `--repeat 3` writes them here.",
                "",
            ]
        return lines

    return Engine(
        "Beside its peers", DOCS / "benchmarks-peers.md", HERE / "results-peers.json",
        HERE / "notes-peers.md", list(all_of_it.rivals), lambda label, _: all_of_it.measure(label),
        introduction, lambda told: beside.tables(told, all_of_it),
        given.peers is not None or given.only is not None, all_of_it.killed,
    )  # fmt: skip


def measured(engine: Engine, names: list[str], repeat: int) -> Iterator[Told]:
    """All values so far, after each turn: what is cut off loses no more than its last one."""
    told: Told = {name: {} for name in names}

    def keep(turn: int, name: str, figures: dict[str, float]) -> None:
        for what, value in figures.items():
            told[name].setdefault(what, []).append(value)
            print(f"{turn + 1}/{repeat} {name}: {what}: {number(value)}", flush=True)

    for turn in range(repeat):
        for name in names:
            folder = Path(tempfile.mkdtemp(prefix="sidework-bench-"))
            try:
                keep(turn, name, engine.measure(name, folder))
            finally:
                os.chdir(HERE)
                shutil.rmtree(folder, ignore_errors=True)
        for name, figures in () if engine.together is None else engine.together(names):
            keep(turn, name, figures)
        yield told
    if not repeat:
        yield told


def write(engine: Engine, told: Told, repeat: int) -> None:
    results = json.loads(engine.kept.read_text()) if engine.kept.exists() else {}
    results.update(told)
    engine.kept.write_text(json.dumps(results, indent=1) + "\n")
    lines = [f"# {engine.title}", "", *engine.introduction(repeat)]
    ordered = {name: results[name] for name in engine.names if name in results}
    lines += engine.tables(ordered)
    notes = engine.notes.read_text("utf-8") if engine.notes.exists() else ""
    engine.page.write_text("\n".join(lines) + "\n" + notes, "utf-8")


ENGINES: dict[str, Any] = {"sqlite": sqlite, "postgres": postgres, "peers": peers}


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--engine", choices=list(ENGINES), default="sqlite")
    parser.add_argument("--repeat", type=int, default=5)
    parser.add_argument("--quick", action="store_true", help="tiny sizes, no page")
    parser.add_argument("--only", nargs="*", help="these measures alone")
    parser.add_argument("--peers", nargs="*", help="these peers alone")
    given = parser.parse_args()
    with ExitStack() as stack:
        engine: Engine = ENGINES[given.engine](given, stack)
        names = engine.names if given.only is None else given.only
        if unknown := set(names) - set(engine.names):
            parser.error(f"{', '.join(unknown)}: expected some of {', '.join(engine.names)}")
        for turn, told in enumerate(measured(engine, names, given.repeat), 1):
            if not (given.quick or engine.part):
                write(engine, told, min(turn, given.repeat))


if __name__ == "__main__":
    main()
