"""A place whose app has a task for every way a job can behave; each run leaves a line in a log."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from conftest import Place

APP = Path(__file__).parent / "ways.py"


class Ways:
    """The place, the app as the test's own program sees it, and the log of runs."""

    def __init__(self, place: Place, app: Any) -> None:
        self.place = place
        self.module = app
        self.app = app.app

    def __getattr__(self, task: str) -> Any:
        return getattr(self.module, task)

    def runs(self, tag: object) -> list[tuple[str, int, int]]:
        """(what, attempt, process) of every line that jobs with this tag wrote, in order."""
        path = self.place.folder / "runs.log"
        lines = path.read_text().splitlines() if path.exists() else []
        split = [line.split() for line in lines]
        return [(what, int(n), int(pid)) for what, key, n, pid in split if key == str(tag)]


@pytest.fixture
def ways(place: Place, monkeypatch: pytest.MonkeyPatch) -> Iterator[Ways]:
    path = place.folder / "ways.py"
    path.write_text(APP.read_text())
    monkeypatch.setenv("SIDEWORK_URL", place.url)
    monkeypatch.chdir(place.folder)
    spec = importlib.util.spec_from_file_location("ways", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["ways"] = module
    spec.loader.exec_module(module)
    module.app.store  # noqa: B018 - made, so that workers start
    yield Ways(place, module)
    module.app.close()
    del sys.modules["ways"]
