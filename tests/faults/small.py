"""Run by row 19 on a small tmpfs: fill it to a level, use a store, make room, and look; again and again.

``small.py FOLDER LEVELS SEED`` prints what came of it as JSON.
"""

from __future__ import annotations

import json
import os
import random
import sys
from pathlib import Path

from sidework.errors import StoreError
from sidework.job import NewJob
from sidework.store.sqlite.engine import SqliteStore


def main(folder: Path, levels: int, seed: int) -> None:
    draw = random.Random(seed)
    told = {"landed": 0, "on a full tmpfs": 0, "acknowledged": 0, "refused": 0}
    bad: list[str] = []
    for level in range(levels):
        # From nothing at all to what the file and its log need, in steps of a page.
        free = 4096 * (level * 160 // levels)
        kept, refused = round_of(folder, free, draw, bad)
        told["acknowledged"] += kept
        told["refused"] += refused
        told["landed"] += bool(refused)
        told["on a full tmpfs"] += bool(refused)
    print(json.dumps({**told, "bad": bad}))


def round_of(folder: Path, free: int, draw: random.Random, bad: list[str]) -> tuple[int, int]:
    """One level: (acknowledged, refused). Half of the stores are made before the disk is full."""
    for file in folder.iterdir():
        if file.is_file():
            file.unlink()
    store: SqliteStore | None = None
    if draw.random() < 0.5:
        store = SqliteStore(str(folder / "jobs.db"))
    room = os.statvfs(folder)
    (folder / "ballast").write_bytes(bytes(max(0, room.f_bavail * room.f_bsize - free)))
    kept: list[NewJob] = []
    failed: list[NewJob] = []
    for _ in range(60):
        jobs = [NewJob(draw.randbytes(16), "app:work", draw.randbytes(draw.choice([50, 9_000])))]
        try:
            store = store or SqliteStore(str(folder / "jobs.db"))
            store.insert(jobs)
            kept += jobs
        except StoreError as error:
            failed += jobs
            if "\n" in str(error):
                bad.append(f"not one line: {error!r}")
            if len(failed) > 2:
                break
    (folder / "ballast").unlink()
    store = store or SqliteStore(str(folder / "jobs.db"))
    for job, found in zip(kept, store.get([job.id for job in kept]), strict=True):
        if found is None or found.args != job.args:
            bad.append(f"{free} bytes free: {job.id.hex()} was acknowledged and is not there")
    for job in failed:
        (again,) = store.insert([job])  # by the same id: stored once, whether it was there or not
        if again.verdict == "conflict":
            bad.append(f"{free} bytes free: {job.id.hex()} cannot be asked for again")
    damage = store.check()
    bad += [f"{free} bytes free: {one}" for one in damage]
    store.close()
    return len(kept), len(failed)


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))
