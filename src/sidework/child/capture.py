"""What jobs log, kept with the job: a handler of the root logger that knows whose code is running.

Records go where they went before as well. Of level INFO and up, if their loggers let them through.
"""

from __future__ import annotations

import logging

from ..clock import now_ms
from ..note import LONGEST_RECORD, Record, encode_note
from ..outcome import clean
from ..tasks.context import get_current

LEVEL = logging.INFO


class Capture(logging.Handler):
    """Writes the records of running jobs into their pads."""

    def __init__(self) -> None:
        super().__init__(LEVEL)
        self.setFormatter(logging.Formatter("%(message)s"))

    def emit(self, record: logging.LogRecord) -> None:
        """Keep one record, if a job's code is what logged it."""
        job = get_current()
        if job is None:
            return
        try:
            pad = job.pad()
            if pad is not None:
                text = clean(self.format(record), LONGEST_RECORD)
                told = Record(record.levelname, clean(record.name, 300), text)
                pad.add("log", encode_note(told), now_ms())
                job.told()
        except Exception:  # noqa: BLE001 - logging's own way to say so
            self.handleError(record)


def capture(*, own_process: bool) -> Capture:
    """Begin; in a process of ours INFO is let through, and shown no more than it was before."""
    made = Capture()
    root = logging.getLogger()
    if own_process and root.level > LEVEL:
        # What the app's own module has set, a level or handlers, is its word: this is called behind it.
        for handler in root.handlers:
            handler.setLevel(max(handler.level, root.level))
        root.setLevel(LEVEL)
    root.addHandler(made)
    return made
