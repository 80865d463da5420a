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


@pytest.mark.sqlite_alone("about the printing; jobs of both engines are below")
def test_all_ways_find_the_same(example: Example) -> None:
    said = example.run("primes.py", "20000")
    assert re.findall(r"^(\w+) .* s +([\d,]+) primes", said, re.M) == [
        ("by_one_core", "2,262"),
        ("by_multiprocessing", "2,262"),
        ("by_jobs", "2,262"),
    ]


def test_a_part_whose_process_is_killed_is_done_again(example: Example, primes: Any) -> None:
    worker = example.place.worker("primes")
    # One part that takes a second or two, and tells of itself after a tenth.
    (part,), total = primes.count_below(300_000, 1)
    until(lambda: part.progress, "its progress")
    os.kill(
        next(
            pid for pid in worker.children() if b"solo" in Path(f"/proc/{pid}/cmdline").read_bytes()
        ),
        signal.SIGKILL,
    )
    assert total.result(timeout=60) == 25_997
    assert len(part.attempts()) == 1
