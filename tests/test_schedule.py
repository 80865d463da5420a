"""Schedules by hand-picked days; all zones and years are row 25 of the fault table."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import islice
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from sidework import BadTask, BadValue, Sidework
from sidework.ids import derived_id, parse_id
from sidework.schedule import Schedule, schedule_of

HOUR = 3_600_000


def shown(cron: str, tz: str, since: str, count: int) -> list[str]:
    """The ticks after a reading of the clock on the wall, as it shows them."""
    zone = ZoneInfo(tz)
    begin = round(datetime.fromisoformat(since).replace(tzinfo=zone).timestamp() * 1000)
    ticks = islice(schedule_of(cron, None, tz, None, None).ticks(begin), count)
    return [f"{datetime.fromtimestamp(tick / 1000, zone):%d %H:%M %z}" for tick in ticks]


DAYS = {
    "a time of day that is left out comes when the clocks go on": (
        "30 2 * * *", "Europe/Berlin", "2026-03-28T12:00", ["29 03:00 +0200", "30 02:30 +0200"],
    ),
    "several of them come once": (
        "0,30 2 * * *", "Europe/Berlin", "2026-03-28T12:00", ["29 03:00 +0200", "30 02:00 +0200"],
    ),
    "one that comes twice comes the first time": (
        "30 2 * * *", "Europe/Berlin", "2026-10-24T12:00", ["25 02:30 +0200", "26 02:30 +0100"],
    ),
    "what comes each time is left out with its hour": (
        "*/30 2 * * *", "Europe/Berlin", "2026-03-28T12:00", ["30 02:00 +0200", "30 02:30 +0200"],
    ),
    "and comes twice with its hour": (
        "*/30 2 * * *", "Europe/Berlin", "2026-10-25T01:00",
        ["25 02:00 +0200", "25 02:30 +0200", "25 02:00 +0100", "25 02:30 +0100", "26 02:00 +0100"],
    ),
    "at midnight too": (
        "*/30 1 * * fri", "Africa/Cairo", "2026-04-23T12:00", ["24 01:00 +0300", "24 01:30 +0300"],
    ),
    "by half an hour too": (
        "*/15 2 * * *", "Australia/Lord_Howe", "2026-04-05T00:00", ["05 02:00 +1030", "05 02:15 +1030"],
    ),
}  # fmt: skip


@pytest.mark.parametrize(("cron", "tz", "since", "wanted"), DAYS.values(), ids=DAYS)
def test_a_day_on_which_clocks_are_changed(cron: str, tz: str, since: str, wanted: Any) -> None:
    assert shown(cron, tz, since, len(wanted)) == wanted


def test_a_length_of_time_counts_from_the_same_moment_for_all() -> None:
    every = schedule_of(None, "90m", None, None, None)
    assert list(islice(every.ticks(1), 2)) == [5_400_000, 10_800_000]
    assert every.after(5_400_000 - 1) == 5_400_000
    begun = schedule_of(None, timedelta(hours=1), None, 7, 7 + 2 * HOUR)
    assert list(begun.ticks(-1)) == [7, 7 + HOUR, 7 + 2 * HOUR]


def test_the_latest_ticks_are_found_from_the_end() -> None:
    yearly, minutely = Schedule("0 0 1 1 *"), Schedule("* * * * *")
    end = round(datetime(2026, 6, 1, tzinfo=UTC).timestamp() * 1000)
    first = yearly.after(0)
    assert first is not None
    found = [datetime.fromtimestamp(tick / 1000, UTC).year for tick in yearly.latest(first, end, 3)]
    assert found == [2024, 2025, 2026]
    assert minutely.latest(60_000, end, 2) == [end - 60_000, end]
    assert minutely.latest(end, end, 2) == [end]


def test_the_id_of_a_tick_is_a_uuid_that_sorts_by_its_time() -> None:
    one, two = derived_id(1_700_000_000_000, "p"), derived_id(1_700_000_000_001, "p")
    assert one < two
    assert one == derived_id(1_700_000_000_000, "p") != derived_id(1_700_000_000_000, "q")
    assert parse_id(one)[6] >> 4 == 8


def task(n: int, word: str = "") -> int:
    return n


LATER = datetime(2030, 1, 1, tzinfo=UTC)
WRONG: dict[str, tuple[tuple[Any, ...], dict[str, Any], type[Exception], str]] = {
    "nothing": ((), {}, BadValue, "cron expression or every="),
    "both": (("* * * * *",), {"every": "1m"}, BadValue, "not both"),
    "four fields": (("* * * *",), {}, BadValue, "expected five fields"),
    "six fields": (("* * * * * *",), {}, BadValue, "expected five fields"),
    "a minute too far": (("60 * * * *",), {}, BadValue, "bad minute; expected five fields"),
    "words": (("every day at noon now",), {}, BadValue, "is not a cron expression"),
    "a day that is in no month": (("0 0 30 2 *",), {}, BadValue, "never fires"),
    "days that never meet": (("* * */20 * 1L",), {}, BadValue, "never fires"),
    "an unknown zone": (("* * * * *",), {"tz": "Europe/Berln"}, BadValue, "did you mean 'Europe/Berlin'"),
    "a folder as a zone": (("* * * * *",), {"tz": "../etc"}, BadValue, "no such time zone"),
    "a zone for a length": ((), {"every": "1m", "tz": "UTC"}, BadValue, "the same in all zones"),
    "too often": ((), {"every": 0.5}, BadValue, "at least 1s"),
    "no length": ((), {"every": "often"}, BadValue, "cannot be read"),
    "an end before its start": (
        ("* * * * *",), {"start": LATER, "end": LATER - timedelta(days=1)}, BadValue, "end is before start",
    ),
    "no tick between": (
        ("0 0 1 6 *",), {"start": LATER, "end": LATER + timedelta(days=9)}, BadValue, "never fires between",
    ),
    "a start without a zone": (("* * * * *",), {"start": datetime(2030, 1, 1)}, BadValue, "start: "),
    "an unknown option": (("* * * * *",), {"when": 1}, BadValue, "unknown option 'when'"),
    "an unknown misfire": (("* * * * *",), {"misfire": "retry"}, BadValue, "skip, once, all"),
    "an unknown overlap": (("* * * * *",), {"overlap": "no"}, BadValue, "allow, skip, queue"),
    "a name of nothing": (("* * * * *",), {"name": " "}, BadValue, "expected a printable text"),
    "arguments as a text": (("* * * * *",), {"args": "ab"}, BadValue, "expected a tuple"),
    "an argument missing": (("* * * * *",), {}, TypeError, "missing a required argument: 'n'"),
    "an unknown argument": (("* * * * *",), {"args": (1,), "kwargs": {"x": 1}}, TypeError, "'x'"),
    "an argument of another type": (("* * * * *",), {"args": ("one",)}, TypeError, "Expected `int`"),
}  # fmt: skip


@pytest.mark.parametrize(("args", "options", "error", "says"), WRONG.values(), ids=WRONG)
def test_what_cannot_be_is_one_line_where_it_is_declared(
    args: Any, options: Any, error: type[Exception], says: str
) -> None:
    app = Sidework("unused.db")
    made = app.task(task)
    with pytest.raises(error) as told:
        app.periodic(*args, **options)(made)
    assert says in str(told.value)
    assert "\n" not in str(told.value)
    assert app.registry.periodics() == []


def test_several_of_a_task_above_and_below() -> None:
    app = Sidework("unused.db")
    below = app.periodic("0 3 * * mon-fri", tz="Europe/Berlin", args=(1,))
    assert below(task) is task
    made = app.task(task)
    app.periodic(every="15m", kwargs={"n": 2, "word": "x"}, name="often")(made)
    names = {entry.name: entry.job.args for entry in app.registry.periodics()}
    assert names == {
        f"{__name__}:task 0 3 * * mon-fri Europe/Berlin": b'\x01{"n":1}',
        "often": b'\x01{"n":2,"word":"x"}',
    }
    with pytest.raises(BadTask, match="two periodics are called 'often'"):
        app.periodic("* * * * *", args=(1,), name="often")(made)


def test_what_is_no_task_is_told() -> None:
    app, other = Sidework("unused.db"), Sidework("unused.db")
    made = other.task(task)
    with pytest.raises(BadTask, match="of which it is no task"):
        app.periodic("* * * * *")(made)
    with pytest.raises(BadTask, match="is no function"):
        app.periodic("* * * * *")(5)
    app.periodic("* * * * *")(task)
    with pytest.raises(BadTask, match=r"task has @app\.periodic and is no task"):
        app.declares()
