"""The app of ``sidework demo``: compress a source file and count its words."""

from __future__ import annotations

import re
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


@app.task(retries=3, backoff="100ms")
def squeeze(path: str, flaky: bool = False) -> Squeezed:
    """Compress one file and count its words; a flaky one cannot be read at the first attempt."""
    if flaky and current_job().attempt == 1:
        raise OSError(f"{path}: the disk did not answer (the demo's own, to show a retry)")
    with open(path, "rb") as file:
        content = file.read()
    words = _WORD.findall(content)
    return Squeezed(len(content), len(zlib.compress(content, 9)), len(words), len(set(words)))
