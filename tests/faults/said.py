"""What workers say, with the moment at which each piece was there to read."""

from __future__ import annotations

import re
import threading
from pathlib import Path
from time import monotonic_ns
from types import TracebackType

_LOOK_SECONDS = 0.005


class Said:
    """Reads a log while it grows; for ``with``."""

    def __init__(self, path: Path) -> None:
        path.touch()
        self._path = path
        self._pieces: list[tuple[int, bytes]] = []
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> Said:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stop.set()
        self._thread.join()

    def find(self, pattern: str) -> list[tuple[int, re.Match[str]]]:
        """All matches, each with the time (monotonic ns) at which its last character was read."""
        pieces = list(self._pieces)
        text = b"".join(piece for _, piece in pieces).decode("ascii", "replace")
        ends, length = [], 0
        for at, piece in pieces:
            length += len(piece)
            ends.append((length, at))
        found = []
        for match in re.finditer(pattern, text):
            while ends[0][0] < match.end():
                ends.pop(0)
            found.append((ends[0][1], match))
        return found

    def _run(self) -> None:
        stopped = False
        with open(self._path, "rb") as file:
            while not stopped:
                stopped = self._stop.wait(_LOOK_SECONDS)
                if piece := file.read():
                    self._pieces.append((monotonic_ns(), piece))
