"""``scripts/prove``: repeats a row in rounds, keeps the figures after each, writes the page."""

from __future__ import annotations

import argparse
import json
import shutil
import sys
import tempfile
import traceback
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from statistics import median
from typing import Any

from .field import Figures
from .planted import BUGS, caught
from .rows import ROWS

ROOT = Path(__file__).parents[2]
KEPT = ROOT / "docs" / "reliability.json"
PAGE = ROOT / "docs" / "reliability.md"
_ROUND = {
    1: 50, 2: 32, 3: 34, 4: 50, 5: 1000, 6: 10, 7: 100, 8: 10, 9: 40, 10: 60, 11: 40, 12: 10, 13: 40,
    14: 10, 16: 6, 17: 60, 18: 500, 19: 250, 20: 50, 21: 10_000_000, 22: 600, 23: 100, 24: 1000, 25: 50,
    26: 10_000, 27: 100, 28: 2000, 29: 50, 31: 200, 32: 4, 34: 50, 35: 25, 36: 5,
}  # fmt: skip
"""Size of one round: after each the figures are kept, so that a cut run goes on."""

_COUNTED = {
    5: "jobs", 12: "poison jobs", 17: "seconds", 21: "jobs", 22: "seconds", 23: "jobs each",
    24: "jobs", 25: "zones", 26: "jobs each",
    27: "examples", 36: "fans",
}  # fmt: skip
"""What a row's size counts, where it is not the faults that landed."""


def main() -> int:
    """0 when nothing was wrong."""
    parser = argparse.ArgumentParser(prog="scripts/prove")
    parser.add_argument("row", type=int, choices=[*ROWS, 33])
    parser.add_argument("--size", type=int, default=0, help="how many faults, by default all")
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    kept = json.loads(KEPT.read_text()) if KEPT.exists() else {}
    if given.row == 33:
        return _planted(kept)
    run, _, full, _ = ROWS[given.row]
    told = kept.setdefault(str(given.row), {"rounds": [], "bad": []})
    wanted = given.size or full
    seed = given.seed + len(told["rounds"])
    while sum(_size(one, given.row) for one in told["rounds"]) < wanted and not told["bad"]:
        one = _one(run, min(_ROUND[given.row], wanted), seed)
        told["bad"] += one.pop("bad")
        if one:
            told["rounds"].append({**one, "seed": seed})
        seed += 1
        told["date"] = f"{datetime.now(UTC):%Y-%m-%d}"
        _keep(kept)
        print(one, told["bad"] or "nothing wrong", flush=True)
    return 1 if told["bad"] else 0


def _one(run: Callable[[Path, int, int], Figures], size: int, seed: int) -> Figures:
    """One round; its folder is kept for a look when something was wrong."""
    folder = Path(tempfile.mkdtemp(prefix="sidework-prove-"))
    try:
        one = run(folder, size, seed)
    except Exception as error:  # noqa: BLE001 - a round that cannot end is wrong as well
        traceback.print_exc()
        one = {"bad": [f"seed {seed}: {type(error).__name__}: {error}"]}
    if one["bad"]:
        print(f"the round's folder: {folder}", flush=True)
    else:
        shutil.rmtree(folder)
    return one


def _size(one: dict[str, Any], row: int) -> int:
    """How much of the wanted size a round has brought: mostly the faults that landed."""
    return int(one[_COUNTED.get(row, "landed")])


def _planted(kept: dict[str, Any]) -> int:
    told = kept.setdefault("33", {"caught": {}})
    told["date"] = f"{datetime.now(UTC):%Y-%m-%d}"
    # What was found of bugs that are planted no more counts no more.
    names = {bug.name for bug in BUGS}
    told["caught"] = {name: by for name, by in told["caught"].items() if name in names}
    with tempfile.TemporaryDirectory() as folder:
        if by := caught(None, Path(folder)):
            print(f"fails without any bug, so that nothing else counts: {by}")
            return 1
    for bug in BUGS:
        if told["caught"].get(bug.name):
            continue
        with tempfile.TemporaryDirectory() as folder:
            told["caught"][bug.name] = caught(bug, Path(folder))
        print(f"{bug.name}: {told['caught'][bug.name] or 'NOT CAUGHT'}", flush=True)
        _keep(kept)
    return 0 if all(told["caught"].values()) else 1


def _keep(kept: dict[str, Any]) -> None:
    KEPT.write_text(json.dumps(kept, indent=1) + "\n")
    lines = [
        "# Reliability", "",
        "What was broken on purpose, how often, and what came of it. Three logs that know nothing "
        "of each other are compared: what the program was told, what the jobs' own code wrote, "
        "what the store says "
        "(`tests/faults/checker.py`). Of several rounds, p50 is their median and p99 the worst one's. "
        "Made by `scripts/prove ROW`, which can be cut "
        "and called again; a short run of each row is in the tests.", "",
        "| row | what | reached | wrong | to reach | on |", "|---|---|---|---|---|---|",
    ]  # fmt: skip
    for row, (run, _, _, goal) in ROWS.items():
        told = kept.get(str(row))
        # One line of the table, however the docstring is wrapped: its first sentence.
        words = " ".join((run.__doc__ or "").split())
        what = words.split(": ", 1)[1].split(". ")[0].rstrip(".")
        if told is None or not told["rounds"]:
            lines.append(f"| {row} | {what} | not run | | {goal} | |")
            continue
        lines.append(
            f"| {row} | {what} | {_sum(told['rounds'])} | {len(told['bad'])} | {goal} | {told['date']} |"
        )
    told = kept.get("33")
    if told is not None:
        found = sum(bool(by) for by in told["caught"].values())
        lines.append(
            f"| 33 | bugs planted in the source | {found} of {len(BUGS)} caught | "
            f"{len(told['caught']) - found} | all | {told['date']} |"
        )
    notes = Path(__file__).parent / "notes.md"
    PAGE.write_text("\n".join(lines) + "\n\n" + notes.read_text("utf-8"), "utf-8")


def _sum(rounds: list[dict[str, Any]]) -> str:
    told = []
    for name in dict.fromkeys(name for one in rounds for name in one):
        values = [one[name] for one in rounds if name in one]
        if name == "seed":
            continue
        if isinstance(values[0], list):  # one for each of several: the worst of each
            told.append(
                f"{name} {' and '.join(f'{max(each):g}' for each in zip(*values, strict=True))}"
            )
        elif name.startswith("min/"):
            told.append(f"{name} {min(values)}")
        elif "p50" in name:
            told.append(f"{name} {round(median(values), 3):g}")
        elif any(word in name for word in ("p99", "longest")):
            told.append(f"{name} {max(values)}")
        else:
            told.append(f"{sum(values):,} {name}")
    return ", ".join(told)


if __name__ == "__main__":
    sys.exit(main())
