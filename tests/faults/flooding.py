"""Row 28: floods of progress, log records and values."""

from __future__ import annotations

import os
from itertools import cycle, islice
from pathlib import Path

import psutil

from sidework.ids import parse_id
from sidework.note import LOG_BYTES, MOST_LOGS, MOST_VALUES, VALUE_BYTES
from sidework.store.journal import Since
from sidework.store.protocol import RETENTION

from .field import Field, Figures

LOAD = Path(__file__).parent / "flood_load.py"
WORDS = ("--children", "2", "--threads", "2", "--concurrency", "4")
KINDS = ("thread", "coroutine", "process")
WAVES = 4
CALLS = 2_500
"""Of progress and of the log by one job; it emits half as often."""
MORE_MIB = 24
"""What a process or the files may grow by from the first wave to the last: less than one wave told."""


def floods(folder: Path, size: int, seed: int) -> Figures:
    """Row 28: jobs that flood with progress, log records and values. ``size`` of them, in waves; what is kept
    of each is bounded and the newest, the last word of each is there with its end, and neither the worker's
    processes nor the files grow from wave to wave."""
    bad: list[str] = []
    memory, files, notes = list[float](), list[float](), 0
    with Field(folder, LOAD) as field:
        store = field.app.store
        worker = field.worker(*WORDS, log=folder / "worker.said")
        each = max(1, size // WAVES)
        for _ in range(WAVES):
            jobs = [getattr(field.load, kind).enqueue(CALLS) for kind in islice(cycle(KINDS), each)]
            for job in jobs:
                job.result(timeout=120)
                notes += _look(field, job.id, bad)
            for job in [field.load.quick.enqueue() for _ in range(20)]:
                job.result(timeout=30)
            memory.append(_memory(worker.pid))
            while store.prune({**RETENTION, "completed_age": 0}, 500):
                pass
            store.checkpoint()
            files.append(_files(folder))
        bad += field.stop(worker)
    for what, told in (("the worker's processes", memory), ("the files", files)):
        if told[-1] - told[0] > MORE_MIB:
            bad.append(f"{what} grew from {told[0]:.0f} to {told[-1]:.0f} MiB")
    return {
        "landed": each * WAVES,
        "told": each * WAVES * (2 * CALLS + CALLS // 2),
        "kept": notes,
        "memory, first and last wave, MiB": [round(memory[0]), round(memory[-1])],
        "files, first and last wave, MiB": [round(files[0], 1), round(files[-1], 1)],
        "bad": bad,
    }


def _look(field: Field, job: str, bad: list[str]) -> int:
    """Whether of one job what was promised is kept; how many notes there are."""
    (chapter,) = field.app.store.journal.read([Since(parse_id(job))])
    assert chapter is not None
    for kind, most, most_bytes in (
        ("log", MOST_LOGS, LOG_BYTES),
        ("value", MOST_VALUES, VALUE_BYTES),
        ("progress", 1, 1_000),
    ):
        kept = [note for note in chapter.notes if note.kind == kind]
        if not 0 < len(kept) <= most or sum(len(note.body) for note in kept) > most_bytes:
            bad.append(f"{job}: {len(kept)} notes of kind {kind} are kept")
    handle = field.app.job(job)
    bad += [f"{job}: {attempt}" for attempt in handle.attempts()]
    last = handle.progress
    if last is None or last.done != CALLS:
        bad.append(f"{job}: its last word was {last}")
    if chapter.notes[-1].number != 2 * CALLS + CALLS // 2:
        bad.append(f"{job}: the newest note is {chapter.notes[-1].number}")
    return len(chapter.notes)


def _memory(pid: int) -> float:
    """Of a worker and its shared children, in MiB; solo children come and go."""
    worker = psutil.Process(pid)
    shared = [one for one in worker.children() if "shared" in one.cmdline()]
    return sum(one.memory_info().rss for one in (worker, *shared)) / 2**20


def _files(folder: Path) -> float:
    # By their sizes alone: to open them would cost SQLite its locks.
    return sum(os.stat(path).st_size for path in folder.glob("jobs.db*")) / 2**20
