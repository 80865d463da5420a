"""The checker itself: a history in which all is well passes, and each rule catches its violation."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from sidework.job import JobRow
from sidework.state import State

from .checker import Death, Run, acknowledged, runs, violations
from .crowds import peak
from .finishing import not_one

ROW = JobRow(
    b"", "load:work", "default", State.COMPLETED, "thread", 0, 1, 1, 4, 0, False, 0, 0, 0, 0, None,
    None, "rescue", None, None, (), b"", b"",
)  # fmt: skip

KILL = Death(10, 200, 250)
"""The worker of process 11 is killed at 200; at 250 both are gone."""

RAN = [Run("a", 1, 11, 10, 100), Run("a", 3, 21, 20, 300, 400)]
"""Cut off by the kill, then run again to its end; fence 4 is the result that landed."""


def judge(ran: list[Run] = RAN, row: JobRow | None = ROW, **other: Any) -> list[str]:
    given: dict[str, Any] = {"deaths": [KILL], "in_flight": 1, "asked": ["a"], **other}
    return violations(["a"], ran, {} if row is None else {"a": row}, **given)


def test_a_history_in_which_all_is_well() -> None:
    assert judge(seen=[("a", State.COMPLETED, 4)]) == []


def test_what_was_acknowledged_is_missing() -> None:
    assert judge([], None) == ["a was acknowledged and is not there"]


def test_what_nobody_asked_for_ran() -> None:
    (found,) = judge([*RAN, Run("b", 1, 21, 20, 1, 2)])
    assert found == "b ran and was never asked for"


def test_what_nobody_asked_for_is_stored() -> None:
    assert judge(asked=[]) == ["a is stored and was never asked for"]


@pytest.mark.parametrize("state", [state for state in State if state not in
                                   {State.COMPLETED, State.CANCELLED, State.DISCARDED}])  # fmt: skip
def test_a_job_never_ended(state: State) -> None:
    assert judge(row=replace(ROW, state=state)) == [f"a never ended: {state}"]


def test_a_result_without_a_run() -> None:
    """Recorded before the code ran, or the result of a claim that another had replaced."""
    cut = [RAN[0], Run("a", 3, 21, 20, 300)]
    assert "completed and its code never came to its end" in judge(cut)[0]
    stale = [Run("a", 1, 11, 10, 100, 150), Run("a", 3, 21, 20, 300)]
    assert "completed and its code never came to its end" in judge(stale)[0]
    assert "completed and its code never came to its end" in judge([])[0]


def test_a_final_state_changed() -> None:
    (found,) = judge(seen=[("a", State.DISCARDED, 4)])
    assert found == "a had ended as discarded with fence 4 and is completed with fence 4"
    (found,) = judge(seen=[("a", State.COMPLETED, 2)])
    assert found == "a had ended as completed with fence 2 and is completed with fence 4"


def test_a_fence_did_not_grow() -> None:
    assert "a ran twice under fence 3" in judge([Run("a", 3, 11, 10, 100), RAN[1]])
    back = judge([Run("a", 5, 11, 10, 100), RAN[1]])
    assert back == ["a ran under fence 3 after fence 5"]


def test_two_runs_overlapped() -> None:
    over = "a ran under fences 1 and 3 at once, and the first had not lost its claim"
    ended_late = [Run("a", 1, 11, 10, 100, 350), RAN[1]]
    assert judge(ended_late) == [over]
    began_early = [RAN[0], Run("a", 3, 21, 20, 150, 400)]
    assert over in judge(began_early)  # before the first one's worker was killed
    nobody_died = judge(deaths=[])
    assert over in nobody_died
    other_died = judge(deaths=[Death(12, 200, 250)])
    assert over in other_died


def test_an_overlap_with_a_run_in_between() -> None:
    three = [Run("a", 1, 11, 10, 100, 350), Run("a", 2, 31, 30, 210, 220), RAN[1]]
    found = judge(three, deaths=[KILL, Death(30, 230, 240)], in_flight=2)
    assert [one.partition(" at once")[0] for one in found] == [
        "a ran under fences 1 and 2", "a ran under fences 1 and 3"]  # fmt: skip


def test_an_overlap_after_the_claim_was_lost_is_none() -> None:
    ended_late = [Run("a", 1, 11, 10, 100, 350), RAN[1]]
    assert judge(ended_late, lost={("a", 1): 250}) == []
    assert len(judge(ended_late, lost={("a", 1): 320})) == 1


def test_a_death_explains_only_what_had_begun_before_it() -> None:
    """Process ids come round again: an old death does not excuse a new run."""
    found = judge(deaths=[Death(10, 50, 60)])
    assert any("without a fault" in one for one in found)
    assert any("at once" in one for one in found)


def test_a_child_outlives_its_worker_by_a_moment_in_which_it_may_begin_a_job() -> None:
    assert judge([Run("a", 1, 11, 10, 220), RAN[1]]) == []
    assert any("at once" in one for one in judge([Run("a", 1, 11, 10, 260), RAN[1]]))


def test_a_job_ran_again_without_a_fault() -> None:
    again = "a ran again under fence 3 without a fault of its first run"
    ended = [Run("a", 1, 11, 10, 100, 150), RAN[1]]
    assert judge(ended, deaths=[]) == [again]
    assert judge(ended, deaths=[Death(10, 500, 510)]) == [
        again
    ]  # it died later, and of something else
    assert judge(ended, deaths=[Death(11, 160, 170)]) == []  # the child alone, its outcome untold


def test_more_ran_again_than_was_in_flight() -> None:
    (found,) = judge(in_flight=0)
    assert found == "1 extra runs, but only 0 jobs were in flight at the faults"


def test_an_attempt_too_many() -> None:
    assert judge(row=replace(ROW, attempt=2)) == ["a has 2 attempts of 1"]
    assert judge(row=replace(ROW, attempt=-1)) == ["a has -1 attempts of 1"]


def test_the_log_is_read_as_it_was_written(tmp_path: Path) -> None:
    log = tmp_path / "runs.log"
    log.write_text(
        "start a 1 11 10 100\nstart b 1 11 10 110\nend b 1 11 10 120\n"
        "start a 3 21 20 300\nend a 3 21 1 400\nstart c 1 2"
    )
    assert runs(log) == [RAN[0], Run("b", 1, 11, 10, 110, 120), RAN[1]]
    assert runs(tmp_path / "none") == []


def test_a_log_that_cannot_be_is_refused(tmp_path: Path) -> None:
    log = tmp_path / "runs.log"
    log.write_text("end a 1 11 10 100\n")
    with pytest.raises(ValueError, match="an end without a beginning"):
        runs(log)


def test_a_line_cut_off_was_not_acknowledged(tmp_path: Path) -> None:
    log = tmp_path / "told.log"
    log.write_text("0" * 36 + "\n" + "1" * 36)
    assert acknowledged(log) == ["0" * 36]


@pytest.mark.parametrize(
    ("effects", "state", "found"),
    [
        ([("a", 3)], State.COMPLETED, []),
        ([], State.DISCARDED, []),
        ([], State.COMPLETED, ["a is completed and took effect 0 times"]),
        ([("a", 3), ("a", 3)], State.COMPLETED, ["a is completed and took effect 2 times"]),
        ([("a", 3)], State.DISCARDED, ["a is discarded and took effect 1 times"]),
        ([("a", 1)], State.COMPLETED, ["a took effect under fence 1 and ended with 4"]),
        ([("a", 3), ("b", 1)], State.COMPLETED, ["b took effect and is not there"]),
    ],
)
def test_effects_and_ends_are_one(
    effects: list[tuple[str, int]], state: State, found: list[str]
) -> None:
    assert list(not_one(effects, {"a": replace(ROW, state=state)})) == found


def test_a_crowd_is_told_from_a_spread() -> None:
    """Row 26: what comes evenly has a peak of one, what comes together a high one."""
    second = 10**9
    even = range(0, 4 * second, second // 1000)
    assert peak(even, 4) == 1.0
    assert peak([*even, *[3 * second] * 3000], 4) > 2
    assert peak(range(0, second, 10**6), 4) == 4.0  # a drain at full speed: nobody has waited
