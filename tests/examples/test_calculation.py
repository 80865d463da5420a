"""The calculation in its own command, and with a process killed in the middle of its part."""

from __future__ import annotations

import os
import re
import signal
import sys
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

from conftest import until
from examples.conftest import Example


@pytest.fixture
def primes(example: Example, monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.syspath_prepend(example.folder)
    monkeypatch.delitem(sys.modules, "primes", raising=False)
    module = import_module("primes")
    yield module
    module.jobs.close()


def test_all_ways_find_the_same(example: Example) -> None:
    said = example.run("primes.py", "20000")
    assert re.findall(r"^(\w+) .* s +([\d,]+) primes", said, re.M) == [
        ("by_one_core", "2,262"),
        ("by_multiprocessing", "2,262"),
        ("by_jobs", "2,262"),
    ]


def test_a_killed_process_costs_its_part_alone(example: Example, primes: Any) -> None:
    worker = example.place.worker("primes")
    counts, total = primes.count_below(200_000, 4)
    until(lambda: any(job.progress for job in counts), "progress of a part")
    os.kill(
        next(
            pid for pid in worker.children() if b"solo" in Path(f"/proc/{pid}/cmdline").read_bytes()
        ),
        signal.SIGKILL,
    )
    assert total.result(timeout=60) == 17_984
    assert sum(len(job.attempts()) for job in counts) == 1
    assert len(list(example.app.jobs())) == 5
