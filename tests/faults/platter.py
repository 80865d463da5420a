"""What a disk holds after a power cut, made from the record of a ``Disk``.

Synced content is certain. Of what is not, each write by itself is there, not there, or there in part
(sectors of 512 bytes), whatever came after it; a file may have grown without its content; a name may
be there or gone. One thing is taken for granted, as SQLite does on Linux ("powersafe overwrite"): bytes
beside those that were being written are left alone.
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Mapping

from .disk import Cut, Event, Gone, Made, Synced, Unsynced, Wrote

SECTOR = 512

Loose = Wrote | Cut


class Platter:
    """What is certain, and what is loose, after the events so far. Starts with the files given."""

    def __init__(self, files: Mapping[str, bytes], draw: random.Random) -> None:
        self._draw = draw  # for what is decided once: the fate of writes whose sync failed
        # Files from before the record have numbers of their own (below 0) until they are opened.
        self._content = {-n: bytearray(body) for n, body in enumerate(files.values(), 1)}
        self._loose: dict[int, list[Loose]] = {n: [] for n in self._content}
        # What each name led to: first what is certain, then the changes since, in their order.
        self._names: dict[str, list[int | None]] = {name: [-n] for n, name in enumerate(files, 1)}
        self.honest = True
        """False makes a disk that says "synced" and does nothing: the harness must notice it."""

    def step(self, event: Event) -> None:
        """Let one event happen."""
        if isinstance(event, Made):
            old = self._names.setdefault(event.name, [None])
            self._loose[event.file] = []
            if old[-1] is not None and old[-1] < 0:
                self._content[event.file] = self._content.pop(old[-1])
                old[-1] = event.file
            else:
                self._content[event.file] = bytearray()
                old.append(event.file)
        elif isinstance(event, Gone):
            self._names.setdefault(event.name, [None]).append(None)
            if event.certain:
                self._sync_names()
        elif isinstance(event, Wrote | Cut):
            self._loose[event.file].append(event)
        elif isinstance(event, Synced) and self.honest:
            _apply(self._content[event.file], self._loose[event.file])
            self._loose[event.file].clear()
            if event.folder:
                self._sync_names()
        elif isinstance(event, Unsynced):
            fate = _fate(self._draw, self._loose[event.file])
            _apply(self._content[event.file], fate)
            self._loose[event.file].clear()

    def _sync_names(self) -> None:
        for name, files in self._names.items():
            self._names[name] = files[-1:]

    @property
    def loose(self) -> int:
        """How much a cut at this moment could take."""
        names = sum(len(files) - 1 for files in self._names.values())
        return names + sum(len(ops) for ops in self._loose.values())

    def image(self, draw: random.Random) -> dict[str, bytes]:
        """What the disk could hold, were the power cut now."""
        files: dict[str, bytes] = {}
        for name, numbers in self._names.items():
            number = draw.choice(numbers)
            if number is not None:
                content = bytearray(self._content[number])
                _apply(content, _fate(draw, self._loose[number]))
                files[name] = bytes(content)
        return files


def _apply(content: bytearray, operations: Iterable[Loose]) -> None:
    for one in operations:
        size = one.size if isinstance(one, Cut) else one.offset + len(one.data)
        if size > len(content):
            content.extend(bytes(size - len(content)))
        if isinstance(one, Wrote):
            content[one.offset : size] = one.data
        else:
            del content[size:]


def _fate(draw: random.Random, operations: list[Loose]) -> list[Loose]:
    """Which of the operations took, and how much of each. Their order stays: each sector holds one
    of the versions that were written to it, or what was there before."""
    way = draw.random()
    if way < 0.1:
        return list(operations)
    if way < 0.2:
        return operations[: draw.randint(0, len(operations))]
    kept, torn = draw.choice([(0.0, 0.3), (0.1, 0.2), (0.4, 0.4), (0.8, 0.2), (0.95, 0.0)])
    took: list[Loose] = []
    for one in operations:
        luck = draw.random()
        if luck < kept:
            took.append(one)
        elif isinstance(one, Wrote):
            if luck < kept + torn:
                took += _torn(draw, one)
            elif draw.random() < 0.2:
                # The size is written on its own: it may be there before the content.
                took.append(Wrote(one.file, one.offset + len(one.data), b""))
    return took


def _torn(draw: random.Random, one: Wrote) -> Iterable[Wrote]:
    """The parts of the write that took; now and then a sector that was being written is garbage."""
    start, end = one.offset, one.offset + len(one.data)
    while start < end:
        stop = min(end, start - start % SECTOR + SECTOR)
        luck = draw.random()
        if luck < 0.5:
            yield Wrote(one.file, start, one.data[start - one.offset : stop - one.offset])
        elif luck < 0.55:
            yield Wrote(one.file, start, draw.randbytes(stop - start))
        start = stop
