"""Row 20: the file is damaged. It is told, or does no harm; and what is refused is left as it is.

The looking is done in a process of its own (``python -m faults.damage``), which must not die of it.
"""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import apsw

from sidework.errors import StoreError
from sidework.job import JobFilter, NewJob
from sidework.store.protocol import Demand
from sidework.store.sqlite.engine import SqliteStore

from .traffic import RETENTION, State, Traffic, differences, fill, rows_of

Files = dict[str, bytes]
DB, WAL = "jobs.db", "jobs.db-wal"
PAGE = 4096
SECONDS = 10
"""More than enough to look at one file; who needs longer is caught in a loop."""


class Bases(NamedTuple):
    """Files of one store: closed in good order, left with its log, and earlier; and a stranger's."""

    closed: Files
    open: Files
    earlier: Files
    stranger: Files
    history: list[State]
    """What the store held after each step; the last is acknowledged."""


def bases(folder: Path, seed: int) -> Bases:
    """Stores with jobs in all states, to be damaged."""
    earlier, _ = _left(folder / "base", seed, 60)
    opened, _ = _left(folder / "base", seed, 90)
    closed, history = _left(folder / "base", seed, 90, close=True)
    stranger, _ = _left(folder / "base", seed + 1, 60)
    return Bases(closed, opened, earlier, stranger, history)


def _left(folder: Path, seed: int, steps: int, *, close: bool = False) -> tuple[Files, list[State]]:
    fill(folder, {})
    store = SqliteStore(str(folder / DB))
    traffic = Traffic(seed)
    history = [rows_of(store)]
    for _ in range(steps):
        step = traffic.next()
        if step.verb == "close":
            continue
        traffic.told(step, step.ask(store))
        history.append(rows_of(store))
    for session in (store._session, store._long):
        session.read(lambda c: c.config(apsw.SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, int(not close)))
    store.close()
    left = {name: (folder / name).read_bytes() for name in (DB, WAL) if (folder / name).exists()}
    return left, history


def _spot(draw: random.Random, body: bytes) -> int:
    return draw.randrange(len(body))


def _put(body: bytes, at: int, data: bytes) -> bytes:
    return body[:at] + data + body[at + len(data) :]


def _flip(draw: random.Random, body: bytes, low: int = 0, high: int | None = None) -> bytes:
    at = draw.randrange(low, min(high or len(body), len(body)))
    return _put(body, at, bytes([body[at] ^ 1 << draw.randrange(8)]))


def _page(draw: random.Random, body: bytes) -> int:
    return draw.randrange(len(body) // PAGE) * PAGE


def _copy(body: bytes, source: int, target: int) -> bytes:
    return _put(body, target, body[source : source + PAGE])


def _swap(draw: random.Random, body: bytes) -> bytes:
    one, two = _page(draw, body), _page(draw, body)
    return _put(_copy(body, one, two), one, body[two : two + PAGE])


File = Callable[[random.Random, bytes], bytes]
IN_FILE: dict[str, File] = {
    "a bit": _flip,
    "a bit of the header": lambda draw, body: _flip(draw, body, 0, 100),
    "a bit of a page's head": lambda draw, body: _flip(draw, body, at := _page(draw, body), at + 12),
    "garbage": lambda draw, body: _put(body, _spot(draw, body[:-600]), draw.randbytes(draw.randint(1, 600))),
    "a zeroed page": lambda draw, body: _put(body, _page(draw, body), bytes(PAGE)),
    "a page of garbage": lambda draw, body: _put(body, _page(draw, body), draw.randbytes(PAGE)),
    "two pages swapped": _swap,
    "a page over another": lambda draw, body: _copy(body, _page(draw, body), _page(draw, body)),
    "cut short": lambda draw, body: body[: 1 + _spot(draw, body)],
    # Never to nothing: an empty file is not a damaged one but a new one.
    "cut at a page": lambda draw, body: body[: max(PAGE, _page(draw, body))],
    "another schema": lambda draw, body: _put(body, 60, draw.randbytes(4)),
    "another mark": lambda draw, body: _put(body, 68, draw.randbytes(4)),
    "all garbage": lambda draw, body: draw.randbytes(len(body)),
}  # fmt: skip
IN_LOG: dict[str, File] = {
    "log: a bit": _flip,
    "log: a bit of the header": lambda draw, body: _flip(draw, body, 0, 32),
    "log: cut short": lambda draw, body: body[: _spot(draw, body)],
    "log: garbage": lambda draw, body: draw.randbytes(len(body)),
    "log: zeros": lambda draw, body: bytes(len(body)),
}


WRONG_LOGS = ("log: a stranger's", "log: from earlier", "log: a stranger's for ours")


def mutate(draw: random.Random, base: Bases) -> tuple[str, Files]:
    """A kind of damage, and the files with it."""
    ways: list[Callable[[], tuple[str, Files]]] = []
    for name, change in IN_FILE.items():
        ways.append(lambda n=name, c=change: (n, {DB: c(draw, base.closed[DB])}))
        ways.append(
            lambda n=name, c=change: (
                n, {**base.open, DB: c(draw, base.open[DB])},
            )
        )  # fmt: skip
    for name, change in IN_LOG.items():
        ways.append(lambda n=name, c=change: (n, {**base.open, WAL: c(draw, base.open[WAL])}))
    ways += [
        lambda: ("log: a stranger's", {**base.closed, WAL: base.stranger[WAL]}),
        lambda: ("log: from earlier", {**base.closed, WAL: base.earlier[WAL]}),
        lambda: ("log: a stranger's for ours", {**base.open, WAL: base.stranger[WAL]}),
        lambda: ("log: lost", {DB: base.open[DB]}),
        lambda: ("log: without its file", {WAL: base.open[WAL]}),
        lambda: ("journal: garbage", {**base.closed, f"{DB}-journal": draw.randbytes(9_000)}),
        lambda: ("shm: garbage", {**base.open, f"{DB}-shm": draw.randbytes(32_768)}),
    ]  # fmt: skip
    return draw.choice(ways)()


def look(
    folder: Path, name: str, files: Mapping[str, bytes], history: list[State]
) -> tuple[str, list[str]]:
    """What became of the damage, and what is wrong."""
    fill(folder, files)
    bad: list[str] = []

    def ask(verb: Callable[[], Any]) -> Any:
        try:
            return verb()
        except StoreError as error:
            told.append(str(error))
            if "\n" in str(error):
                bad.append(f"not one line: {error!r}")
        except Exception as error:  # noqa: BLE001 - whatever it is, it should have been a StoreError
            bad.append(f"{error!r} is not one of ours")
        return None

    told: list[str] = []
    store = ask(lambda: SqliteStore(str(folder / DB)))
    if store is None:
        for name, body in files.items():
            if not name.endswith("-shm") and (folder / name).read_bytes() != body:
                bad.append(f"{name} was refused and written to")
        return "refused", bad
    there = ask(lambda: rows_of(store))
    rows = ask(lambda: store.page(JobFilter(), None, 10_000)) or []
    ask(lambda: store.get([row.id for row in rows]))
    for row in rows[:20]:
        ask(lambda row=row: store.attempts(row.id))
    for verb in (store.queues, store.workers, store.info, store.version):
        ask(verb)
    found = ask(store.check)
    seen = bool(told or found)
    _use(store, rows, ask)
    ask(store.close)
    if seen:
        return "told", bad
    if there == history[-1]:
        return "harmless", bad
    if name in WRONG_LOGS:
        return "a wrong log", bad
    if name.startswith("log:") and there in history:
        return "an older state", bad
    if name in IN_FILE and there is not None and there.keys() == history[-1].keys():
        return "a changed value", bad
    return "unseen", [*bad, *differences(there or {}, history[-1])[:1]]


def _use(store: SqliteStore, rows: list[Any], ask: Callable[[Callable[[], Any]], Any]) -> None:
    """All else that a store is asked for."""
    now = 1_800_000_000_000
    turn = ask(lambda: store.turn([], Demand(1, {"thread": 20}), now))
    for row in rows[:5]:
        ask(lambda row=row: store.cancel(row.id, "x", now))
        ask(lambda row=row: store.retry(row.id, now))
    ask(lambda: store.insert([NewJob(os.urandom(16), "app:after", b"\x01{}")], now))
    ask(lambda: store.insert([NewJob(os.urandom(16), "app:after", bytes(9_000))] * 2, now))
    ask(lambda: store.expire(1000, now))
    ask(lambda: store.promote(1000, now))
    ask(lambda: store.rescue(now))
    ask(lambda: store.prune(RETENTION, 1000, now))
    for verb in (store.checkpoint, store.vacuum, lambda: store.backup(f"{store.path}.copy")):
        ask(verb)
    assert turn is None or turn.took == []


def damaged_files(folder: Path, size: int, seed: int) -> dict[str, Any]:
    """Row 20: a damaged file, log or journal. ``size`` is the number of damages.

    "told" is an error of ours or a finding of ``check()``. Three things SQLite cannot see, since its
    pages have no checksums and its file does not know its log; they are counted apart: a log that
    ends too early is as it was at an earlier commit, within a value one content is as good as
    another, and a log of another time or store is taken for the file's own.
    """
    ends = (
        "refused",
        "told",
        "harmless",
        "an older state",
        "a changed value",
        "a wrong log",
        "unseen",
    )
    figures: dict[str, Any] = dict.fromkeys(("landed", *ends), 0)
    command = [sys.executable, "-m", "faults.damage", str(folder), str(size), str(seed)]
    env = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])}
    with subprocess.Popen(command, env=env, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        lines = process.stdout.read().splitlines()
    bad: list[str] = []
    name = ""
    for line in lines:
        told = json.loads(line)
        name = told["name"]
        if "end" in told:
            figures["landed"] += 1
            figures[told["end"]] += 1
            bad += [f"{name}: {one}" for one in told["bad"]]
    if process.returncode:
        bad.append(f"{name}: the process ended with {process.returncode}")
    return {**figures, "bad": bad}


def main(folder: Path, size: int, seed: int) -> None:
    """Damage after damage, a line before and after each, so that the last words tell of a death."""
    base = bases(folder, seed)
    draw = random.Random(seed)
    for _ in range(size):
        name, files = mutate(draw, base)
        print(json.dumps({"name": name}), flush=True)
        # Its default is the end: who is caught in a loop, even one of C, dies of it and is found out.
        signal.alarm(SECONDS)
        end, bad = look(folder / "damaged", name, files, base.history)
        signal.alarm(0)
        print(json.dumps({"name": name, "end": end, "bad": bad}), flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))
