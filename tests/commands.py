"""How the tests of the command line run it: to its end, for its JSON, for its error, on a terminal."""

from __future__ import annotations

import fcntl
import json
import os
import pty
import re
import struct
import subprocess
import sys
import termios
from typing import Any

from conftest import Place

SHOP = """
    from sidework import Sidework
    app = Sidework()

    @app.task(retries=3)
    def add(a: int, b: int = 1) -> int:
        return a + b

    @app.task(queue="mail")
    def fail(text: str) -> None:
        raise ValueError(text)
"""


def ok(place: Place, *words: str) -> str:
    done = place.sidework(*words)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def read(place: Place, *words: str) -> Any:
    return json.loads(ok(place, *words, "--json", "--app", "shop"))


def refused(place: Place, *words: str, code: int = 1) -> str:
    """One line on stderr, nothing on stdout, exit code 1; used wrongly (2) the usage stands before."""
    done = place.sidework(*words)
    assert done.returncode == code, done.stdout + done.stderr
    assert done.stdout == ""
    lines = done.stderr.strip().splitlines()
    assert len(lines) == 1 or code == 2, done.stderr
    return lines[-1]


def on_terminal(place: Place, *words: str, width: int = 80, types: str = "") -> tuple[int, str]:
    """Run the command on a terminal of that width where someone types; exit code and what it shows."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, width, 0, 0))
    env = {**place.env, "TERM": "xterm-256color"}
    for name in ("COLUMNS", "LINES", "NO_COLOR", "FORCE_COLOR"):
        env.pop(name, None)
    process = subprocess.Popen(
        [sys.executable, "-m", "sidework", *words],
        cwd=place.folder, env=env, stdin=theirs, stdout=theirs, stderr=theirs,
    )  # fmt: skip
    os.close(theirs)
    os.write(ours, types.encode())
    shown = b""
    while True:
        try:
            part = os.read(ours, 65536)
        except OSError:  # Linux: nobody has the other end any more
            break
        if not part:
            break
        shown += part
    os.close(ours)
    return process.wait(20), shown.decode().replace("\r\n", "\n")


def plain(shown: str) -> list[str]:
    """The lines without their colours."""
    return re.sub(r"\x1b\[[0-9;]*m", "", shown).splitlines()
