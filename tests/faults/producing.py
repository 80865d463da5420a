"""Threads of this program that enqueue one job after another, each until the store has taken it."""

from __future__ import annotations

import threading
from collections.abc import Callable
from types import TracebackType
from typing import Any

from sidework.errors import StoreError, StoreUnavailable
from sidework.ids import id_text
from sidework.store.opening import open_store
from sidework.store.protocol import Store
from sidework.tasks.task import Bound

from .field import pause


class Producers:
    """For ``with``: they end with it. What goes wrong in one is raised there.

    ``told`` are the acknowledged ids; ``refusals`` what callers were told instead, each of which made
    them ask again with the same job (promise I12); ``again`` those that were stored all the same.
    Each thread rests for ``rest`` seconds between two, and all hand over at most ``most`` jobs.
    """

    def __init__(
        self, url: str, bind: Callable[[], Bound[Any]], *, threads: int = 4, most: int = 2**62,
        rest: float = 0.0,
    ) -> None:  # fmt: skip
        self.store: Store = open_store(url)
        self.told: list[str] = []
        self.refusals: list[str] = []
        self.again = 0
        self._bind = bind
        self._most = most
        self._rest = rest
        self._handed = 0
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._failed: list[BaseException] = []
        self._threads = [threading.Thread(target=self._run) for _ in range(threads)]

    def __enter__(self) -> Producers:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stop.set()
        self.join()
        self.store.close()

    def join(self) -> None:
        """Wait until they have handed over all they may."""
        for thread in self._threads:
            thread.join()
        if self._failed:
            raise self._failed[0]

    def _run(self) -> None:
        try:
            while (bound := self._next()) is not None:
                self._hand_over(bound)
        except BaseException as error:  # noqa: BLE001 - raised by join
            self._failed.append(error)

    def _next(self) -> Bound[Any] | None:
        if self._rest:
            self._stop.wait(self._rest)
        with self._lock:
            if self._stop.is_set() or self._handed >= self._most:
                return None
            self._handed += 1
            return self._bind()

    def _hand_over(self, bound: Bound[Any]) -> None:
        while True:
            try:
                (answer,) = self.store.insert([bound.job])
            except StoreUnavailable as refusal:
                with self._lock:
                    self.refusals.append(str(refusal))
                pause(0.05)
                continue
            break
        if answer.verdict == "conflict":
            raise StoreError(f"{id_text(bound.job.id)} was stored with another content")
        with self._lock:
            self.again += answer.verdict == "present"
            self.told.append(id_text(bound.job.id))
