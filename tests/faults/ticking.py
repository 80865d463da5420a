"""Row 25: ticks against an oracle, in every zone; and five schedulers that are killed, one job per tick."""

from __future__ import annotations

import os
import random
import subprocess
import sys
from collections.abc import Iterator
from datetime import datetime, timedelta
from itertools import cycle, islice, takewhile
from pathlib import Path
from time import monotonic
from zoneinfo import available_timezones

from sidework.ids import id_text
from sidework.job import JobFilter, NewJob
from sidework.periodic import Declaration, Periodic
from sidework.schedule import Schedule, schedule_of
from sidework.store.opening import open_store
from sidework.store.protocol import Store
from sidework.worker.periodics import fire_due

from .field import Figures, pause
from .ground import Engine, Ground
from .oracle import Oracle, around, changes, readings, year

ODD = [
    "Australia/Lord_Howe", "Africa/Cairo", "Europe/Berlin", "America/Havana", "Antarctica/Casey",
    "Antarctica/Troll", "Africa/Casablanca", "America/Santiago", "Asia/Beirut", "Europe/Dublin",
]  # fmt: skip
"""Half an hour, at midnight, as usual, at midnight back, by three hours, by two, in Ramadan."""
DENSE = (
    "*/15 * * * *", "*/20 0-3 * * *", "7 * * * *", "0,30 0-3 * * *", "* 1 * * *", "*/30 12 * * sun,mon",
)  # fmt: skip
SPARSE = (
    "30 2 * * *",
    "15 0 * * sun",
    "0 3 * * mon-fri",
    "45 1 1,15 * *",
    "0 0 13 * fri",
    "0 0 1 1 *",
)
"""All of them at quarters of an hour, as clocks are changed."""

ENGINES: tuple[Engine, ...] = ("sqlite", "postgres")
ZONES = ("Europe/Berlin", "Asia/Gaza")
SCHEDULERS = 5
SPEED = 200_000
"""How much faster than in earnest time goes for the schedulers."""
SPAN = timedelta(days=1.5)


def ticks(folder: Path, size: int, seed: int) -> Figures:
    """Row 25: ticks of each zone, 2020 to 2035, by an oracle; five schedulers, killed. ``size`` zones."""
    zones = [*ODD, *sorted(available_timezones() - set(ODD))]
    mine = list(islice(cycle(zones), (seed - 1) * size, seed * size))
    years = (2020, 2036) if size >= len(ODD) else (2026, 2027)
    bad: list[str] = []
    compared = 0
    for tz in mine:
        found, count = _zone(tz, year(years[0]), year(years[1]))
        bad += found
        compared += count
    kills = fired = 0
    for engine in ENGINES:
        place = folder / engine
        place.mkdir()
        with Ground(engine) as ground:
            found, count, landed = _schedulers(ground.store(place), max(3, size // 4), seed)
        bad += [f"{engine}: {one}" for one in found]
        fired += count
        kills += landed
    return {
        "zones": len(mine),
        "ticks compared": compared,
        "landed": kills,
        "fired": fired,
        "bad": bad,
    }


def _zone(tz: str, begin: datetime, end: datetime) -> tuple[list[str], int]:
    """What does not fit, and how many ticks there were."""
    near = around(changes(tz, begin, end), timedelta(hours=26))
    close = [(*span, readings(tz, *span)) for span in near]
    edges = [begin, *(edge for span in near for edge in span), end]
    quarter = timedelta(minutes=15)
    far = [
        (*span, readings(tz, *span, quarter)) for span in zip(edges[::2], edges[1::2], strict=True)
    ]
    bad, count = [], 0
    for cron in (*DENSE, *SPARSE):
        oracle, schedule = Oracle(cron), schedule_of(cron, None, tz, None, None)
        for since, until, shown in [*close, *far] if cron in SPARSE else close:
            wanted = list(oracle.ticks(shown))
            found = list(_between(schedule, since, until))
            count += len(wanted)
            if wanted != found:
                odd = sorted(set(wanted) ^ set(found))[0]
                bad.append(f"{cron} in {tz}: one of the two has no tick at {odd}")
    return bad, count


def _between(schedule: Schedule, since: datetime, until: datetime) -> Iterator[int]:
    last = until.timestamp() * 1000
    yield from takewhile(lambda tick: tick < last, schedule.ticks(_millis(since) - 1))


def _millis(moment: datetime) -> int:
    return round(moment.timestamp() * 1000)


# Schedulers ---------------------------------------------------------------------------------------


def entries() -> list[Periodic]:
    """What all five declare: expressions in zones whose clocks are changed meanwhile."""
    return [
        Periodic(
            f"{cron} {tz}", "m", schedule_of(cron, None, tz, None, None), NewJob(b"", "m:f", b"\x01{}"),
            misfire="all",
        )
        for tz in ZONES
        for cron in (*DENSE, *SPARSE)
    ]  # fmt: skip


def schedule(url: str, began: float, first: int, last: int) -> None:
    """One scheduler: fires what is due until its time is over, in steps as short as they come."""
    store = open_store(url)
    worker = store.register("host", os.getpid(), (), first).id
    store.periodics.declare(worker, Declaration(("m",), tuple(entries())), first)
    now = first
    while now < last:
        now = min(last, first + round(max(0.0, monotonic() - began) * SPEED * 1000))
        fire_due(store, now)
        pause(0.002)
    _finish(store, last)


def _finish(store: Store, last: int) -> None:
    while fire_due(store, last).rows:
        pass


_RUN = "import sys; from faults.ticking import schedule; u, *n = sys.argv[1:]; "
_RUN += "schedule(u, float(n[0]), int(n[1]), int(n[2]))"


def _schedulers(url: str, kills: int, seed: int) -> tuple[list[str], int, int]:
    """Five of them while clocks are put forward; how many jobs came, how many were killed."""
    drawn = random.Random(seed)
    begin = datetime.fromisoformat("2026-03-28T20:00+00:00")
    first, last = _millis(begin), _millis(begin + SPAN)
    began = monotonic() + 0.3
    words = [sys.executable, "-c", _RUN, url, str(began), str(first), str(last)]
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}

    def start() -> subprocess.Popen[bytes]:
        return subprocess.Popen(words, env=env)

    running = [start() for _ in range(SCHEDULERS)]
    landed = 0
    try:
        while landed < kills:
            pause(drawn.uniform(0.05, 0.3))
            victim = drawn.randrange(SCHEDULERS)
            if running[victim].poll() is None:
                running[victim].kill()
                running[victim].wait()
                landed += 1
                running[victim] = start()
            elif all(one.poll() is not None for one in running):
                break
        codes = [one.wait(120) for one in running]
    finally:
        for one in running:
            if one.poll() is None:
                one.kill()
                one.wait()
    store = open_store(url)
    _finish(store, last)
    minute = timedelta(minutes=1)
    shown = {tz: readings(tz, begin + minute, begin + SPAN + minute) for tz in ZONES}
    wanted = {
        entry.job_of(tick).id
        for entry in entries()
        for tick in Oracle(entry.schedule.cron or "").ticks(shown[entry.schedule.tz])
    }
    found = _ids(store)
    store.close()
    bad = [f"a scheduler ended with exit code {code}" for code in codes if code]
    bad += [f"{id_text(one)} is a tick without a job" for one in sorted(wanted - set(found))]
    bad += [f"{id_text(one)} is a job without a tick" for one in sorted(set(found) - wanted)]
    if len(found) != len(set(found)):
        bad.append("a job is there twice")
    return bad, len(found), landed


def _ids(store: Store) -> list[bytes]:
    found: list[bytes] = []
    while page := store.page(JobFilter(), found[-1] if found else None, 500):
        found += [row.id for row in page]
    return found
