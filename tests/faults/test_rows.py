"""A short run of each row of the fault table; the long ones are ``scripts/prove ROW``."""

from __future__ import annotations

from pathlib import Path

import pytest

from .planted import BUGS, caught
from .rows import ROWS


@pytest.mark.parametrize("row", ROWS)
def test_a_row_of_the_fault_table(tmp_path: Path, row: int) -> None:
    run, smoke, _, _ = ROWS[row]
    told = run(tmp_path, smoke, 1)
    assert told["bad"] == []
    assert told["landed"] >= 1


def test_a_planted_bug_is_caught(tmp_path: Path) -> None:
    """Row 33, a fast one; all of them by ``scripts/prove 33``."""
    assert caught(BUGS[0], tmp_path)
