"""A store on a disk that may fail, and its twin on a sound one that is asked the same.

The twin says what a step that failed would have made: the other holds all of that or nothing of it.
"""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from pathlib import Path

import apsw

from sidework.errors import StoreError
from sidework.store.sqlite.engine import SqliteStore

from .disk import Disk, Fault, Mark, no_fault
from .traffic import State, Step, Traffic, differences, fill, rows_of

FAULTS = [
    ("write", "-wal", apsw.SQLITE_FULL),
    ("write", "-wal", apsw.SQLITE_IOERR_WRITE),
    ("write", ".db", apsw.SQLITE_FULL),
    ("write", ".db", apsw.SQLITE_IOERR_WRITE),
    ("sync", "-wal", apsw.SQLITE_IOERR_FSYNC),
    ("sync", ".db", apsw.SQLITE_IOERR_FSYNC),
    ("sync", "", apsw.SQLITE_IOERR_FSYNC),
    ("read", ".db", apsw.SQLITE_IOERR_READ),
    ("read", "-wal", apsw.SQLITE_IOERR_READ),
    ("truncate", "", apsw.SQLITE_IOERR_TRUNCATE),
    ("open", ".db", apsw.SQLITE_CANTOPEN),
    ("open", "-wal", apsw.SQLITE_CANTOPEN),
    ("delete", "-wal", apsw.SQLITE_IOERR_DELETE),
    ("", "", apsw.SQLITE_IOERR),
]
"""What may fail, on which file, with which code. A read that brings less than asked for is not among
them: Linux does that at the end of a file only, which makes it a damaged file (row 20)."""


SYNCS = [fault for fault in FAULTS if fault[0] == "sync"]


def some_fault(draw: random.Random, kinds: Sequence[tuple[str, str, int]] = FAULTS) -> Fault:
    """One of them, at one of the next operations: once, for a while, or until it is taken away."""
    what, suffix, code = draw.choice(kinds)
    # One step writes many pages, and syncs, opens or cuts a file once or twice.
    after = draw.choice([1, 2, 3, 5, 8, 13, 21] if what in ("read", "write", "") else [1, 1, 2, 3])
    return Fault(what, suffix, after, draw.choice([1, 1, 2, 5, 1_000_000]), code)


class Pair:
    """Both stores, from the same files. ``bad`` is what went wrong; ``states[-1]`` is acknowledged."""

    def __init__(self, folder: Path, files: Mapping[str, bytes], seed: int) -> None:
        fill(folder / "disk", files)
        fill(folder / "sound", files)
        self.path = str(folder / "disk" / "jobs.db")
        self.disk = Disk(str(folder / "disk"))
        self.store = SqliteStore(self.path)
        self.twin = SqliteStore(str(folder / "sound" / "jobs.db"))
        self.traffic = Traffic(seed)
        self.bad: list[str] = []
        self.landed = self.refused = 0
        self.fault: Fault | None = None
        self.states: list[State] = [rows_of(self.twin)]
        self.quiet = [0]
        self.disk.events.append(Mark(0))

    def close(self) -> None:
        """Back to the disk as it is."""
        self.disk.fault = no_fault
        self.store.close()
        self.twin.close()
        self.disk.unregister()

    def step(self, fault: Fault | None = None) -> None:
        """Ask both for the next step. A fault stays until it has landed; the step that it met is
        asked again without it, since it has to work then."""
        step = self.traffic.next()
        answer = step.ask(self.twin)
        self.states.append(rows_of(self.twin))
        if fault is not None and self.fault is None:
            self.fault = self.disk.fault = fault
            if self.traffic.draw.random() < 0.3:
                self.store.close()  # then the step begins with opening the file
        done = self._ask(step)
        if self.fault is not None and self.fault.landed:
            # While it lasts, every further word is refused in the same way, or answered rightly.
            for _ in range(self.traffic.draw.randint(0, 2)):
                done = done or self._ask(step)
            met, self.fault, self.disk.fault = self.fault, None, no_fault
            self.landed += 1
            self._heal(step, done, met)
        elif self.fault is not None and self.traffic.draw.random() < 0.2:
            self.fault, self.disk.fault = None, no_fault  # nobody comes by there: another one
        self.traffic.told(step, answer)
        if step.quiet:
            self.quiet.append(len(self.states) - 1)
        self.disk.events.append(Mark(len(self.states) - 1))

    def _heal(self, step: Step, done: bool, met: Fault) -> None:
        """The fault is over: what was refused works, and both are alike and whole."""
        before, after = self.states[-2:]
        if not done and (step.quiet or rows_of(self.store) == before != after):
            self._ask(step)
        if self.traffic.draw.random() < 0.3:
            self.store.close()
        found = differences(rows_of(self.store), after) or self.store.check()
        self.bad += [f"after {step.verb} with {met}: {one}" for one in found[:1]]

    def _ask(self, step: Step) -> bool:
        try:
            step.ask(self.store)
        except StoreError as error:
            self.refused += 1
            if self.disk.fault is no_fault:
                self.bad.append(f"{step.verb} is refused on a sound disk: {error!r}")
            if not str(error) or "\n" in str(error):
                self.bad.append(f"{step.verb}: not one line: {error!r}")
            return False
        except Exception as error:  # noqa: BLE001 - whatever it is, it should have been a StoreError
            self.bad.append(f"{step.verb}: {error!r} is not one of ours")
            return False
        return True
