"""A headless Chromium, driven over its own protocol by a pipe: opens a page, fills it in, reads it.

The program is the system's, or the one that ``scripts/test`` fetches into ``.cache/chromium``.
"""

from __future__ import annotations

import json
import os
import select
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from conftest import PATIENCE, until

CACHE = Path(__file__).parents[2] / ".cache" / "chromium"
NAMES = ("chromium", "chromium-browser", "chromium-headless-shell", "google-chrome")
FLAGS = [
    "--headless", "--remote-debugging-pipe", "--no-sandbox", "--no-zygote", "--no-first-run",
    "--disable-gpu", "--disable-dev-shm-usage", "--disable-background-networking",
]  # fmt: skip


def program() -> str | None:
    for known in (*map(shutil.which, NAMES), str(CACHE / "chromium")):
        if known is not None and os.access(known, os.X_OK):
            return known
    return None


def why_not() -> str | None:
    """Why there is no Chromium, for a skipped test; ``None`` if there is one."""
    if program() is not None:
        return None
    told = CACHE / "why-not"
    return told.read_text().strip() if told.exists() else "no Chromium here: run ./scripts/test"


class Browser:
    """One page of it."""

    def __init__(self, to: int, answers: int) -> None:
        self._to, self._answers = to, answers
        self._read = b""
        self._number = 0
        self._session: dict[str, str] = {}
        target = self.ask("Target.createTarget", url="about:blank")["targetId"]
        attached = self.ask("Target.attachToTarget", targetId=target, flatten=True)
        self._session = {"sessionId": attached["sessionId"]}

    def ask(self, method: str, **given: Any) -> Any:
        """One command of the protocol, and its answer; the events in between are passed over."""
        self._number += 1
        asked = {"id": self._number, "method": method, "params": given, **self._session}
        os.write(self._to, json.dumps(asked).encode() + b"\0")
        while (answer := self._next()).get("id") != self._number:
            pass
        assert "error" not in answer, answer["error"]
        return answer["result"]

    def _next(self) -> Any:
        while b"\0" not in self._read:
            assert select.select([self._answers], [], [], PATIENCE)[0], "Chromium says nothing"
            part = os.read(self._answers, 1 << 16)
            assert part, "Chromium has ended"
            self._read += part
        message, _, self._read = self._read.partition(b"\0")
        return json.loads(message)

    def open(self, url: str) -> None:
        self.ask("Page.navigate", url=url)
        until(lambda: self.run("document.readyState") == "complete", url)

    def run(self, script: str) -> Any:
        """What an expression of JavaScript gives, once its promise is kept."""
        done = self.ask(
            "Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True
        )
        assert "exceptionDetails" not in done, done
        return done["result"].get("value")

    def shows(self, selector: str, text: str) -> None:
        """Wait until what the selector finds has this text in it."""
        found = f"document.querySelector({json.dumps(selector)})?.textContent ?? ''"
        until(lambda: text in self.run(found), f"{text!r} in {selector} of the page")

    def choose(self, selector: str, *files: Path) -> None:
        """Give files to an ``<input type=file>``, as its dialogue would."""
        root = self.ask("DOM.getDocument")["root"]["nodeId"]
        node = self.ask("DOM.querySelector", nodeId=root, selector=selector)["nodeId"]
        self.ask("DOM.setFileInputFiles", nodeId=node, files=[str(file) for file in files])

    def click(self, selector: str) -> None:
        """With the mouse: it has to be there to be hit."""
        box = self.run(
            f"(b => [b.x + b.width / 2, b.y + b.height / 2])"
            f"(document.querySelector({json.dumps(selector)}).getBoundingClientRect())"
        )
        for kind in ("mousePressed", "mouseReleased"):
            self.ask(
                "Input.dispatchMouseEvent",
                type=kind, x=box[0], y=box[1], button="left", clickCount=1,
            )  # fmt: skip


@contextmanager
def chromium() -> Iterator[Browser]:
    """For ``with``: ended with all its processes, which are a group of their own."""
    theirs, to = os.pipe()
    answers, ours = os.pipe()
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as home:
        process = subprocess.Popen(
            # It reads from 3 and writes to 4.
            ["bash", "-c", f'exec "$@" 3<&{theirs} 4>&{ours}', "bash",
             str(program()), *FLAGS, f"--user-data-dir={home}"],
            env={**os.environ, "LD_LIBRARY_PATH": str(CACHE / "lib"), "HOME": home},
            pass_fds=(theirs, ours), start_new_session=True,
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        os.close(theirs)
        os.close(ours)
        try:
            yield Browser(to, answers)
        finally:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, 9)
            process.wait()
            os.close(to)
            os.close(answers)
