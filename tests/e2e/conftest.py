"""A place whose app has a task for every way a job can behave; each run leaves a line in a log."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest

from conftest import Place
from engines import ENGINES
from sidework.job import JobFilter
from sidework.state import LIVE

ON_EACH_ENGINE = {
    "test_api", "test_outcomes", "test_waiting", "test_deaths", "test_finishing", "test_partition",
    "test_telling", "test_flows",
    "test_operations", "test_spans", "test_widths",
}  # fmt: skip
"""Files whose tests run on every engine. The others say little of one: ``test_copy`` has both in it,
``test_recorder`` and ``test_rough`` try the worker's own parts."""


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """A test that is about one engine says so, and why: ``sqlite_alone(reason)``."""
    if (
        "engine" in metafunc.fixturenames
        and metafunc.module.__name__.split(".")[-1] in ON_EACH_ENGINE
    ):
        alone = metafunc.definition.get_closest_marker("sqlite_alone")
        metafunc.parametrize("engine", ["sqlite"] if alone else sorted(ENGINES), indirect=False)


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


@contextmanager
def loaded(place: Place, name: str) -> Iterator[Any]:
    """The app ``name`` of this folder, in the place: as its workers and as the test's program see it."""
    path = place.write(f"{name}.py", (Path(__file__).parent / f"{name}.py").read_text())
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    module.app.store  # noqa: B018 - made, so that workers start
    yield module
    module.app.close()
    sys.modules.pop(name, None)


@pytest.fixture
def ways(place: Place, monkeypatch: pytest.MonkeyPatch) -> Iterator[Ways]:
    monkeypatch.setenv("SIDEWORK_URL", place.url)
    monkeypatch.chdir(place.folder)
    with loaded(place, "ways") as module:
        yield Ways(place, module)


class Kept:
    """A place with its app and a worker, for the tests of a file one after the other: to start these takes
    longer than what most tests do with them."""

    def __init__(self, folder: Path, engine: str, name: str, *words: str) -> None:
        self._stack = ExitStack()
        self.place = Place(folder, engine)
        self._stack.callback(self.place.close)
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("SIDEWORK_URL", self.place.url)
            self.module = self._stack.enter_context(loaded(self.place, name))
        if prepare := getattr(self.module, "prepare", None):
            prepare()
        self.worker = self.place.worker(name, *words)
        self._files = {*self.place.folder.iterdir()}

    def renewed(self) -> Kept:
        """As it was at its begin, but for its jobs, which have ended."""
        for path in {*self.place.folder.iterdir()} - self._files:
            if path.is_file() and "jobs.db" not in path.name:
                path.unlink()
        sys.modules[self.module.__name__] = self.module
        self.worker.forget()
        return self

    def usable(self) -> bool:
        """Whether nothing is left of the test before: a job, or a worker's end."""
        live = JobFilter(states=tuple(LIVE))
        return self.worker.process.poll() is None and not self.module.app.store.page(live, None, 1)

    def close(self) -> None:
        self._stack.close()


Keep = Callable[..., Kept]


@pytest.fixture(scope="module")
def keep(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Keep]:
    """The one of this engine, made anew where a test before left something behind."""
    kept: dict[str, Kept] = {}

    def one(engine: str, name: str, *words: str) -> Kept:
        if engine in kept and not kept[engine].usable():
            kept.pop(engine).close()
        if engine not in kept:
            kept[engine] = Kept(tmp_path_factory.mktemp(name), engine, name, *words)
        return kept[engine].renewed()

    yield one
    for each in kept.values():
        each.close()
