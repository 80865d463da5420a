"""A signal's handler raises while the store waits for its server, as a program's own timeout does."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator

import pytest

from sidework.ids import new_id
from sidework.job import NewJob
from sidework.store.postgres.connection import Connection, numbered, rows
from sidework.store.postgres.engine import PostgresStore
from sidework.store.postgres.session import Session


class Late(Exception):
    """The program's."""


@pytest.fixture
def late() -> Iterator[None]:
    """Raised as soon as the server is waited for."""

    def handler(*_: object) -> None:
        raise Late

    before = signal.signal(signal.SIGALRM, handler)
    yield
    signal.setitimer(signal.ITIMER_REAL, 0)
    signal.signal(signal.SIGALRM, before)


def wait(connection: Connection) -> None:
    signal.setitimer(signal.ITIMER_REAL, 0.05)
    rows(connection, numbered("SELECT FROM pg_sleep(60)", ""), [])


def by_itself(session: Session) -> None:
    session.read(wait)


def in_a_transaction(session: Session) -> None:
    session.write(wait)


@pytest.mark.usefixtures("late")
@pytest.mark.parametrize("way", [by_itself, in_a_transaction])
def test_the_next_statement_goes_out_all_the_same(
    store: PostgresStore, way: Callable[[Session], None]
) -> None:
    job = NewJob(new_id(), "m:f", b"\x01{}")
    store.insert([job])
    with pytest.raises(Late):
        way(store._session)
    assert [one.verdict for one in store.insert([job])] == ["present"]
