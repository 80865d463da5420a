"""What jobs call that have ended, for any store. Callbacks that cannot be read here (a later version wrote
them, or they are damaged) stay to be enqueued, for whoever can; nobody else's are kept up."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from typing import Any, NamedTuple

from ..callbacks import Ended, jobs_of
from ..errors import StoreRefused
from ..ids import id_text
from ..job import NewJob
from ..state import State
from . import storable

log = logging.getLogger("sidework.store")

_said: list[bytes] = []


class Called(NamedTuple):
    """What jobs call that have ended: those that are to be stored; and of which jobs nothing can be read."""

    jobs: list[NewJob]
    unread: list[bytes]


def called(rows: Iterable[Any]) -> Called:
    """What these call; a row is what ``Ended`` says."""
    jobs: list[NewJob] = []
    unread: list[bytes] = []
    for row in rows:
        try:
            made = jobs_of(Ended(row[0], row[1], State(row[2]), *row[3:]))
            storable.check_jobs(made)
        except ValueError as error:  # msgspec's and our own are, too
            unread.append(row[0])
            _say(row, error)
        else:
            jobs += made
    return Called(jobs, unread)


def refuse_unread(unread: Iterable[bytes]) -> None:
    """``StoreRefused`` for a job that is to run again, and whose end would call nothing then."""
    for job_id in unread:
        raise StoreRefused(
            f"job {id_text(job_id)} has ended, and its callbacks cannot be read by this version of Sidework: "
            "a worker of the version that stored it enqueues them; retry it after that"
        )


def _say(row: Any, error: ValueError) -> None:
    """Once: the end is found again each second, and others may be like it."""
    if not _said:
        _said.append(row[0])
        log.warning(
            "the callbacks of job %s (%s) cannot be read by this version of Sidework (%s): they wait for a "
            "worker of the version that stored it; others like it are not reported",
            id_text(row[0]),
            row[1],
            error,
        )
