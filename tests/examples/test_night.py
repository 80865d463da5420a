"""The night's reports with time moved, and by a real worker whose clock fires them."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from importlib import import_module
from typing import Any

import pytest

from conftest import until
from examples.conftest import Example
from sidework.testing import Sandbox


@pytest.fixture
def night(example: Example, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    monkeypatch.syspath_prepend(example.folder)
    monkeypatch.delitem(sys.modules, "night", raising=False)
    module = import_module("night")
    yield module
    module.jobs.close()


def test_every_night_has_its_report_however_late(example: Example, night: Any) -> None:
    """Three nights pass while nobody works. Each report is of its own day, in the shop's own zone."""
    with Sandbox(night.jobs, example.place.url) as sandbox:
        night.make_tables()
        first = sandbox.now.astimezone(night.ZONES["berlin"]).date() + timedelta(days=2)
        midnight = night.hours_of(first, night.ZONES["berlin"])[0]
        with night.jobs.transaction() as connection:
            for at, cents in ((midnight - 1, 1), (midnight, 20), (midnight + 3600, 300)):
                connection.execute(f"INSERT INTO orders VALUES ('berlin', {at}, {cents})")
        sandbox.move_to(
            datetime.combine(first + timedelta(days=1), datetime.min.time(), UTC)
            + timedelta(hours=12)
        )
        done = sandbox.drain()
        assert {info.state for info in done} == {"completed"}
        with night.jobs.transaction() as connection:
            rows = connection.execute(
                "SELECT day, orders, cents FROM sales WHERE shop = 'berlin' ORDER BY day"
            ).fetchall()
            reports = {day: (orders, cents) for day, orders, cents in rows}
        before = (first - timedelta(days=1)).isoformat()
        assert (reports[before], reports[first.isoformat()]) == ((1, 1), (2, 320))
        assert len(list((example.folder / "reports").glob("berlin-*.csv"))) == len(reports) == 3
        assert (example.folder / "reports" / f"berlin-{first}.csv").read_text().split() == [
            "orders,cents", "2,320",
        ]  # fmt: skip
        # Sweeps that came due while one waited are left out.
        assert [info.task for info in done].count(night.sweep.name) == 1


def test_a_day_has_the_hours_that_it_has(night: Any) -> None:
    zone = night.ZONES["berlin"]
    for day, hours in ((date(2027, 3, 28), 23), (date(2027, 10, 31), 25), (date(2027, 6, 1), 24)):
        first, last = night.hours_of(day, zone)
        assert last - first == hours * 3600


def test_a_worker_sweeps_by_itself(example: Example) -> None:
    assert "sales-newyork next at" in example.run("night.py")
    with example.app.transaction() as connection:
        connection.execute("INSERT INTO baskets VALUES (1, 0), (2, 4000000000)")
    example.place.worker("night", "--children", "1")

    def left() -> list[int]:
        with example.app.transaction() as connection:
            return [row[0] for row in connection.execute("SELECT id FROM baskets").fetchall()]

    until(lambda: left() == [2], "a sweep by the clock")
