"""What a person sees on a terminal: tables that fit, colours, questions."""

from __future__ import annotations

import pytest

from commands import SHOP, ok, on_terminal, plain, read
from conftest import Place
from sidework.cli.table import Column, fitting

LONG = "a_function_with_a_name_that_is_longer_than_any_terminal_has_room_for"


@pytest.fixture
def shop(place: Place) -> Place:
    place.write(
        "shop.py",
        SHOP
        + f"""
    @app.task(queue="a-queue-with-a-long-name")
    def {LONG}() -> None: ...
""",
    )
    return place


@pytest.mark.parametrize("width", [60, 80, 100, 200])
def test_a_list_fits_the_terminal(shop: Place, width: int) -> None:
    jobs = [ok(shop, "run", f"shop:{LONG}"), ok(shop, "run", "shop:add", "1")]
    code, shown = on_terminal(shop, "jobs", "list", "--app", "shop", width=width)
    assert code == 0
    header, *lines = plain(shown)
    assert len(lines) == 2
    assert all(len(line) <= width for line in (header, *lines))
    for job, line, name in zip(reversed(jobs), lines, ("add", LONG[-8:]), strict=True):
        assert line.startswith(job)
        assert "available" in line
        assert name in line
    assert ("queue" in header) == (width == 200)
    assert ("…" in lines[1]) == (width < 200)


def test_a_list_goes_to_programs_whole_and_with_tabs(shop: Place) -> None:
    ok(shop, "run", f"shop:{LONG}")
    header, line = ok(shop, "jobs", "list", "--app", "shop").splitlines()
    assert header.split("\t")[:5] == ["id", "task", "queue", "state", "attempt"]
    assert line.split("\t")[1] == f"shop:{LONG}"


def test_states_have_colours(shop: Place) -> None:
    ok(shop, "run", "shop:add", "1")
    job = ok(shop, "run", "shop:add", "1")
    ok(shop, "jobs", "cancel", job, "--app", "shop")
    _, shown = on_terminal(shop, "jobs", "list", "--app", "shop")
    cancelled, available = shown.splitlines()[1:]
    assert "\x1b[2mcancelled" in cancelled
    assert "\x1b[" not in available
    assert "\x1b" not in ok(shop, "jobs", "list", "--app", "shop")


def test_an_empty_list_says_so(shop: Place) -> None:
    job = ok(shop, "run", "shop:add", "1")
    assert "no jobs fit" in on_terminal(shop, "jobs", "list", "--app", "shop", "--queue", "x")[1]
    ok(shop, "jobs", "cancel", job, "--app", "shop")
    ok(shop, "jobs", "delete", job, "--app", "shop")
    assert plain(on_terminal(shop, "jobs", "list", "--app", "shop")[1]) == ["no jobs"]
    assert "no workers: start one" in on_terminal(shop, "workers", "--app", "shop")[1]


def test_in_bulk_a_person_is_asked(shop: Place) -> None:
    for _ in range(2):
        ok(shop, "run", "shop:add", "1")
    words = ("jobs", "cancel", "--task", "add", "--app", "shop")
    code, shown = on_terminal(shop, *words, types="n\n", width=200)
    assert code == 1
    assert "cancel 2 jobs (2 available) in " in shown
    assert {row["state"] for row in read(shop, "jobs", "list")} == {"available"}
    code, shown = on_terminal(shop, *words, types="y\n")
    assert code == 0
    assert plain(shown)[-1].endswith("2 jobs cancelled")
    code, shown = on_terminal(shop, "jobs", "delete", *words[2:], "--yes")
    assert (code, plain(shown)) == (0, ["2 jobs deleted"])


def test_what_gives_way_first() -> None:
    columns = [
        Column("id"), Column("task", cut="left"), Column("queue", leave_out=1),
        Column("note", leave_out=2, cut="right"),
    ]  # fmt: skip
    wanted = [10, 30, 8, 40]
    assert fitting(columns, wanted, 94) == {0: 10, 1: 30, 2: 8, 3: 40}
    assert fitting(columns, wanted, 80) == {0: 10, 1: 30, 2: 8, 3: 26}
    assert fitting(columns, wanted, 70) == {0: 10, 1: 26, 2: 8, 3: 20}
    assert fitting(columns, wanted, 45) == {0: 10, 1: 23, 2: 8}
    assert fitting(columns, wanted, 40) == {0: 10, 1: 28}
    assert fitting(columns, wanted, 20) == {0: 10, 1: 8}
    assert fitting(columns, wanted, 5) == {0: 10, 1: 1}
