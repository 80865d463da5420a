"""The demo: its table says that a child was killed and that nothing was lost."""

from __future__ import annotations

import re

from conftest import Place


def test_the_demo_kills_a_child_and_loses_nothing(place: Place) -> None:
    done = place.sidework("demo", "--files", "400")
    assert done.returncode == 0, done.stderr
    rows = (re.split(" {2,}", line, maxsplit=1) for line in done.stdout.splitlines())
    told = {row[0]: row[1] for row in rows if len(row) == 2}
    assert told["jobs"] == "400"
    assert told["jobs lost"].startswith("0 ")
    assert int(told["failures retried"]) >= 10
    assert re.fullmatch(r"pid \d+", told["child killed with SIGKILL"])
    assert int(told["jobs it was running, run again"]) >= 1
