"""The checker of row 29 catches what it is for."""

from __future__ import annotations

from .checker import Death, Run
from .narrow import too_many, two_of_a_key


def run(job: str, began: int, ended: int | None, pid: int = 5) -> Run:
    return Run(job, 1, pid, 1, began, ended)


def test_what_runs_at_a_time_is_counted() -> None:
    within = [run("a", 0, 10), run("b", 5, 20), run("c", 10, 15)]
    assert list(too_many(within, [], 2)) == []
    assert list(too_many([*within, run("d", 12, 13)], [], 2)) == ["3 ran at a time, the limit is 2"]
    killed = [run("a", 0, None), run("b", 5, 20, 6)]
    assert list(too_many(killed, [Death(5, 4, 6)], 1)) == []
    assert list(too_many(killed, [Death(5, 8, 9)], 1)) == ["2 ran at a time, the limit is 1"]


def test_two_of_a_key_are_seen() -> None:
    keys = {"a": 1, "b": 1, "c": 2}
    assert list(two_of_a_key([run("a", 0, 5), run("b", 5, 9), run("c", 3, 8)], [], keys)) == []
    assert len(list(two_of_a_key([run("a", 0, 5), run("b", 4, 9)], [], keys))) == 1
    again = [run("a", 0, 5), run("b", 6, 7), run("a", 8, 9)]
    assert len(list(two_of_a_key(again, [], keys))) == 1
