"""Rows 17 and 31: several writers on one file, and forks of a program that has it open."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from pathlib import Path

from sidework.ids import id_text

from . import checker
from .field import Field, Figures

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
    """Row 31: forks of a program with the store open, others enqueueing meanwhile in a thread."""
    told: list[str] = []
    bad: list[str] = []
    with Field(folder) as field:
        store, task = field.app.store, field.load.work
        stop = threading.Event()

        def others() -> None:
            while not stop.is_set():
                job = task.bind(0).job
                store.insert([job])
                told.append(id_text(job.id))

        thread = threading.Thread(target=others)
        thread.start()
        for _ in range(size):
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
            if os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0:
                told.append(os.read(read, 36).decode())
            else:
                bad.append("a forked program could not enqueue")
            os.close(read)
        stop.set()
        thread.join()
        rows = field.rows()
        bad += [*checker.missing(told, rows), *checker.unasked([], rows, told)]
        bad += store.check()
    return {"acknowledged": len(told), "landed": size, "bad": bad}
