"""The pytest plugin: the fixture ``sidework``, an app in a sandbox for one test.

Loaded in every run of pytest where Sidework is installed, so it imports nothing before a test asks for it.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from ..client.app import Sidework
    from .sandbox import Sandbox

_WHICH = (
    "which app is tested? Write sidework_app = shop.jobs:app into the settings of pytest, or a fixture "
    "sidework_app that returns it"
)


def pytest_addoption(parser: pytest.Parser) -> None:
    """The setting ``sidework_app``."""
    parser.addini(
        "sidework_app", "the Sidework app under test: module, module:app or a path", "string"
    )


@pytest.fixture(scope="session")
def sidework_app(pytestconfig: pytest.Config) -> Sidework:
    """The app under test: the one that the setting ``sidework_app`` names. Write a fixture of this name to
    choose it otherwise."""
    from ..client.app import Sidework
    from ..errors import AppNotFound
    from ..tasks.finding import find_app

    spec = pytestconfig.getini("sidework_app")
    if not spec:
        pytest.fail(_WHICH, pytrace=False)
    try:
        app = find_app(spec)
    except AppNotFound as error:
        pytest.fail(f"sidework_app: {error}", pytrace=False)
    assert isinstance(app, Sidework)
    return app


@pytest.fixture
def sidework_url() -> str | None:
    """An empty store for one test; ``None`` is a file in a temporary folder. Write a fixture of this name
    where the code under test enqueues on connections to a database of its own."""
    return None


@pytest.fixture
def sidework(sidework_app: Sidework, sidework_url: str | None) -> Iterator[Sandbox]:
    """The app under test in a sandbox: its jobs run when the test says so."""
    from .sandbox import Sandbox

    leave = (pytest.fail.Exception, pytest.skip.Exception, pytest.exit.Exception)
    with Sandbox(sidework_app, sidework_url, leave) as sandbox:
        yield sandbox
