"""The app of ``sidework demo``: compress a source file and count its words."""

from __future__ import annotations

import os
import re
import threading
import zlib

from msgspec import Struct

from ..client.app import Sidework
from ..tasks.context import current_job

app = Sidework()  # the demo gives it a place by SIDEWORK_URL

_WORD = re.compile(rb"\w+")


class Squeezed(Struct):
    """What became of one file; sizes in bytes."""

    size: int
    compressed: int
    words: int
    distinct: int


LONGEST = 10.0
"""Seconds that the file which waits to be killed waits at most."""


@app.task(retries=3, backoff="100ms")
def squeeze(path: str, flaky: bool = False, sign: str | None = None) -> Squeezed:
    """Compress one file and count its words; a flaky one cannot be read at the first attempt.

    With ``sign``, a path: at the first run it says there which process it is in, and stays in the
    middle of its work until that is killed.
    """
    if flaky and current_job().attempt == 1:
        raise OSError(f"{path}: the disk did not answer (the demo's own, to show a retry)")
    if sign is not None and not os.path.exists(sign):
        with open(f"{sign}.new", "w", encoding="utf-8") as file:
            file.write(str(os.getpid()))
        os.replace(f"{sign}.new", sign)  # whoever sees it reads all of it
        threading.Event().wait(LONGEST)
    with open(path, "rb") as file:
        content = file.read()
    words = _WORD.findall(content)
    return Squeezed(len(content), len(zlib.compress(content, 9)), len(words), len(set(words)))
