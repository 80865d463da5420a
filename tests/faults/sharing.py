"""Rows 17 and 31: several writers on one file, and forks of a program that has its store open."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

from sidework.ids import id_text

from . import checker
from .field import Field, Figures, until
from .ground import Engine, Ground

WRITER = """
import sys, time
import load
late, count = [], 0
end = time.perf_counter() + float(sys.argv[1])
while time.perf_counter() < end:
    began = time.perf_counter()
    load.work.enqueue(0)
    late.append((time.perf_counter() - began) * 1000)
late.sort()
print(len(late), late[int(len(late) * 0.999)])
"""


def eight_writers(folder: Path, size: int, seed: int) -> Figures:
    """Row 17: eight writers share the file fairly and none is refused. ``size`` in seconds."""
    with Field(folder) as field:
        processes = [
            subprocess.Popen([sys.executable, "-c", WRITER, str(size)], cwd=folder, env=field.env,
                             stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
            for _ in range(8)
        ]  # fmt: skip
        said = [process.communicate() for process in processes]
        bad = [err.strip().splitlines()[-1] for _, err in said if err.strip()]
        told = [out.split() for out, _ in said if out]
        counts = [int(count) for count, _ in told]
        stored = len(field.rows())
        if stored != sum(counts):
            bad.append(f"{sum(counts)} acknowledged, {stored} there")
    return {"seconds": size, "commits": sum(counts), "landed": 8,
            "min/max share": round(min(counts) / max(counts), 2),
            "worst p99.9, ms": round(max(float(late) for _, late in told), 1), "bad": bad}  # fmt: skip


def forks(folder: Path, size: int, seed: int) -> Figures:
    """Row 31: forks of a program with the store open, which waits for a job meanwhile and enqueues in a
    thread, both engines. ``size`` forks, half of them on each."""
    figures: Figures = {"acknowledged": 0, "landed": size}
    bad: list[str] = []
    engines: dict[Engine, int] = {"sqlite": size - size // 2, "postgres": size // 2}
    for engine, count in engines.items():
        place = folder / engine
        place.mkdir()
        with Ground(engine) as ground, Field(place, url=ground.store(place)) as field:
            told, wrong = _forks(field, count)
            rows = field.rows()
            bad += [*wrong, *checker.missing(told, rows), *checker.unasked([], rows, told)]
            bad += field.app.store.check()
        figures["acknowledged"] += len(told)
    return {**figures, "bad": bad}


def _forks(field: Field, count: int) -> tuple[list[str], list[str]]:
    """What was acknowledged, and what was wrong."""
    told: list[str] = []
    bad: list[str] = []
    store, task = field.app.store, field.load.work
    stop = threading.Event()
    awaited = task.options(delay="1h").enqueue(0)
    told.append(awaited.id)

    def others() -> None:
        while not stop.is_set():
            job = task.bind(0).job
            store.insert([job])
            told.append(id_text(job.id))

    threads = [threading.Thread(target=others), threading.Thread(target=awaited.wait)]
    for thread in threads:
        thread.start()
    for _ in range(count):
        read, write = os.pipe()
        pid = os.fork()
        if pid == 0:
            code = 1
            try:
                job = task.bind(0).job
                store.insert([job])
                os.write(write, id_text(job.id).encode())
                code = 0
            finally:
                os._exit(code)
        os.close(write)
        if (code := _ended(pid)) == 0:
            told.append(os.read(read, 36).decode())
        else:
            bad.append(f"a forked program could not enqueue: {code}")
        os.close(read)
    stop.set()
    awaited.cancel()
    for thread in threads:
        thread.join()
    return told, bad


def _ended(pid: int) -> int:
    """The exit code of a child; of one that hangs, be it in the fork itself, -9."""
    try:
        until(lambda: os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT), "its end", 20)
    except TimeoutError:
        os.kill(pid, signal.SIGKILL)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
