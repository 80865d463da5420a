"""Row 18: the power is cut. One record of what a store did to its disk, many moments to cut it at."""

from __future__ import annotations

import random
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import apsw

from sidework.errors import StoreError
from sidework.store.sqlite.engine import SqliteStore

from .disk import Event, Mark
from .pair import FAULTS, SYNCS, Pair, some_fault
from .platter import Platter
from .traffic import State, fill, wrong

STEPS = 120
"""Verbs of one record: some 1,500 operations of the disk."""

CUTS = 250
"""Moments at which one record is cut; the next record starts from what the last cut left."""


class Record(NamedTuple):
    """What was on the disk, what was done to it, and what the store held at each mark."""

    files: Mapping[str, bytes]
    events: list[Event]
    states: list[State]
    quiet: list[int]
    """Marks after which the log had been brought into the file: nothing acknowledged hangs on it."""
    bad: list[str]


def record(
    folder: Path, files: Mapping[str, bytes], seed: int, *, steps: int = STEPS, faults: float = 0
) -> Record:
    """Drive a store for some steps on a disk that holds the files; ``faults`` of them meet a fault."""
    pair = Pair(folder, files, seed)
    draw = random.Random(seed)
    reader: apsw.Connection | None = None
    try:
        for _ in range(steps):
            pair.step(
                some_fault(draw, draw.choice([FAULTS, SYNCS])) if draw.random() < faults else None
            )
            # A reader that stays pins the log: a checkpoint then ends half way and cannot reset it.
            if draw.random() < 0.1 and pair.fault is None:
                if reader is None:
                    reader = apsw.Connection(pair.path)
                    reader.execute("BEGIN; SELECT count(*) FROM jobs").fetchall()
                else:
                    reader.close()
                    reader = None
    finally:
        if reader is not None:
            reader.close()
        pair.close()
    return Record(files, pair.disk.events, pair.states, pair.quiet, pair.bad)


def cut(
    told: Record, folder: Path, count: int, seed: int, *, honest: bool = True
) -> tuple[dict[str, Any], Mapping[str, bytes]]:
    """Cut the power at ``count`` moments of the record: the figures, and what the last cut left."""
    draw = random.Random(seed)
    platter = Platter(told.files, draw)
    platter.honest = honest
    moments = sorted(draw.choices(range(len(told.events)), k=count))
    figures: dict[str, Any] = {"cuts": 0, "landed": 0, "lost": 0, "corrupt": 0, "bad": []}
    mark, files = -1, told.files
    for number, event in enumerate(told.events):
        while moments and moments[0] == number:
            moments.pop(0)
            files = platter.image(draw)
            allowed = told.states[max(mark, 0) : mark + 2]
            figures["cuts"] += 1
            figures["landed"] += bool(platter.loose or (mark >= 0 and mark not in told.quiet))
            found, kind = _look(folder, files, allowed, draw)
            if kind:
                figures[kind] += 1
                figures["bad"] += [f"cut before operation {number}: {found[0]}"]
        if isinstance(event, Mark):
            mark = event.number
        else:
            platter.step(event)
    return figures, files


def _look(
    folder: Path, files: Mapping[str, bytes], allowed: list[State], draw: random.Random
) -> tuple[list[str], str]:
    fill(folder, files)
    if draw.random() < 0.5:
        (folder / "jobs.db-shm").write_bytes(draw.randbytes(32768))  # what a cut leaves of it
    try:
        store = SqliteStore(str(folder / "jobs.db"))
    except StoreError as error:
        return [f"{type(error).__name__}: {error}"], "corrupt"
    try:
        return wrong(store, allowed)
    finally:
        store.close()


def power_cuts(folder: Path, size: int, seed: int) -> dict[str, Any]:
    """Row 18: a power cut that takes any part of what was not synced. ``size`` is the number of cuts.

    Each record starts from what the last cut of the one before left; every other one also meets
    failing syncs and writes on its way, since what those left must not take with it, at a cut,
    what was acknowledged after them.
    """
    figures: dict[str, Any] = {}
    files: Mapping[str, bytes] = {}
    number = 0
    while figures.get("landed", 0) < size:
        told = record(folder, files, seed * 1000 + number, faults=0.3 * ((seed + number) % 2))
        count = min(CUTS, size - figures.get("landed", 0) + 5)
        one, files = cut(told, folder / "image", count, seed * 1000 + number)
        one = {"acknowledged": len(told.states) - 1, **one, "bad": told.bad + one["bad"]}
        figures = {name: figures.get(name, type(value)()) + value for name, value in one.items()}
        number += 1
        if number % 4 == 0 or one["bad"]:
            files = {}  # an empty folder again
    return figures
