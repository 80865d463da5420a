"""Type checkers see users' code as users should: mypy --strict and pyright, right and wrong."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

import sidework

FOLDER = Path(__file__).parent / "typing"
SOURCE = str(Path(sidework.__file__).parents[1])


def mypy(path: Path) -> set[int]:
    done = subprocess.run(
        [sys.executable, "-m", "mypy", "--strict", "--config-file", os.devnull, str(path)],
        capture_output=True, text=True, env={**os.environ, "MYPYPATH": SOURCE},
    )  # fmt: skip
    assert done.returncode in (0, 1), done.stdout + done.stderr
    return {int(n) for n in re.findall(rf"{path.name}:(\d+): error", done.stdout)}


def pyright(path: Path) -> set[int]:
    done = subprocess.run(
        [sys.executable, "-m", "pyright", "--pythonpath", sys.executable, "--outputjson", str(path)],
        capture_output=True, text=True, env={**os.environ, "PYTHONPATH": SOURCE},
    )  # fmt: skip
    assert done.returncode in (0, 1), done.stdout + done.stderr
    told = json.loads(done.stdout)["generalDiagnostics"]
    return {one["range"]["start"]["line"] + 1 for one in told if one["severity"] == "error"}


@pytest.mark.parametrize("checker", [mypy, pyright])
def test_right_code_is_accepted(checker: object) -> None:
    assert checker(FOLDER / "right.py") == set()  # type: ignore[operator]


@pytest.mark.parametrize("checker", [mypy, pyright])
def test_wrong_code_is_refused_where_it_is_wrong(checker: object) -> None:
    lines = (FOLDER / "wrong.py").read_text().splitlines()
    wrong = {n for n, line in enumerate(lines, 1) if line.endswith("# wrong")}
    assert checker(FOLDER / "wrong.py") == wrong  # type: ignore[operator]
