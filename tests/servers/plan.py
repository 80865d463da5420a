"""What a proxy does to whom, drawn from a seed, so that a run can be had again."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from random import Random
from typing import Literal

Kind = Literal["pass", "swallow", "cut", "reset", "delay", "fail"]


@dataclass(frozen=True, slots=True)
class Fate:
    """Of one request. ``amount``: bytes of the answer that still pass (cut), seconds (delay), which of the
    failures, from 0 to 1 (fail)."""

    kind: Kind = "pass"
    amount: float = 0.0

    @property
    def holds(self) -> bool:
        """Whether the answer waits until all of it is known."""
        return self.kind in ("swallow", "cut", "delay")


@dataclass(frozen=True)
class Plan:
    """Probabilities for each request (a Query, or a Sync with what goes before it).

    ``swallow``: the server acts and commits, the answer is dropped, the connection is cut (an answer that
    commits nothing passes) · ``cut``: the answer breaks off within its first ``within`` bytes ·
    ``reset``: the request never arrives, the client gets a RST · ``delay``: the answer waits, up to
    ``longest`` seconds · ``fail``: the server is asked for a failure instead of what was asked, which is
    undone whole: a deadlock, or that it could not be serialized; not in place of what opens, sets or ends
    something (``wire.QUIET``). ``tags``, if given, are the first words of the command tags to swallow.

    A connection's fates depend on the seed, its ``application_name`` and how many of that name came
    before: other connections, and how long things take, do not change them.
    """

    seed: int
    swallow: float = 0.0
    cut: float = 0.0
    reset: float = 0.0
    delay: float = 0.0
    fail: float = 0.0
    within: int = 64
    longest: float = 0.05
    tags: frozenset[str] | None = None

    def fates(self, name: str, nth: int) -> Iterator[Fate]:
        """Endless."""
        random = Random(f"{self.seed}/{name}/{nth}")
        shares: list[tuple[Kind, float, float]] = [
            ("swallow", self.swallow, 0.0),
            ("cut", self.cut, self.within),
            ("reset", self.reset, 0.0),
            ("delay", self.delay, self.longest),
            ("fail", self.fail, 1.0),
        ]
        while True:
            drawn, size = random.random(), random.random()
            for kind, share, most in shares:
                if drawn < share:
                    yield Fate(kind, size * most)
                    break
                drawn -= share
            else:
                yield Fate()
