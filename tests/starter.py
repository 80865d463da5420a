"""Runs commands of ours to their end, each a process forked from one that has imported everything.

Half of what a short command costs is its start, and the tests run many hundreds of them. After the fork
it goes the way of ``python -m sidework``: its own folder, environment, output, and module. The starting
from nothing is shown by whatever starts a worker, a program or a command on a terminal.

    python starter.py        # one request a line on stdin; a pid and an exit code on stdout
"""

from __future__ import annotations

import gc
import json
import os
import pkgutil
import runpy
import select
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

_idle: list[Starter] = []
"""Several, where threads of a test run commands at once."""


class Starter:
    """A process that forks for each command. It ends with the tests: by the end of its stdin."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, __file__], cwd="/",
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0,
        )  # fmt: skip

    def run(self, asked: Mapping[str, Any], timeout: float) -> int:
        """The exit code, as ``subprocess`` has it."""
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(asked).encode() + b"\n")
        pid = self._answer(None)
        try:
            return self._answer(timeout)
        except subprocess.TimeoutExpired:
            os.kill(pid, 9)
            self._answer(None)
            raise

    def _answer(self, timeout: float | None) -> int:
        assert self._process.stdout is not None
        if not select.select([self._process.stdout], [], [], timeout)[0]:
            raise subprocess.TimeoutExpired("sidework", timeout or 0)
        return int(self._process.stdout.read(8))


def run(
    words: Sequence[str], cwd: Path, env: Mapping[str, str], timeout: float
) -> subprocess.CompletedProcess[str]:
    """Run ``sidework`` with these words to its end."""
    starter = _idle.pop() if _idle else Starter()
    with tempfile.TemporaryDirectory() as folder:
        out, err = Path(folder, "out"), Path(folder, "err")
        asked = {"words": words, "cwd": str(cwd), "env": env, "out": str(out), "err": str(err)}
        code = starter.run(asked, timeout)
        said = [path.read_text("utf-8") for path in (out, err)]
    _idle.append(starter)
    return subprocess.CompletedProcess(["sidework", *words], code, *said)


def main() -> None:
    import sidework.cli

    for module in pkgutil.iter_modules(sidework.cli.__path__, "sidework.cli."):
        if not module.name.endswith("_app"):  # an app finds its store as it is imported
            import_module(module.name)
    for engine in ("sqlite", "postgres"):
        import_module(f"sidework.store.{engine}.engine")
    gc.freeze()  # else each process looks through all that was imported as it ends, copying its pages
    for line in sys.stdin.buffer:
        if (pid := os.fork()) == 0:
            _become(json.loads(line))
            return
        os.write(1, b"%8d" % pid)
        os.write(1, b"%8d" % os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))


def _become(asked: dict[str, Any]) -> None:
    os.chdir(asked["cwd"])
    os.environ.clear()
    os.environ.update(asked["env"])
    for number, path, flags in (
        (0, os.devnull, os.O_RDONLY),
        (1, asked["out"], os.O_WRONLY | os.O_CREAT | os.O_APPEND),
        (2, asked["err"], os.O_WRONLY | os.O_CREAT | os.O_APPEND),
    ):
        opened = os.open(path, flags, 0o600)
        os.dup2(opened, number)
        os.close(opened)
    sys.stdin = open(0, encoding="utf-8")  # noqa: SIM115 - what was read ahead of the requests is not its own
    sys.path[0], sys.argv = asked["cwd"], ["sidework", *asked["words"]]
    runpy.run_module("sidework", run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
