"""A real server that answers 429, 500 and nothing, and what becomes of the jobs that ask it."""

from __future__ import annotations

import sys
from collections.abc import Callable
from decimal import Decimal
from importlib import import_module

import httpx
import pytest

from examples.conftest import Example


def test_asked_gently_again_and_not_for_ever(
    example: Example, free_port: Callable[[], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    port = free_port()
    service = f"http://localhost:{port}"
    example.place.extra["SERVICE"] = service
    example.serve("provider.py", PORT=port)
    monkeypatch.syspath_prepend(example.folder)
    monkeypatch.delitem(sys.modules, "rates", raising=False)
    rates = import_module("rates")
    for _ in range(2):
        example.place.worker("rates", "--children", "1")
    names = ("busy", "flaky", "stuck", "down", "nothing")
    jobs = {name: rates.rate.enqueue(name) for name in names}
    many = [rates.rate.enqueue("usd") for _ in range(20)]
    assert {job.result(timeout=60) for job in many} == {Decimal("1.25")}
    assert [str(jobs[name].wait(timeout=60)) for name in names] == [
        "completed", "completed", "completed", "discarded", "discarded",
    ]  # fmt: skip
    failed = {
        name: [attempt.kind.rpartition(".")[2] for attempt in jobs[name].attempts()]
        for name in names
    }
    assert failed == {
        "busy": ["Retry"],
        "flaky": ["HTTPStatusError"] * 2,
        "stuck": ["TimeoutError"],
        "down": ["HTTPStatusError"] * 4,
        "nothing": ["Discard"],
    }
    (told,) = jobs["busy"].attempts()
    again = next(
        event.at
        for event in jobs["busy"].events()
        if event.kind == "started" and event.attempt == 2
    )
    assert (again - told.finished_at).total_seconds() >= 1  # as Retry-After said
    assert 1 < httpx.get(f"{service}/rates/most").json()["most"] <= 4  # the limit, by both workers
    # The dead letters, once the service is mended.
    httpx.post(f"{service}/mend")
    dead = ("--app", "rates", "--state", "discarded", "--task", "rate")
    assert "2" in example.place.sidework("jobs", "retry", *dead).stdout
    assert jobs["down"].result(timeout=60) == Decimal("1.25")
    assert jobs["nothing"].wait(timeout=60) == "discarded"
    rates.jobs.close()


@pytest.mark.sqlite_alone("about the printing")
def test_all_of_it_in_one_command(example: Example, free_port: Callable[[], str]) -> None:
    said = example.run("rates.py", SERVICE=f"http://localhost:{free_port()}")
    assert "down    discarded after 4 failures" in said
    again = said.partition("run again")[2].splitlines()[1:]
    assert sorted(again) == ["down    completed", "nothing discarded"]
