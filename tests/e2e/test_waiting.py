"""Jobs that wait for jobs: each gives its place back meanwhile, so that they never starve themselves."""

from __future__ import annotations

import pytest

from e2e.conftest import Ways
from sidework import JobFailed


@pytest.mark.parametrize("kind", ["thread", "process", "coroutine"])
def test_a_job_that_waits_for_a_job_gives_its_place_back(ways: Ways, kind: str) -> None:
    """With one place of each kind, and waits five deep."""
    ways.place.worker("ways", "--children", "1", "--threads", "1", "--concurrency", "1")
    task = getattr(ways, f"down_{kind}")
    assert task.enqueue(5).result(timeout=30) == 5
    # The place is whole again: one at a time, and every one of a crowd.
    jobs = [ways.thread.enqueue(tag) for tag in range(20)]
    assert [job.result(timeout=20) for job in jobs] == [tag + 1 for tag in range(20)]


def test_in_an_embedded_worker_too(ways: Ways) -> None:
    with ways.app.worker(threads=1, concurrency=1):
        assert ways.down_thread.enqueue(3).result(timeout=20) == 3
        assert ways.down_coroutine.enqueue(3).result(timeout=20) == 3


def test_a_coroutine_that_would_block_its_loop_is_refused(ways: Ways) -> None:
    ways.place.worker("ways", "--children", "1")
    with pytest.raises(JobFailed, match=r"use await job\.aresult\(\)"):
        ways.blocks_its_loop.enqueue().result(timeout=20)
