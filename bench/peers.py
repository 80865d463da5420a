"""Which peers there are, where each keeps its jobs, and what each is set to."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

Place = Literal["Valkey", "PostgreSQL", "SQLite"]


@dataclass(frozen=True)
class Peer:
    """``jobs``: how many it drains in some seconds; ``settings``: for speed, as its documentation
    recommends; ``safe``: for workers that die; ``keeps``: what is left of a job that is done; ``left``:
    asks how many are not recorded as done, if that can be asked cheaply; ``results``: whether it has
    any; ``forks``: whether one worker has several processes. No ``packages``: ours."""

    name: str
    place: Place
    packages: tuple[str, ...]
    jobs: int
    settings: str
    safe: str
    keeps: str
    left: str | None = None
    results: bool = False
    forks: bool = False
    python: tuple[int, int] = (3, 11)

    @property
    def label(self) -> str:
        return f"{self.name} on {self.place}"

    @property
    def program(self) -> Path:
        return Path(__file__).resolve().parent / "rival" / f"with_{self.name}.py"


OURS = (
    Peer(
        "sidework", "SQLite", (), 40_000,
        "`--children 2`; coroutines; `synchronous=FULL`", "as it comes",
        "keeps the job, its attempts and its result for a day",
        "SELECT count(*) FROM jobs WHERE state NOT IN ('completed', 'cancelled', 'discarded')",
        results=True, forks=True,
    ),
    Peer(
        "sidework", "PostgreSQL", (), 40_000,
        "`--children 2`; coroutines", "as it comes",
        "keeps the job, its attempts and its result for a day",
        "SELECT count(*) FROM sidework.jobs WHERE state IN ('available', 'running')",
        results=True, forks=True,
    ),
)  # fmt: skip
ON_POSTGRESQL = (
    Peer(
        "pgqueuer", "PostgreSQL", ("pgqueuer[asyncpg]>=1.6", "uvloop"), 40_000,
        "asyncpg, uvloop; five dequeuers a process, batches of 100, as in its own benchmark",
        "heartbeat and dequeue timeouts of 10 s (30)",
        "deletes the job; a line in a log says how it ended; no result",
        "SELECT count(*) FROM pgqueuer",
    ),
    Peer(
        "awa", "PostgreSQL", ("awa-pg>=0.6.9", "uvloop"), 8_000,
        "queue storage, its default; at most 256 jobs at a time",
        "stale after 10 s (its default is longer), looked for every 2 s",
        "keeps the job for some time; no result",
    ),
    Peer(
        "chancy", "PostgreSQL", ("chancy>=0.26", "uvloop"), 16_000,
        "its asyncio executor, eager polling, uvloop",
        "heartbeat timeout 10 s (90), looked for every 2 s (60)",
        "keeps the job for a day; no result",
        "SELECT count(*) FROM chancy_jobs WHERE state NOT IN ('succeeded', 'failed')",
    ),
    Peer(
        "oban", "PostgreSQL", ("oban>=0.7",), 10_000,
        "the open edition; orjson and uvloop, a limit of 500 jobs at a time",
        "lifeline every 10 s (60), rescues what has run for 10 s (300), by time alone",
        "keeps the job for a day; no result",
        "SELECT count(*) FROM oban_jobs WHERE state <> 'completed'",
        python=(3, 12),
    ),
    Peer(
        "procrastinate", "PostgreSQL", ("procrastinate>=3.10", "uvloop"), 1_500,
        "psycopg's asynchronous pool, uvloop",
        "a periodic task that retries stalled jobs, as its documentation shows: after 10 s (30), every 2 s",
        "keeps the job and its events; no result",
        "SELECT count(*) FROM procrastinate_jobs WHERE status IN ('todo', 'doing')",
    ),
)  # fmt: skip
ON_VALKEY = (
    Peer(
        "celery", "Valkey", ("celery[redis]>=5.5", "gevent", "uvloop"), 3_000,
        "processes, prefetch of 128 a process; gevent for the sleeps; no gossip, no mingle",
        "`acks_late`, `reject_on_worker_lost`, prefetch of 1, visibility timeout 10 s (3,600), "
        "which it looks for every 100 s",
        "keeps the result for a day",
        results=True, forks=True,
    ),
    Peer(
        "rq", "Valkey", ("rq>=2.6", "uvloop"), 200,
        "its default worker, a fork for each job, one at a time",
        "`Retry(max=3)`, job timeout 10 s (180), maintenance every 10 s (600); to each timeout it adds 60 s",
        "keeps the result for 500 s", results=True,
    ),
    Peer(
        "dramatiq", "Valkey", ("dramatiq[redis]>=2", "uvloop"), 8_000,
        "8 threads a process, its default; 1,000 for the sleeps",
        "heartbeat timeout 10 s (60), maintenance at a tenth of the commands (a thousandth)",
        "nothing is left, but the result for ten minutes",
        results=True, forks=True,
    ),
    Peer(
        "huey", "Valkey", ("huey>=2.5", "redis", "gevent", "uvloop"), 6_000,
        "8 threads a process; 1,000 greenlets for the sleeps; polls every 10 ms",
        "nothing to set: a job is off the list before it runs",
        "keeps the result until it is read", results=True,
    ),
    Peer(
        "arq", "Valkey", ("arq>=0.26", "uvloop"), 3_000,
        "as many at a time as the async peers: 500, 1,000 for the sleeps; polls every 10 ms (500)",
        "job timeout 10 s (300); to it it adds 10 s",
        "keeps the result for an hour", results=True,
    ),
    Peer(
        "taskiq", "Valkey", ("taskiq>=0.11", "taskiq-redis", "uvloop"), 6_000,
        "a stream with results, as its plugin recommends; no parsing; 500 at a time, 1,000 for the sleeps",
        "messages idle for 10 s (600) are taken over; acknowledged when the result is saved, its default",
        "keeps the result", results=True, forks=True,
    ),
    Peer(
        "saq", "Valkey", ("saq[redis,hiredis]>=0.24", "typing-extensions", "uvloop"), 5_000,
        "hiredis, uvloop; 500 at a time, 1,000 for the sleeps",
        "job timeout and heartbeat 10 s, 3 retries (1), sweep every 10 s (60)",
        "keeps the job and its result for ten minutes",
        results=True,
    ),
)  # fmt: skip
ON_SQLITE = (
    Peer(
        "huey", "SQLite", ("huey>=2.5", "redis", "gevent", "uvloop"), 3_000,
        "8 threads a process, 1,000 for the sleeps; polls every 10 ms; no flush at each commit",
        "nothing to set: a job is off the list before it runs",
        "keeps the result until it is read", results=True,
    ),
    Peer(
        "litequeue", "SQLite", ("litequeue>=0.9", "uvloop"), 6_000,
        "a queue alone: the loop that pops, runs and marks is the benchmark's, one job at a time",
        "the loop looks for messages locked for 10 s, each second, and retries them",
        "keeps the message; no result",
    ),
)  # fmt: skip
PEERS = (*OURS, *ON_POSTGRESQL, *ON_VALKEY, *ON_SQLITE)
