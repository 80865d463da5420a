"""Combining (group commit): callers that meet share one transaction.

A caller puts its command in the line and tries to become the leader. The leader takes everything
that is queued, runs it as one batch, and hands out the results; what queued during its commit is
the next batch. No writer thread to hop to, no artificial delay. A caller that waits for its own
command holds at most one place in the line, so the line is bounded by the number of callers.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from typing import Generic, TypeVar

C = TypeVar("C")
R = TypeVar("R")


class Combiner(Generic[C, R]):
    """Runs commands of callers in batches; ``run`` gets them in order, gives a result for each.

    A result may be an exception: it is raised at its caller only.
    """

    def __init__(
        self,
        run: Callable[[Sequence[C]], Sequence[R | BaseException]],
        weigh: Callable[[C], int],
        cap: int,
    ) -> None:
        self._run = run
        self._weigh = weigh
        self._cap = cap
        self._line: deque[tuple[C, Future[R]]] = deque()
        self._lead = threading.Lock()

    def submit(self, command: C) -> R:
        """Run the command, alone or with others; returns its result or raises its error."""
        # Alone: nothing to share, so no future and no second look at the line.
        if not self._line and self._lead.acquire(blocking=False):
            try:
                if not self._line:
                    (result,) = self._run([command])
                    if isinstance(result, BaseException):
                        raise result
                    return result
            finally:
                self._lead.release()
                # Whoever queued meanwhile waits for the lock itself, not for a call from us.
        future: Future[R] = Future()
        self._line.append((command, future))
        # Whoever gets the lock serves the head of the line until its own command is done. A caller
        # cannot be forgotten: it either finds its future done, or takes the lock and does it.
        while not future.done():
            with self._lead:
                if not future.done():
                    self._serve()
        return future.result()

    def _serve(self) -> None:
        batch: list[tuple[C, Future[R]]] = []
        weight = 0
        while self._line and (not batch or weight + self._weigh(self._line[0][0]) <= self._cap):
            batch.append(self._line.popleft())
            weight += self._weigh(batch[-1][0])
        try:
            results = self._run([command for command, _ in batch])
        except BaseException as error:  # noqa: BLE001 - every caller of the batch must hear of it
            for _, future in batch:
                future.set_exception(error)
            return
        for (_, future), result in zip(batch, results, strict=True):
            if isinstance(result, BaseException):
                future.set_exception(result)
            else:
                future.set_result(result)
