"""What the rows about leases look for, found in histories in which it is there, and in no other."""

from __future__ import annotations

from pathlib import Path

from msgspec.structs import replace

from .checker import Run
from .leases import begun_late, foreign_results, overlapping, with_ticks
from .test_checker import ROW

CUT = Run("a", 1, 11, 10, 100)
"""Its worker lost the claim at 200 and the process was then ended."""
NEXT = Run("a", 2, 21, 20, 300, 400)
LOST = {("a", 1): 200}


def test_a_run_without_an_end_lived_until_its_last_tick(tmp_path: Path) -> None:
    path = tmp_path / "ticks.log"
    path.write_text("tick a 1 11 10 150\ntick a 1 11 10 190\ntick b 1 11 10 500\n")
    assert [run.ended for run in with_ticks([CUT, NEXT], path)] == [190, 400]
    assert with_ticks([CUT], tmp_path / "none")[0].ended == 100


def test_what_ran_on_beside_the_next_run() -> None:
    def together(until: int) -> bool:
        return bool(list(overlapping([Run("a", 1, 11, 10, 100, until), NEXT])))

    assert not together(299)
    assert together(301)


def test_what_began_late() -> None:
    first_after = Run("a", 1, 11, 10, 250, 280)
    assert list(begun_late([first_after, NEXT], LOST)) == []
    late = Run("a", 1, 11, 10, 350, 380)
    assert list(begun_late([NEXT, late], LOST)) == [late]
    assert list(begun_late([NEXT, late], {})) == []  # its claim was not lost: that is wrong


def test_a_result_of_another_claim() -> None:
    assert list(foreign_results({"a": replace(ROW, fence=4, result=b"j3")})) == []
    (found,) = foreign_results({"a": replace(ROW, fence=4, result=b"j1")})
    assert found == "a ended under fence 3 with what ran under 1"
