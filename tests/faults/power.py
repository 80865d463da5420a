"""Row 18: the power is cut. One record of what a store did to its disk, many moments to cut it at."""

from __future__ import annotations

import os
import random
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import apsw

from sidework.errors import StoreError
from sidework.store.sqlite.engine import SqliteStore

from .disk import Disk, Event, Mark
from .platter import Platter
from .traffic import State, Traffic, rows_of, wrong

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


def record(folder: Path, files: Mapping[str, bytes], seed: int, steps: int = STEPS) -> Record:
    """Drive a store for some steps on a disk that holds the files."""
    _fill(folder, files)
    path = str(folder / "jobs.db")
    traffic = Traffic(seed)
    reader: apsw.Connection | None = None
    with Disk(str(folder)) as disk:
        store = SqliteStore(path)
        states, quiet = [rows_of(store)], [0]
        disk.events.append(Mark(0))
        for _ in range(steps):
            step = traffic.next()
            traffic.told(step, step.ask(store))
            states.append(states[-1] if step.quiet else rows_of(store))
            if step.quiet:
                quiet.append(len(states) - 1)
            disk.events.append(Mark(len(states) - 1))
            # A reader that stays pins the log: a checkpoint then ends half way and cannot reset it.
            if traffic.draw.random() < 0.1:
                if reader is None:
                    reader = apsw.Connection(path)
                    reader.execute("BEGIN")
                    reader.execute("SELECT count(*) FROM jobs").fetchall()
                else:
                    reader.close()
                    reader = None
        if reader is not None:
            reader.close()
        store.close()
        events = disk.events[:]
    return Record(files, events, states, quiet)


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
    _fill(folder, files)
    if draw.random() < 0.5:
        (folder / "jobs.db-shm").write_bytes(draw.randbytes(32768))  # what a cut leaves of it
    try:
        store = SqliteStore(str(folder / "jobs.db"))
    except StoreError as error:
        return [f"{type(error).__name__}: {error}"], "corrupt"
    try:
        return wrong(store, allowed, draw)
    finally:
        store.close()


def _fill(folder: Path, files: Mapping[str, bytes]) -> None:
    """Make the folder hold these files and nothing else; their names are paths there or elsewhere."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    for name, content in files.items():
        (folder / os.path.basename(name)).write_bytes(content)


def power_cuts(folder: Path, size: int, seed: int) -> dict[str, Any]:
    """Row 18: a power cut that takes any part of what was not synced. ``size`` is the number of cuts."""
    figures: dict[str, Any] = {}
    files: Mapping[str, bytes] = {}
    while figures.get("landed", 0) < size:
        seed += 1_000
        told = record(folder / "disk", files, seed)
        count = min(CUTS, size - figures.get("landed", 0) + 5)
        one, files = cut(told, folder / "image", count, seed)
        one = {"acknowledged": len(told.states) - 1, **one}
        figures = {name: figures.get(name, type(value)()) + value for name, value in one.items()}
    return figures
