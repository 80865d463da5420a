"""Row 24: deadlocks, and transactions that the server cannot serialize."""

from __future__ import annotations

import random
import re
import threading
from contextlib import suppress
from pathlib import Path
from typing import Any

import psycopg

from servers.plan import Plan
from servers.proxy import Proxy
from servers.running import Running
from sidework.tasks.task import Bound

from . import checker
from .field import Field, Figures, until
from .ground import SCHEMA, Ground, database_of, url_of
from .kills import WORDS
from .producing import Producers

INJECTED = 0.01
SURFACED = re.compile(r"deadlock|serialize|injected|in the way", re.IGNORECASE)
"""In what a worker or a caller is told; that a busy machine did not answer in time is another thing."""

LOCK = f"SELECT id FROM {SCHEMA}.jobs WHERE id = %s FOR UPDATE"
SOME = f"SELECT id FROM {SCHEMA}.jobs WHERE state = 'running' ORDER BY id DESC LIMIT 6"


class Hostile:
    """For ``with``: a session that locks rows of running jobs against the order of their keys, which is
    the one in which results are recorded. The server finds it patient: the other side is the victim."""

    def __init__(self, server: Running, database: str, seed: int) -> None:
        self._url = server.url(database, application_name="hostile")
        self._draw = random.Random(seed)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def __enter__(self) -> Hostile:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        with psycopg.connect(self._url, autocommit=True) as connection:
            connection.execute("SET default_transaction_isolation = 'read committed'")
            connection.execute("SET deadlock_timeout = '10s'")
            while not self._stop.wait(self._draw.uniform(0, 0.02)):
                ids = [id_ for (id_,) in connection.execute(SOME)]
                with suppress(psycopg.errors.DeadlockDetected), connection.transaction():
                    for id_ in ids:
                        connection.execute(LOCK, [id_])
                        self._stop.wait(0.005)


def conflicts(folder: Path, size: int, seed: int) -> Figures:
    """Row 24: deadlocks and serialization failures, in 1 % of all statements by a proxy, and real ones: a
    session that locks against the order, a role whose transactions are serializable. ``size`` jobs."""
    draw = random.Random(seed)
    with Ground("postgres") as ground, Field(folder, url=(direct := ground.store(folder))) as field:
        server, database = ground.server, database_of(direct)
        server.psql("ALTER ROLE postgres SET default_transaction_isolation = 'serializable'")
        server.psql("ALTER ROLE postgres SET deadlock_timeout = '20ms'")

        def bind() -> Bound[Any]:
            return draw.choice([field.load.work, field.load.coroutine]).bind(draw.randint(0, 5))

        with (
            Proxy(server, Plan(seed, fail=INJECTED)) as proxy,
            Hostile(server, database, seed),
        ):
            url = url_of(proxy, database)
            field.env = field.environment(folder, url)
            workers = [field.worker(*WORDS, log=folder / "workers.log") for _ in range(3)]
            with Producers(url, bind, most=size) as producers:
                producers.join()
            told = producers.told
            until(lambda: field.counts() == {"completed": size}, "the end", 60 + size / 50)
            bad = field.stop(*workers)
            injected = proxy.landed["fail"]
        ((deadlocks,),) = server.psql(
            "SELECT deadlocks FROM pg_stat_database WHERE datname = %s", database
        )
        rows, ran = field.rows(), checker.runs(folder / "runs.log")
        bad += checker.violations(told, ran, rows, deaths=[], in_flight=0, asked=told)
        bad += [f"{job}: attempt {row.attempt}" for job, row in rows.items() if row.attempt != 1]
        bad += field.app.store.check()
        said = (folder / "workers.log").read_text("utf-8", "replace").splitlines()
        surfaced = [one for one in (*producers.refusals, *said) if SURFACED.search(one)]
        bad += [f"it surfaced: {line}" for line in surfaced]
        refused = server.said.count("could not serialize access")
    return {
        "jobs": len(told), "landed": injected + deadlocks + refused, "injected": injected,
        "real deadlocks": deadlocks, "real serialization failures": refused,
        "surfaced": len(surfaced), "bad": bad,
    }  # fmt: skip
