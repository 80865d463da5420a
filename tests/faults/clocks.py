"""Row 11 on PostgreSQL: the server's clock jumps by an hour while leases run."""

from __future__ import annotations

import random
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from time import monotonic, time

from servers.account import account
from servers.home import Home
from servers.postgres import Server

from .field import Figures, pause, until
from .leases import LEASE, SHORT_LEASE, LeaseField

WORKERS, FEW, JOBS = 4, 3, 30
HOUR = 3600
SLACK = 2.0
"""Seconds beyond a lease and a chore's turn, on a machine that is busy."""


class Clock:
    """The server's, by libfaketime: everything that it calls the time is off by so much."""

    def __init__(self, place: Path) -> None:
        spec = find_spec("libfaketime")
        if spec is None or spec.origin is None:
            raise RuntimeError("row 11 needs libfaketime: pip install libfaketime")
        vendor = Path(spec.origin).parent / "vendor/libfaketime/src/libfaketime.so.1"
        library, self._file = place / "libfaketime.so.1", place / "offset"
        shutil.copy(vendor, library)
        library.chmod(0o755)
        self.jump(0)
        self.within = (
            "env", f"LD_PRELOAD={library}", f"FAKETIME_TIMESTAMP_FILE={self._file}",
            "FAKETIME_NO_CACHE=1", "DONT_FAKE_MONOTONIC=1",
        )  # fmt: skip

    def jump(self, seconds: int) -> None:
        fresh = self._file.with_suffix(".new")
        fresh.write_text(f"{seconds:+d}")
        fresh.chmod(0o644)
        fresh.rename(self._file)


@contextmanager
def jumping_server() -> Iterator[tuple[Server, Clock]]:
    home = Home()
    account().give(home.path)
    clock = Clock(home.path)
    with Server(home=home, within=clock.within) as server:
        yield server, clock


def clock_jumps(folder: Path, size: int, seed: int) -> Figures:
    """Row 11: the server's clock jumps by up to an hour, while workers live and while one is dead.
    ``size`` jumps with jobs in flight."""
    draw = random.Random(seed)
    told: list[str] = []
    jumps = early = 0
    lease = LEASE if size > 5 else SHORT_LEASE
    seconds: list[float] = []
    bad: list[str] = []
    with jumping_server() as (server, clock), LeaseField(folder, server, lease) as field:

        def jump() -> None:
            offset = draw.choice([-HOUR, HOUR, 0, draw.randint(-HOUR, HOUR)])
            clock.jump(offset)
            ((now,),) = server.psql("SELECT extract(epoch FROM clock_timestamp())::float8")
            assert abs(now - offset - time()) < 5, "the server's clock did not jump"

        workers = [field.worker_by(field.watcher) for _ in range(WORKERS if size > 5 else FEW)]
        field.ready(*workers)
        while jumps < size:
            told += field.enqueue(field.mixed(draw, JOBS, field.lease + 2))
            line = draw.sample(workers, len(workers))  # who dies: the first of these that has any
            victim = until(
                lambda line=line: next((one for one in line if field.held(field.ids([one]))), None),
                "jobs in flight",
            )
            workers.remove(victim)
            known, others = field.ids([victim]), field.ids(workers)
            jump()
            jumps += 1
            victim.kill()
            victim.wait()
            at = monotonic()
            held, beside = field.held(known), field.held(others)
            while known & {row.id for row in field.app.store.workers()}:
                if monotonic() - at > 30:
                    raise TimeoutError("a dead worker is not given up")
                pause(draw.uniform(0.1, 0.5))
                jump()
                jumps += bool(field.held(others))
            took = monotonic() - at
            seconds.append(took)
            # Its last beat was a quarter of a lease before its death, at most, or a little more here.
            early += took < field.lease * 3 / 4 - 0.5
            if took > field.lease + 0.5 + SLACK:
                bad.append(f"a dead worker was given up after {took:.1f} s")
            until(lambda held=held: len(field.taken(held)) == len(held), "all its jobs", 20)
            if wrong := field.taken(beside):
                bad.append(f"{len(wrong)} jobs were taken from workers that lived")
            workers.append(field.worker_by(field.watcher))
            field.ready(workers[-1])
        until(lambda: field.ended(told), "the end of all jobs", 90)
        bad += field.stop(*workers)
        found, seen = field.verdict(told, clock_jumped=True)
        bad += found
    if early:
        bad.append(f"{early} times a worker was given up early")
    return {
        "landed": jumps, "workers killed meanwhile": len(seconds), "jobs": len(told),
        "extra runs": seen["extra runs"],
        "given up after p50, s": round(sorted(seconds)[len(seconds) // 2], 1),
        "given up after, longest, s": round(max(seconds), 1), "bad": bad,
    }  # fmt: skip
