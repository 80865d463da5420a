"""``store.limits``: how many jobs of a queue run at a time, and which tasks are paused."""

from __future__ import annotations

from typing import Protocol

from ..clock import Millis
from ..job import PausedTask


class Limits(Protocol):
    """What narrows a queue or holds back a task, for all workers.

    ``limit``: so many jobs of the queue run at a time, whoever claims them (promise I11; None: any number).
    ``declare`` is the same from code: it counts when it differs from what was declared last, so that what a
    person sets stands. ``running`` is how many run now. A paused task's jobs are set aside as claims come to
    them; ``bring_back`` gives back at most so many of tasks that are open again: ``resume`` does it, and a
    chore for a ``resume`` that was cut short."""

    def limit(self, queue: str, most: int | None) -> None: ...
    def declare(self, queue: str, most: int) -> bool: ...
    def running(self, queue: str) -> int: ...
    def pause(self, task: str, by: str, why: str, now: Millis | None = None) -> None: ...
    def resume(self, task: str) -> bool: ...
    def paused(self) -> list[PausedTask]: ...
    def bring_back(self, limit: int) -> int: ...
