"""Metrics in the text format of Prometheus, and an ASGI app that serves them (extra ``metrics``).

Read anew at each scrape; what is read has a bound (``store/gauges.py``), however many jobs there are.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable, Iterator, MutableMapping
from typing import Any

from ..client.app import Sidework
from ..errors import SideworkError, StoreError
from ..extras import how_to_install
from ..job import WorkerRow
from ..state import State
from ..store.gauges import Reading
from ..store.protocol import Store

try:
    from prometheus_client import CollectorRegistry
    from prometheus_client.core import GaugeMetricFamily, Metric
    from prometheus_client.exposition import choose_encoder
    from prometheus_client.registry import Collector
except ImportError as missing:
    raise SideworkError(
        f"metrics need what is not installed, {missing.name}: {how_to_install('metrics')}"
    ) from missing

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]


def families(reading: Reading, workers: list[WorkerRow]) -> Iterator[Metric]:
    """One family for each thing that is measured; times in seconds."""
    jobs = GaugeMetricFamily(
        "sidework_jobs",
        "Jobs by queue and state: those that are live, and the dead letters; counted up to 10,000.",
        labels=["queue", "state"],
    )
    age = GaugeMetricFamily(
        "sidework_oldest_available_job_age_seconds",
        "How long the oldest available job of a queue could have run; 0 without one.",
        labels=["queue"],
    )
    for level in reading.levels:
        jobs.add_metric([level.queue, level.state], level.jobs)
        if level.state is State.AVAILABLE:
            since = reading.at if level.since is None else level.since
            age.add_metric([level.queue], max(0, reading.at - since) / 1000)
    yield jobs
    yield age
    ends = GaugeMetricFamily(
        "sidework_jobs_ended_per_second",
        "Jobs that became final, by queue and state: over the last minute, or the last 10,000.",
        labels=["queue", "state"],
    )
    for (queue, state), rate in reading.ends.items():
        ends.add_metric([queue, state], rate)
    yield ends
    paused = GaugeMetricFamily(
        "sidework_queue_paused", "1 for a queue that is paused.", labels=["queue"]
    )
    for queue in reading.paused:
        paused.add_metric([queue], 1)
    yield paused
    known = GaugeMetricFamily(
        "sidework_workers",
        "Workers that have not left, alive or dead (their jobs are brought back).",
        labels=["state"],
    )
    alive = sum(worker.alive for worker in workers)
    known.add_metric(["alive"], alive)
    known.add_metric(["dead"], len(workers) - alive)
    yield known
    chores = GaugeMetricFamily(
        "sidework_chore_overdue_seconds",
        "Since when a chore could have been done; workers do it within seconds.",
        labels=["chore"],
    )
    for chore, overdue in reading.overdue.items():
        chores.add_metric([chore], overdue / 1000)
    yield chores


class _Stored(Collector):
    def __init__(self, store: Callable[[], Store]) -> None:
        self._store = store

    def describe(self) -> list[Metric]:
        return []  # or it would be read once more, as it is registered

    def collect(self) -> Iterator[Metric]:
        store = self._store()
        return families(store.gauges.read(), store.workers())


def exposed(store: Callable[[], Store], accept: str = "") -> tuple[bytes, str]:
    """The metrics and their content type, for a client that accepts these. Raises ``StoreError``."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Stored(store))
    encode, content_type = choose_encoder(accept)
    return encode(registry), content_type


def asgi(app: Sidework) -> Callable[[Scope, Receive, Send], Awaitable[None]]:
    """An ASGI app with the metrics of the app's store, to be mounted where a monitor may look:
    ``Mount("/metrics", asgi(app))`` in Starlette, ``web.mount("/metrics", asgi(app))`` in FastAPI.

    The event loop goes on while the store is read, and scrapes that meet take turns. A store that does not
    answer is a 503 with the reason.
    """
    turn = threading.Lock()

    def answer(accept: str) -> tuple[int, bytes, str]:
        with turn:
            try:
                return 200, *exposed(lambda: app.store, accept)
            except StoreError as error:
                return 503, f"{error}\n".encode(), "text/plain; charset=utf-8"

    async def serve(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        status, body, kind = 405, b"only GET and HEAD\n", "text/plain; charset=utf-8"
        if scope["method"] in ("GET", "HEAD"):
            headers = dict(scope["headers"])
            accept = headers.get(b"accept", b"").decode("latin-1")
            status, body, kind = await asyncio.to_thread(answer, accept)
        fields = [(b"content-type", kind.encode()), (b"content-length", str(len(body)).encode())]
        await send({"type": "http.response.start", "status": status, "headers": fields})
        shown = b"" if scope["method"] == "HEAD" else body
        await send({"type": "http.response.body", "body": shown})

    return serve
