"""A folder with processes in it is gone with its last owner, and only then."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import psutil
import pytest

from .guardian import OWNERS, processes_of
from .home import Home
from .waiting import until


def test_what_runs_there_ends_with_it_even_stopped_or_deaf(tmp_path: Path) -> None:
    home = Home(tmp_path)
    plain = home.start(["sleep", "600"], home.path / "log")
    stopped = home.start(["sleep", "600"], home.path / "log", cwd=tmp_path)
    elsewhere = subprocess.Popen(["cat"], cwd="/", stdin=subprocess.PIPE)
    stopped.send_signal(19)
    until(lambda: psutil.Process(stopped.pid).status() == "stopped", "the stop")
    assert {each.pid for each in processes_of(home.path, tmp_path)} == {plain.pid, stopped.pid}
    home.close()
    assert plain.wait() < 0
    assert stopped.wait() < 0
    assert elsewhere.poll() is None
    elsewhere.communicate()
    assert not home.path.exists()
    assert not tmp_path.exists()


@pytest.mark.parametrize("turn", range(5))
def test_who_comes_while_it_is_being_ended_gets_one_of_his_own(turn: int) -> None:
    name = f"sw-race{os.getpid()}-{turn}"
    first = Home(name=name)
    first.guard()
    first.start(["sleep", "600"], first.path / "log")
    assert first.owned is not None
    assert first.guardian is not None
    watching = psutil.Process(first.guardian.pid)
    until(
        lambda: str(first.path / OWNERS) in {f.path for f in watching.open_files()}, "its guardian"
    )
    os.close(first.owned)  # as the kernel does when the owner ends
    second = Home(name=name)
    second.guard()
    running = second.start(["sleep", "600"], second.path / "log")
    assert second.owned is not None
    assert os.path.samestat(os.fstat(second.owned), os.stat(second.path / OWNERS))
    assert running.poll() is None
    second.close()
    assert running.wait() < 0
    assert first.guardian.wait() == 0
    assert not second.path.exists()
