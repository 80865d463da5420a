"""What is measured of ours and its peers beside each other: the same work, machine and run for all."""

from __future__ import annotations

import functools
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path
from statistics import median

import psutil
from peers import PEERS, Place
from rivals import SAFE, Failed, Rival, Workers, cpu_of
from server import SETTINGS, Databases, Valkey, databases

Figures = dict[str, float]
Told = dict[str, dict[str, list[float]]]
LOAD = 100
"""Jobs of 100 ms, of which some run when a worker is killed."""
CAP = 130
"""Seconds that a killed worker's jobs are waited for."""
AGAIN = 30
"""Seconds after a kill in which jobs that had ended may be run once more."""


class Places:
    """Where jobs are kept: an empty store for each measure."""

    def __init__(self, stack: ExitStack, folder: Path) -> None:
        self._stack, self._folder = stack, folder
        self._databases: Databases | None = None
        self._valkey: Valkey | None = None
        self._count = 0

    @property
    def databases(self) -> Databases:
        if self._databases is None:
            self._databases = self._stack.enter_context(databases())
        return self._databases

    @property
    def valkey(self) -> Valkey:
        if self._valkey is None:
            self._valkey = self._stack.enter_context(Valkey())
        return self._valkey

    def servers(self) -> Iterator[str]:
        """Sentences on those that were used."""
        if self._databases is not None:
            yield (
                f"PostgreSQL {self._databases.version} over a Unix socket is durable and has its default "
                f"settings but for {', '.join(f'`{name}={value}`' for name, value in SETTINGS.items())}."
            )
        if self._valkey is not None:
            yield (
                f"Valkey {self._valkey.version} on the loopback keeps nothing on disk, which is fastest "
                f"for the peers on it: of 1,000 acknowledged jobs {forgotten(*Valkey.SETTINGS):,} are gone "
                "after a `kill -9` of the server and a new start; with an append-only file that is flushed "
                f"each second {forgotten('--save', '', '--appendonly', 'yes'):,}, and after a power cut "
                "those of the last second. Of ours none, on either engine: [promises](promises.md), I1."
            )

    @contextmanager
    def fresh(self, place: Place) -> Iterator[str]:
        if place == "SQLite":
            self._count += 1
            yield str(self._folder / f"{self._count}.db")
            return
        if place == "PostgreSQL":
            self.databases.settle()  # one measure does not pay for the one before
        with (self.databases if place == "PostgreSQL" else self.valkey).fresh() as url:
            yield url

    def server(self, place: Place) -> list[psutil.Process]:
        if place == "SQLite":
            return []
        pids = self.databases.pids() if place == "PostgreSQL" else {self.valkey.process.pid}
        return [psutil.Process(pid) for pid in pids if psutil.pid_exists(pid)]


class Beside:
    """One run. ``size`` is 1 but for tries; ``failures`` tells what could not be measured."""

    def __init__(self, places: Places, size: float, chosen: list[str] | None) -> None:
        self.places, self.size = places, size
        self.failures: dict[str, str] = {}
        self.rivals: dict[str, Rival] = {}
        for peer in PEERS:
            if chosen is not None and not {peer.name, peer.label} & set(chosen):
                continue
            try:
                self.rivals[peer.label] = Rival(peer)
                places.server(peer.place)
            except (Failed, FileNotFoundError) as why:
                self.rivals.pop(peer.label, None)
                self.failures[peer.label] = str(why)

    def measure(self, label: str) -> Figures:
        """All that is measured of one peer; what fails is told and left out."""
        told = Figures()
        for measure in (self.drain, self.put, self.wait, self.sleeps):
            told |= self._one(label, measure)
        return told

    def killed(self, labels: list[str]) -> Iterator[tuple[str, Figures]]:
        """What becomes of a killed worker's jobs: mostly waiting, so one on each kind of store at a time."""
        lanes: dict[Place, list[str]] = {}
        for label in labels:
            lanes.setdefault(self.rivals[label].peer.place, []).append(label)

        def one_by_one(lane: list[str]) -> list[tuple[str, Figures]]:
            return [(label, self._one(label, self.kill)) for label in lane]

        with ThreadPoolExecutor(len(lanes)) as pool:
            for told in pool.map(one_by_one, lanes.values()):
                yield from told

    def _one(self, label: str, measure: Callable[[Rival, str], Figures]) -> Figures:
        rival = self.rivals[label]
        try:
            with self.places.fresh(rival.peer.place) as url:
                rival.run(url, "install")
                return measure(rival, url)
        except subprocess.TimeoutExpired as late:
            program, *words = map(str, late.cmd[1:])
            told = f"{Path(program).name} {' '.join(words[1:])}: no end within {late.timeout:.0f} s"
        except (Failed, TimeoutError) as why:
            told = str(why)
        self.failures[f"{label}: {measure.__name__}"] = told
        return {}

    def drain(self, rival: Rival, url: str) -> Figures:
        place, jobs = rival.peer.place, max(50, int(rival.peer.jobs * self.size))
        rival.run(url, "fill", "noop", str(jobs))
        with rival.workers(url, 2, 500) as workers:
            workers.wait(1, 60)
            server = self.places.server(place)
            before, ran = (cpu_of(workers.family), cpu_of(server)), workers.count
            workers.wait(jobs, 60)
            ended = workers.recorded(rival.peer, url)
            server = self.places.server(place)  # its processes come and go with the connections
            used = cpu_of(workers.family) - before[0]
            served = cpu_of(server) - before[1]
            figures = {
                "drain": jobs / max(0.001, (ended - workers.first) / 1e9),
                "memory": workers.memory(),
            }
        if jobs - ran >= 20:
            figures["CPU"] = used / (jobs - ran) * 1000
            figures["CPU with server"] = (used + served) / (jobs - ran) * 1000
        return figures

    def put(self, rival: Rival, url: str) -> Figures:
        return {"enqueue": rival.told(url, "put", "1.5" if self.size >= 1 else "0.2")}

    def wait(self, rival: Rival, url: str) -> Figures:
        asks = str(max(10, int(100 * self.size)))
        with rival.workers(url, 1, 10) as workers:
            rival.run(url, "fill", "noop", "1")
            workers.wait(1, 60)
            told = {"pickup": rival.told(url, "pickup", asks, BENCH_COUNTS=str(workers.path))}
            if rival.peer.results:
                told["round trip"] = rival.told(url, "trip", asks)
        return told

    def sleeps(self, rival: Rival, url: str) -> Figures:
        return {"sleeps": rival.timed(url, "nap", max(20, int(2000 * self.size)), 1000)}

    def kill(self, rival: Rival, url: str) -> Figures:
        """SIGKILL to one of two workers in the middle of a load; another takes its place."""
        with rival.workers(url, 2, 10, apart=True, **SAFE) as workers:
            rival.run(url, "fill", "noop", "4", "-1", **SAFE)
            workers.wait(4, 60)
            threading.Event().wait(2)  # both are up
            rival.run(url, "fill", "nap", str(LOAD), **SAFE)
            workers.wait(4 + LOAD * 3 // 10, 60)
            threading.Event().wait(0.05)  # not when those that began together end together
            killed = time.time_ns()
            workers.kill()
            more = functools.partial(rival.run, url, "fill", "noop", "1", "-1", **SAFE)
            ended = ran_after(workers, killed, more)
        return {
            "not within": LOAD - len(ended),
            "twice": sum(len(times) - 1 for times in ended.values()),
            "recovery": max((times[0] - killed) / 1e9 for times in ended.values()),
        }


def ran_after(workers: Workers, killed: int, more: Callable[[], None]) -> dict[int, list[int]]:
    """When each job of the load ended, once all have and a second time had its chance, or when the time
    is up. One ``more`` comes every five seconds, for some peers look around only then."""
    pause, fed = threading.Event(), killed
    while True:
        pause.wait(0.1)
        ended: dict[int, list[int]] = {}
        for number, at, _ in workers.ran:
            if number >= 0:
                ended.setdefault(number, []).append(at)
        now = time.time_ns()
        passed = (now - killed) / 1e9
        if passed > CAP or (len(ended) == LOAD and passed > AGAIN):
            return ended
        if now - fed > 5e9:
            more()
            fed = now


def forgotten(*settings: str) -> int:
    """Of 1,000 acknowledged jobs, how many a killed Valkey no longer has when it is there again."""
    with Valkey(settings) as valkey:
        for n in range(1000):
            valkey.say(f"RPUSH jobs {n}")
        valkey.kill()
        valkey.start()
        return 1000 - int(valkey.say("LLEN jobs")[1:])


COLUMNS = (
    ("drain", "drain, jobs/s"),
    ("enqueue", "enqueue one by one, jobs/s"),
    ("pickup", "pickup p50, ms"),
    ("round trip", "enqueue to result p50, ms"),
    ("sleeps", "2,000 sleeps of 100 ms, s"),
    ("CPU", "workers' CPU, s per 1,000 jobs"),
    ("CPU with server", "with the server's"),
    ("memory", "workers' memory, MB"),
)


def number(value: float) -> str:
    return f"{value:,.0f}" if value >= 1000 else f"{value:.3g}"


def tables(told: Told, beside: Beside) -> Iterator[str]:
    """The page below its introduction."""
    measured = {label: rows for label, rows in told.items() if rows}
    if measured:
        yield from ("## Figures", "")
        yield from (f"| | {' | '.join(name for _, name in COLUMNS)} |", "|---" * 9 + "|")
        for label, rows in measured.items():
            cells = [number(median(rows[key])) if key in rows else "–" for key, _ in COLUMNS]
            yield f"| {label} | {' | '.join(cells)} |"
        yield from ("", "## When a worker is killed", "")
        yield f"| | kills | jobs not run within {CAP} s | run twice | all have run after, s |"
        yield "|---" * 5 + "|"
        for label, rows in measured.items():
            if kills := len(rows.get("recovery", [])):
                pairs = zip(rows["recovery"], rows["not within"], strict=True)
                took = ", ".join("–" if late else number(seconds) for seconds, late in pairs)
                late = f"{sum(rows['not within']):.0f} of {LOAD * kills}"
                yield f"| {label} | {kills} | {late} | {sum(rows['twice']):.0f} | {took} |"
        yield ""
    yield from ("## What each was set to", "")
    yield "| | version | for speed | for workers that die | of a job that is done |"
    yield "|---" * 5 + "|"
    for label, rival in beside.rivals.items():
        peer = rival.peer
        yield f"| {label} | {rival.version} | {peer.settings} | {peer.safe} | {peer.keeps} |"
    if beside.failures:
        yield from ("", "What could not be measured in this run:", "")
        yield from (f"- {what}: `{why}`" for what, why in beside.failures.items())
    yield ""
