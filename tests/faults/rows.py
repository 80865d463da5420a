"""The rows of the fault table that can be repeated at will. Each returns its figures; ``bad`` must be
empty, and ``landed`` says how many faults found something to break."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from time import monotonic
from typing import Any

from sidework import Sidework
from sidework.crashpoint import POINTS
from sidework.state import State

from . import checker
from .damage import damaged_files
from .failing import failing_disk
from .power import power_cuts

Figures = dict[str, Any]
LOAD = Path(__file__).parent / "load.py"


class Field:
    """A folder with the app under fire."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        (folder / "load.py").write_text(LOAD.read_text())
        self.env = {**os.environ, "SIDEWORK_URL": str(folder / "jobs.db")}
        self.app = Sidework(str(folder / "jobs.db"))
        self.app.store  # noqa: B018 - made, so that workers start

    def worker(self, *words: str) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            [sys.executable, "-m", "sidework", "worker", "load", *words],
            cwd=self.folder, env=self.env, stderr=subprocess.DEVNULL,
        )  # fmt: skip

    def rows(self) -> dict[str, Any]:
        return {row.id: row for row in self.app.jobs()}

    def counts(self) -> dict[str, int]:
        told: dict[str, int] = {}
        for queue in self.app.store.queues():
            for state, count in queue.counts.items():
                told[state] = told.get(state, 0) + count
        return told


def until(condition: Callable[[], Any], seconds: float = 60) -> Any:
    pause, end = threading.Event(), monotonic() + seconds
    while not (value := condition()):
        if monotonic() > end:
            raise TimeoutError
        pause.wait(0.005)
    return value


def killed_workers(folder: Path, size: int, seed: int) -> Figures:
    """Row 1: SIGKILL of workers under load. ``size`` is the number of kills that must land."""
    draw = random.Random(seed)
    field = Field(folder)
    task = _task(field)
    field.app.enqueue_many(task(draw.randint(0, 30)) for _ in range(size * 60))
    told = list(field.rows())
    workers = [field.worker("--children", "1", "--threads", "4") for _ in range(2)]
    landed = in_flight = 0
    recovered: list[float] = []
    try:
        while landed < size and field.counts().get("available", 0) > 100:
            threading.Event().wait(draw.uniform(0.05, 0.4))
            victim = draw.choice(workers)
            row = next((w for w in field.app.store.workers() if w.pid == victim.pid), None)
            victim.kill()
            victim.wait()
            died = monotonic()
            workers.remove(victim)
            workers.append(field.worker("--children", "1", "--threads", "4"))
            if row is None:
                continue
            held = [r for r in field.app.jobs(state=State.RUNNING) if r.worker == row.id]
            if held:
                landed += 1
                in_flight += len(held)
                until(lambda row=row: all(w.id != row.id for w in field.app.store.workers()), 10)
                recovered.append(monotonic() - died)
        until(lambda: field.counts().get("completed", 0) == len(told))
    finally:
        for worker in workers:
            worker.terminate()
        codes = [worker.wait() for worker in workers]
    ran = checker.runs(folder / "runs.log")
    bad = checker.violations(told, ran, field.rows(), in_flight)
    bad += [f"a worker left with exit code {code}" for code in codes if code]
    recovered.sort()
    worst = recovered[max(0, int(len(recovered) * 0.99) - 1)] if recovered else 0.0
    field.app.close()
    return {"jobs": len(told), "landed": landed, "in flight at kills": in_flight,
            "rescued, p99 s": round(worst, 2), "bad": bad}  # fmt: skip


def _task(field: Field) -> Callable[[int], Any]:
    """``bind`` of the load's task, known here by its name alone."""
    from sidework.ids import new_id
    from sidework.job import NewJob

    class Bound:
        def __init__(self, milliseconds: int) -> None:
            self.job = NewJob(new_id(), "load:work", b'\x01{"milliseconds":%d}' % milliseconds)

    return Bound


PRODUCER = """
import os, sys
import load
fd = os.open("told.log", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
print("ready", flush=True)
while True:
    os.write(fd, (load.work.enqueue(0).id + "\\n").encode())
"""


def killed_producers(folder: Path, size: int, seed: int) -> Figures:
    """Row 4: what a producer was told before SIGKILL is there."""
    draw = random.Random(seed)
    field = Field(folder)
    for _ in range(size):
        process = subprocess.Popen(
            [sys.executable, "-c", PRODUCER], cwd=folder, env=field.env, stdout=subprocess.PIPE
        )
        assert process.stdout is not None
        process.stdout.readline()
        threading.Event().wait(draw.uniform(0.001, 0.03))
        process.kill()
        process.wait()
        process.stdout.close()
    told = checker.acknowledged(folder / "told.log")
    there = field.rows()
    bad = [f"{job} was acknowledged and is not there" for job in set(told) - set(there)]
    bad += field.app.store.check()
    field.app.close()
    return {"acknowledged": len(told), "landed": size, "bad": bad}


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
    field = Field(folder)
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
    field.app.close()
    return {"seconds": size, "commits": sum(counts), "landed": 8,
            "min/max share": round(min(counts) / max(counts), 2),
            "worst p99.9, ms": round(max(float(late) for _, late in told), 1), "bad": bad}  # fmt: skip


def forks(folder: Path, size: int, seed: int) -> Figures:
    """Row 31: forks of a program with the store open, others enqueueing meanwhile in a thread."""
    field = Field(folder)
    task = _task(field)
    told: list[str] = []
    stop = threading.Event()

    def others() -> None:
        while not stop.is_set():
            job = task(0).job
            field.app.store.insert([job])
            told.append(job.id.hex())

    thread = threading.Thread(target=others)
    thread.start()
    bad = []
    for _ in range(size):
        read, write = os.pipe()
        pid = os.fork()
        if pid == 0:
            code = 1
            try:
                job = task(0).job
                field.app.store.insert([job])
                os.write(write, job.id.hex().encode())
                code = 0
            finally:
                os._exit(code)
        os.close(write)
        if os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0:
            told.append(os.read(read, 32).decode())
        else:
            bad.append("a forked program could not enqueue")
        os.close(read)
    stop.set()
    thread.join()
    there = {row.id.replace("-", "") for row in field.app.jobs()}
    bad += [f"{job} was acknowledged and is not there" for job in set(told) - there]
    bad += field.app.store.check()
    field.app.close()
    return {"acknowledged": len(told), "landed": size, "bad": bad}


def drains(folder: Path, size: int, seed: int) -> Figures:
    """Row 14: SIGTERM at any moment hands back everything and spends nothing."""
    draw = random.Random(seed)
    field = Field(folder)
    task = _task(field)
    landed, bad, longest = 0, [], 0.0
    for _ in range(size):
        field.app.enqueue_many(task(draw.randint(0, 20)) for _ in range(60))
        worker = field.worker("--children", "1", "--threads", "4")
        until(lambda: field.counts().get("running", 0) or not field.counts().get("available", 0))
        threading.Event().wait(draw.uniform(0, 0.05))
        busy = field.counts().get("running", 0)
        began = monotonic()
        worker.send_signal(draw.choice([signal.SIGTERM, signal.SIGINT]))
        if worker.wait(30) != 0:
            bad.append(f"exit code {worker.returncode}")
        longest = max(longest, monotonic() - began)
        landed += bool(busy)
        for row in field.app.jobs():
            if row.state is State.RUNNING:
                bad.append(f"{row.id} still runs after the drain")
            elif row.attempt != (row.state is State.COMPLETED):
                bad.append(f"{row.id}: attempt {row.attempt} in {row.state}")
        if field.app.store.workers():
            bad.append("a worker is still known")
    worker = field.worker("--children", "1", "--threads", "4")
    until(lambda: field.counts() == {"completed": size * 60})
    worker.terminate()
    worker.wait()
    starts = checker.runs(folder / "runs.log")
    bad += checker.violations([], starts, field.rows(), 0)
    field.app.close()
    return {"jobs": size * 60, "landed": landed, "longest drain, s": round(longest, 2), "bad": bad}


def crash_points(folder: Path, size: int, seed: int) -> Figures:
    """Row 3: a crash at every named step, of whoever comes there. ``size`` rounds of all points."""
    bad: list[str] = []
    landed = jobs = 0
    for turn in range(size):
        for point in POINTS:
            place = folder / f"{turn} {point.replace(':', '').replace(',', '')}"
            place.mkdir()
            found, hit, count = _crash_at(place, point, seed + turn)
            landed += hit
            jobs += count
            bad += [f"at {point!r}: {one}" for one in found]
            if not hit:
                bad.append(f"{point!r} was never reached")
    return {"jobs": jobs, "landed": landed, "bad": bad}


def _crash_at(folder: Path, point: str, seed: int) -> tuple[list[str], bool, int]:
    marker = folder / "marker"
    (folder / "load.py").write_text(LOAD.read_text())
    plain = {**os.environ, "SIDEWORK_URL": str(folder / "jobs.db")}
    armed = {**plain, "SIDEWORK_CRASH_AT": f"{point}:{marker}"}
    words = [
        sys.executable,
        "-m",
        "sidework",
        "worker",
        "load",
        "--children",
        "1",
        "--threads",
        "2",
    ]
    quiet: dict[str, Any] = {"cwd": folder, "stderr": subprocess.DEVNULL}
    # Enqueued by a program that may be the one to die; what it was told is in its log.
    client = point.startswith(("insert", "migration"))
    enqueue = [sys.executable, "-c", BATCH]
    subprocess.run(enqueue, env=armed if client else plain, check=False, **quiet)
    if client and marker.exists():
        subprocess.run(enqueue, env=plain, check=True, **quiet)
    field = Field(folder)
    workers = []
    if point.startswith("rescue"):
        # One to be killed with jobs in its hands, so that the armed one has something to rescue.
        victim = subprocess.Popen(words, env=plain, **quiet)
        until(lambda: field.counts().get("running", 0))
        victim.kill()
        victim.wait()
    first = subprocess.Popen(words, env=plain if client else armed, **quiet)
    if not client:
        with contextlib.suppress(TimeoutError):  # then it was not hit, and the row says so
            until(marker.exists, 10)
        workers.append(subprocess.Popen(words, env=plain, **quiet))
    until(lambda: field.counts().keys() <= {"completed"}, 30)
    for worker in (first, *workers):
        worker.terminate()
        worker.wait()
    told = checker.acknowledged(folder / "told.log")
    rows = field.rows()
    found = checker.violations(told, checker.runs(folder / "runs.log"), rows, 1000)
    found += [f"{job}: attempt {row.attempt}" for job, row in rows.items() if row.attempt != 1]
    found += field.app.store.check()
    field.app.close()
    return found, marker.exists(), len(rows)


BATCH = """
import os
import load
fd = os.open("told.log", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
for n in range(30):
    os.write(fd, (load.work.enqueue(n % 7).id + "\\n").encode())
"""


ROWS: dict[int, tuple[Callable[[Path, int, int], Figures], int, int, str]] = {
    # row: (what, size of the smoke, size of the full run, the figure to reach)
    1: (killed_workers, 3, 300, "100,000 jobs, 1,000 landed kills: 0 lost, recovery p99 ≤ 2 s"),
    3: (crash_points, 1, 10, "all points, each shown to be hit"),
    4: (killed_producers, 5, 1000, "5,000 kills: 0 violations"),
    14: (drains, 3, 300, "300: 0 lost, 0 spent"),
    17: (eight_writers, 2, 600, "10 min: min/max share ≥ 0.7, p99.9 ≤ 100 ms"),
    18: (power_cuts, 40, 10_000, "10,000 cuts: 0 lost, 0 corrupt"),
    19: (failing_disk, 40, 2000, "2,000 points: 0 false acknowledgements"),
    20: (damaged_files, 25, 200, "200 mutations: all detected or harmless"),
    31: (forks, 20, 1000, "1,000 forks: 0 acknowledged lost, 0 corrupt"),
}
