"""What jobs log, kept with the job: every record is made in one place, and there it is known whose code runs.

Records go where they went before as well. It is no handler: one of the root logger would end Python's own way
to show warnings in a program that has set up none, and an app that sets up its handlers would take it away.
"""

from __future__ import annotations

import logging
from typing import Any

from ..clock import now_ms
from ..note import LONGEST_RECORD, Record, encode_note
from ..outcome import clean
from ..tasks.context import RunningJob, get_current

LEVEL = logging.INFO
_TRACES = logging.Formatter()


class Capture:
    """Writes the records of running jobs, of level INFO and up, into their pads, until closed."""

    def __init__(self, *, own_process: bool) -> None:
        root = logging.getLogger()
        if own_process and root.level > LEVEL:
            # In a process of ours INFO is let through, and shown no more than it was before.
            for handler in root.handlers:
                handler.setLevel(max(handler.level, root.level))
            root.setLevel(LEVEL)
        self._make = logging.getLogRecordFactory()
        logging.setLogRecordFactory(self._made)

    def close(self) -> None:
        """Let records be made as before, unless somebody else has a say in that by now."""
        if logging.getLogRecordFactory() == self._made:
            logging.setLogRecordFactory(self._make)

    def _made(self, *given: Any, **named: Any) -> logging.LogRecord:
        record = self._make(*given, **named)
        job = get_current()
        if job is not None and isinstance(record.levelno, int) and record.levelno >= LEVEL:
            _keep(job, record)
        return record


def _keep(job: RunningJob, record: logging.LogRecord) -> None:
    pad = job.pad()
    if pad is None:
        return
    try:
        text = record.getMessage()
        if record.exc_info:
            text += "\n" + _TRACES.formatException(record.exc_info)
    except Exception:  # noqa: BLE001 - the handlers tell, as they do of every record that cannot be formatted
        text = record.msg if isinstance(record.msg, str) else f"a {type(record.msg).__name__}"
    told = Record(record.levelname, clean(record.name, 300), clean(text, LONGEST_RECORD))
    pad.add("log", encode_note(told), now_ms())
    job.told()
