"""Each planted bug still has its place in the source: else nobody sees that it is no longer tried."""

from __future__ import annotations

import pytest

from .planted import BUGS, ROOT, Bug


@pytest.mark.parametrize("bug", BUGS, ids=lambda bug: bug.name)
def test_a_planted_bug_has_its_place(bug: Bug) -> None:
    for path, old, new in ((bug.path, bug.old, bug.new), *bug.more):
        assert old != new
        assert old in (ROOT / "src" / "sidework" / path).read_text("utf-8"), path
