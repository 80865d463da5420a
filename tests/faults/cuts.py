"""Row 8: half of the workers are cut off from the server for longer than a lease."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from servers.netns import Network, why_not
from servers.postgres import Server
from servers.proxy import Proxy

from .field import Figures, pause, until
from .leases import LEASE, SHORT_LEASE, LeaseField

SIDES = ("left", "right")
WORKERS, FEW = 3, 2
"""On each side; in a short run."""
JOBS = 24


class Side:
    """One half of the workers, and how they are cut off. ``through`` makes their URL."""

    def __init__(
        self, through: Proxy | Cable, cut: Callable[[], None], mend: Callable[[], None],
        within: tuple[str, ...] = (),
    ) -> None:  # fmt: skip
        self.through, self.cut, self.mend, self.within = through, cut, mend, within


class Cable:
    """The server as it is reached from another machine."""

    def __init__(self, server: Server, address: str) -> None:
        self.endpoint = server.endpoint.at(address, 5432)

    def url(self, database: str, **parameters: str) -> str:
        return self.endpoint.url(database, **parameters)


@contextmanager
def by_proxy() -> Iterator[tuple[Server, list[Side]]]:
    """Two proxies, either of which can stall: connections stand, and nothing passes."""
    with Server() as server, ExitStack() as stack:
        proxies = [stack.enter_context(Proxy(server)) for _ in SIDES]
        try:
            yield server, [Side(proxy, proxy.stall, proxy.heal) for proxy in proxies]
        finally:
            for proxy in proxies:
                proxy.heal()


@contextmanager
def by_cable() -> Iterator[tuple[Server, list[Side]]]:
    """Two machines with a network of their own, whose cables can be pulled."""
    with Network(*SIDES) as network:
        server = Server(within=network.hub.within)
        server.listen(5432, "0.0.0.0")
        with server:
            machines = [network[name] for name in SIDES]
            yield (
                server,
                [
                    Side(Cable(server, one.server), one.cut, one.mend, one.within)
                    for one in machines
                ],
            )


def partitions(folder: Path, size: int, seed: int) -> Figures:
    """Row 8: partitions that outlive a lease, by a proxy that stalls and by pulled network cables.
    ``size`` of them must cut off somebody with jobs in flight that are then run elsewhere."""
    ways = {"by proxy": by_proxy}
    if why_not() is None:
        ways["by cable"] = by_cable
    told = dict.fromkeys(ways, 0)
    sums: dict[str, int] = {}
    bad: list[str] = []
    for number, (name, way) in enumerate(ways.items()):
        share = (size + number) // len(ways)
        if share:
            place = folder / name.replace(" ", "-")
            place.mkdir()
            with way() as (server, sides):
                found, some = _cut_again_and_again(
                    place, server, sides, share, random.Random(seed * 2 + number)
                )
            bad += [f"{name}: {one}" for one in found]
            told[name] = some.pop("landed")
            for key, value in some.items():
                sums[key] = sums.get(key, 0) + value
    if sums["of them to be stopped"]:
        bad.append(f"{sums['of them to be stopped']} jobs that were to be stopped ran on")
    sums.pop("of them to be stopped")
    if size > 2 and not sums["stale writes refused"]:
        bad.append("nobody tried a stale write")
    return {"landed": sum(told.values()), **told, **sums, "bad": bad}


def _cut_again_and_again(
    folder: Path, server: Server, sides: list[Side], size: int, draw: random.Random
) -> tuple[list[str], dict[str, int]]:
    told: list[str] = []
    landed = rescued = 0
    bad: list[str] = []
    lease, longest = (LEASE, LEASE + 2) if size > 1 else (SHORT_LEASE, SHORT_LEASE)
    with LeaseField(folder, server, lease) as field:
        count = WORKERS if size > 1 else FEW
        workers = [
            [field.worker_by(field.way(side.through), *side.within) for _ in range(count)]
            for side in sides
        ]
        field.ready(*workers[0], *workers[1])
        while landed < size:
            at = draw.randrange(2)
            told += field.enqueue(field.mixed(draw, JOBS, longest))
            known = field.ids(workers[at])
            others = field.ids(workers[1 - at])
            until(lambda known=known: field.held(known), "jobs on the side to be cut")
            pause(draw.uniform(0, 0.3))
            held, beside = field.held(known), field.held(others)
            sides[at].cut()
            try:
                until(lambda known=known: not known & _known(field), "their being given up", 30)
                told += field.enqueue(field.mixed(draw, JOBS // 2, 1.0))
                pause(draw.uniform(0.5, 2.0))
            finally:
                sides[at].mend()
            taken = field.taken(held)
            landed += bool(taken)
            rescued += len(taken)
            if wrong := field.taken(beside):
                bad.append(f"{len(wrong)} jobs were taken from workers that reached the store")
            until(lambda at=at: len(field.ids(workers[at])) == count, "their coming back", 30)
        until(lambda: field.ended(told), "the end of all jobs", 90)
        bad += field.stop(*workers[0], *workers[1])
        found, seen = field.verdict(told)
        stale = field.refused()
        bad += found
    return bad, {
        "landed": landed, "jobs": len(told), "rescued": rescued, "stale writes refused": stale, **seen
    }  # fmt: skip


def _known(field: LeaseField) -> set[int]:
    return {row.id for row in field.app.store.workers()}
