"""Row 16: the schema changes while programs and workers of two versions use it."""

from __future__ import annotations

import os
import random
import subprocess
import sys
import zipfile
from pathlib import Path
from time import monotonic_ns
from typing import Literal

import psycopg

from servers.binaries import newest
from servers.running import Running
from servers.shared import shared
from sidework.store.postgres.connection import migrations
from sidework.store.postgres.migrating import migrate
from sidework.store.postgres.place import place_of

from . import checker
from .field import Field, Figures, pause, until

Which = Literal["before", "now", "after"]

BEFORE = Path(__file__).with_name("schema2.zip")
"""The source of the last Sidework that knew one version less."""

WORDS = ("--children", "1", "--threads", "4", "--concurrency", "20")
AFTERWARDS = 30
"""Jobs that each program stores, and each worker runs, after the change."""

AS_OF = '''
"""Sidework as it is, or with one more version of the schema; or as it was (``PYTHONPATH``)."""
import sys
from sidework.store.postgres import connection

steps = connection.migrations()
wider = "ALTER TABLE sidework.jobs ADD COLUMN extra integer;"
known = [*steps, wider] if sys.argv.pop(1) == "after" else steps
connection.migrations = lambda: known

if sys.argv[1:2] == ["produce"]:
    import asyncio, os
    import load

    fd = os.open(sys.argv[2], os.O_WRONLY | os.O_CREAT | os.O_APPEND)

    async def later(n):
        job = await load.work.aenqueue(n % 5)
        os.write(fd, (job.id + "\\n").encode())
        assert await job.aresult(timeout=60) == n % 5

    n = 0
    while not os.path.exists("stop"):
        n += 1
        load.never.wait(0.005)
        job = load.coroutine.enqueue(n % 5)
        os.write(fd, (job.id + "\\n").encode())
        if n % 3 == 0:
            assert job.result(timeout=60) == n % 5
        if n % 10 == 0:
            asyncio.run(later(n))
    load.app.close()
else:
    from sidework.cli.main import main

    main(prog_name="sidework")
'''

LOCKS = {
    "nobody in the way": None,
    "a reader in the way": 'SELECT FROM "{}".jobs LIMIT 1',
    "a vacuum in the way": 'LOCK TABLE "{}".jobs IN SHARE UPDATE EXCLUSIVE MODE',
}


class Versions(Field):
    """A field on a server, whose store is one version behind; its programs are of that one, then of two."""

    def __init__(self, folder: Path, server: Running, newer: Which) -> None:
        self.place = place_of(f"{server.new_database()}&lease=10s")
        (folder / "url").write_text(self.place.url)
        (folder / "as_of.py").write_text(AS_OF)
        migrate(self.place, migrations()[:-1] if newer == "now" else None)
        self.both: tuple[Which, Which] = ("before", "now") if newer == "now" else ("now", "after")
        with zipfile.ZipFile(BEFORE) as source:
            source.extractall(folder / "before")
        super().__init__(folder)

    def made(self) -> None:
        """It is; and this program's own code may be too new for it."""

    def busy(self) -> bool:
        """Whether a job runs or could."""
        sql = (
            f"""SELECT EXISTS (SELECT FROM "{self.place.schema}".jobs WHERE finished_at IS NULL)"""
        )
        with psycopg.connect(self.place.conninfo) as connection:
            return connection.execute(sql.encode()).fetchone() == (True,)

    @staticmethod
    def environment(folder: Path, url: str | None = None) -> dict[str, str]:
        return {**os.environ, "SIDEWORK_URL": (folder / "url").read_text()}

    def run(self, which: Which, *words: str) -> subprocess.Popen[bytes]:
        """Start a program of that version; all that it says goes to one file with what others say."""
        env = self.env
        if which == "before":
            env = {**env, "PYTHONPATH": str(self.folder / "before")}
        with open(self.folder / f"{which}-{words[0]}.said", "ab") as said:
            process = subprocess.Popen(
                [sys.executable, "as_of.py", which, *words],
                cwd=self.folder, env=env, stdout=said, stderr=said,
            )  # fmt: skip
        self.workers.append(process)
        return process

    def told(self, which: Which) -> list[str]:
        return checker.acknowledged(self.folder / f"told-{which}")

    def ran(self, worker: subprocess.Popen[bytes], since: int) -> int:
        """How many jobs' code began in children of that worker since then."""
        found = checker.runs(self.folder / "runs.log")
        return sum(run.parent == worker.pid and run.began > since for run in found)

    def complaints(self) -> list[str]:
        """What any of them said, beside that it goes well."""
        return [
            f"{path.name}: {line}"
            for path in sorted(self.folder.glob("*.said"))
            for line in path.read_text("utf-8").splitlines()
            if not any(fine in line for fine in (" INFO ", "applied version", "nothing to do"))
        ]


def migrations_under_load(folder: Path, size: int, seed: int) -> Figures:
    """Row 16: migrations while workers and programs of schema N−1 are at work, which then go on beside
    those of N. Half of ``size`` from the last version to this one, half to one that is made up, which takes
    a table for itself."""
    draw = random.Random(seed)
    server = shared(newest())
    landed = jobs = 0
    bad: list[str] = []
    ways = dict.fromkeys(LOCKS, 0)
    for turn in range(size):
        place = folder / f"turn-{turn}"
        place.mkdir()
        # Every way comes in its turn, with each of the two changes.
        way = list(LOCKS)[(seed + turn // 2) % len(LOCKS)]
        newer: Which = ("now", "after")[turn % 2]  # type: ignore[assignment]
        with Versions(place, server, newer) as field:
            met, found = _migrated(field, way, draw)
            jobs += len(field.told(field.both[0])) + len(field.told(field.both[1]))
        landed += met
        ways[way] += met
        bad += [f"turn {turn}, {newer}, {way}: {one}" for one in found]
    return {"jobs": jobs, "landed": landed, **ways, "bad": bad}


def _migrated(field: Versions, way: str, draw: random.Random) -> tuple[bool, list[str]]:
    """One migration in the midst of it all: whether it met work, and what was wrong."""
    old, new = field.both
    workers = [field.run(old, "worker", "load", *WORDS)]
    programs = [field.run(old, "produce", f"told-{old}")]
    until(
        lambda: min(len(field.told(old)), field.ran(workers[0], 0)) >= AFTERWARDS, f"work of {old}"
    )
    pause(draw.uniform(0, 0.2))
    busy = until(field.busy, "jobs in flight")
    with psycopg.connect(field.place.conninfo) as other:
        if (lock := LOCKS[way]) is not None:
            other.execute(lock.format(field.place.schema))  # type: ignore[arg-type]
        # Two at once: one finds nothing left to do.
        changes = [field.run(new, "db", "migrate") for _ in range(2)]
        pause(draw.uniform(0.5, 2.5))
        other.rollback()
    bad = [f"a migration ended with {code}" for change in changes if (code := change.wait(60))]
    workers.append(field.run(new, "worker", "load", *WORDS))
    programs.append(field.run(new, "produce", f"told-{new}"))
    field.ready(*workers)
    at, before = monotonic_ns(), {which: len(field.told(which)) for which in field.both}

    def went_on() -> bool:
        pause(0.1)  # a look is long: it reads the whole log
        broken = [one.poll() for one in programs if one.poll() is not None]
        assert not broken, f"a program ended with {broken}: {field.complaints()[:3]}"
        return all(field.ran(worker, at) >= AFTERWARDS for worker in workers) and all(
            len(field.told(which)) >= before[which] + AFTERWARDS for which in field.both
        )

    until(went_on, f"work of {old} and {new} after the change")
    (field.folder / "stop").touch()
    bad += [f"a program ended with {code}" for one in programs if (code := one.wait(60))]
    until(lambda: field.counts().keys() <= {"completed"}, "the end of all jobs")
    bad += field.stop(*workers)
    told = [*field.told(old), *field.told(new)]
    rows = field.rows()
    bad += checker.violations(
        told, checker.runs(field.folder / "runs.log"), rows, deaths=[], in_flight=0, asked=told
    )
    bad += [f"{job}: attempt {row.attempt}" for job, row in rows.items() if row.attempt != 1]
    bad += field.complaints()
    return busy, bad + field.app.store.check()
