"""Row 19: the disk fails. Nothing false is acknowledged, every error is one of ours, and it heals."""

from __future__ import annotations

import json
import random
import subprocess
import sys
from pathlib import Path
from typing import Any

import apsw

from sidework.errors import StoreError
from sidework.store.sqlite.engine import SqliteStore

from .disk import Disk, Fault, no_fault
from .pair import Pair, some_fault
from .traffic import fill, wrong

STEPS = 400
"""Verbs that one store lives through, before the next one starts with an empty folder."""

SMALL = Path(__file__).parent / "small.py"


def failing_disk(folder: Path, size: int, seed: int) -> dict[str, Any]:
    """Row 19: a disk that is full, or fails to write, sync, read, cut, open or delete. ``size`` points.

    Most meet a store at work; some meet it while it makes its file, at every operation of that in
    turn; some are a real file system that is full, at every level in steps.
    """
    figures = _sum(_making(folder, size // 4, seed), _filling(folder, size // 8, seed))
    number = 0
    while figures["landed"] < size and not figures["bad"]:
        at_work = _at_work(folder, size - figures["landed"], seed * 1000 + number)
        figures = _sum(figures, at_work)
        number += 1
    return figures


def _sum(*parts: dict[str, Any]) -> dict[str, Any]:
    zero: dict[str, Any] = {
        "landed": 0,
        "on a full tmpfs": 0,
        "acknowledged": 0,
        "refused": 0,
        "bad": [],
    }
    return {name: sum((p[name] for p in parts if name in p), start) for name, start in zero.items()}


def _at_work(folder: Path, points: int, seed: int) -> dict[str, Any]:
    """Steps of a store and its twin, each with a fault as soon as the last one is over."""
    draw = random.Random(seed)
    pair = Pair(folder, {}, seed)
    try:
        for _ in range(STEPS):
            pair.step(some_fault(draw))
            if pair.landed >= points or pair.bad:
                break
    finally:
        pair.close()
    return {
        "landed": pair.landed,
        "acknowledged": len(pair.states) - 1,
        "refused": pair.refused,
        "bad": pair.bad,
    }


def _making(folder: Path, points: int, seed: int) -> dict[str, Any]:
    """A fault while the file is made: an error of ours, and made rightly when it is over."""
    landed, refused = 0, 0
    bad: list[str] = []
    draw = random.Random(seed)
    at = [(kind, after) for kind in _MAKING for after in range(1, 40)]
    draw.shuffle(at)
    place = folder / "new"
    for (what, code), after in at:
        if landed >= points:
            break
        fill(place, {})
        fault = Fault(what, "", after, draw.choice([1, 2, 1_000_000]), code)
        with Disk(str(place)) as disk:
            disk.fault = fault
            try:
                SqliteStore(str(place / "jobs.db")).close()
            except StoreError as error:
                refused += 1
                bad += [f"not one line: {error!r}"] if "\n" in str(error) else []
            disk.fault = no_fault
            landed += bool(fault.landed)
            store = SqliteStore(str(place / "jobs.db"))
            found, _ = wrong(store, [{}])
            store.close()
        bad += [f"made while {fault}: {one}" for one in found]
    return {"landed": landed, "refused": refused, "bad": bad}


_MAKING = [
    ("write", apsw.SQLITE_FULL),
    ("sync", apsw.SQLITE_IOERR_FSYNC),
    ("open", apsw.SQLITE_CANTOPEN),
    ("delete", apsw.SQLITE_IOERR_DELETE),
    ("", apsw.SQLITE_IOERR),
]


def _filling(folder: Path, levels: int, seed: int) -> dict[str, Any]:
    """A small file system of its own, filled to one level after another: ``small.py``."""
    mount = folder / "small"
    mount.mkdir(exist_ok=True)
    command = (
        f"mount -t tmpfs -o size=2m none '{mount}' && exec '{sys.executable}' '{SMALL}' '{mount}'"
    )
    done = subprocess.run(
        ["unshare", "--map-root-user", "--mount", "sh", "-c", f"{command} {levels} {seed}"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    if done.returncode and "unshare" in done.stderr:
        return {}  # no mounts in a name space of one's own here: the figure says 0
    if done.returncode:
        return {"bad": [f"on a full tmpfs: {done.stderr.strip().splitlines()[-1]}"]}
    told: dict[str, Any] = json.loads(done.stdout)
    return told
