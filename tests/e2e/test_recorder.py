"""A turn that fails after it was committed: what it claimed is found again, what it recorded lands once."""

from __future__ import annotations

import threading
from typing import Any

import pytest

from conftest import until
from e2e.conftest import Ways
from sidework import State
from sidework.errors import StoreUnavailable
from sidework.store.opening import open_store
from sidework.worker.crew import Crew
from sidework.worker.worker import Worker


class LosesAnswers:
    """The real store; some turns are committed and then told as failed."""

    def __init__(self, url: str, which: str) -> None:
        self._store = open_store(url)
        self._which = which
        self.lost = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    def turn(self, outcomes: Any, demand: Any, now: Any = None, notes: Any = ()) -> Any:
        turn = self._store.turn(outcomes, demand, now, notes)
        if self.lost < 3 and (turn.claimed if self._which == "claim" else outcomes):
            self.lost += 1
            raise StoreUnavailable("the answer was lost")
        return turn


@pytest.mark.parametrize("which", ["claim", "record"])
def test_a_lost_answer_loses_nothing(ways: Ways, which: str) -> None:
    """I1, I3: no job is stuck at a living worker, none runs under two claims, none spends an attempt."""
    jobs = [ways.thread.enqueue(tag) for tag in range(20)]
    opened: list[LosesAnswers] = []

    def opening(url: str) -> Any:
        opened.append(LosesAnswers(url, which))
        return opened[-1]

    crew = Crew([str(ways.place.folder / "ways.py")], 1, 1, 10, 2)
    worker = Worker(crew, opening)
    thread = threading.Thread(target=worker.run)
    thread.start()
    try:
        assert [job.result(timeout=20) for job in jobs] == [tag + 1 for tag in range(20)]
    finally:
        worker.stop()
        thread.join()
    assert opened[0].lost == 3
    assert all(job.info().attempt == 1 for job in jobs)
    assert all(len(ways.runs(tag)) == 1 for tag in range(20))
    until(lambda: all(row.state is State.COMPLETED for row in ways.app.jobs()))
