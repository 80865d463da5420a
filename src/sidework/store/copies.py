"""``store.copies``: how jobs go from one store to another (``copying.py`` carries them)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from ..clock import Millis
from ..job import Copied, Verdict

DUMP_BYTES = 1_000_000
"""A page of ``dump`` ends with the job that fills so many: results may be megabytes each."""


class Copies(Protocol):
    """``dump`` reads whole jobs by rising id, at most ``limit`` and some ``DUMP_BYTES``, each with the
    attempts of the same moment; none means the end. ``load`` stores them as they are, all or none, and
    refuses those that run; what is there stays as it is, and ``Copied.verdict`` judges it. ``disown``
    cancels those that wait and still have the fence given; which of them it did."""

    def dump(self, after: bytes | None, limit: int) -> list[Copied]: ...
    def load(self, jobs: Sequence[Copied]) -> list[Verdict]: ...
    def disown(
        self, jobs: Sequence[Copied], note: str, now: Millis | None = None
    ) -> list[bool]: ...
