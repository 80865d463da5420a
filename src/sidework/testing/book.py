"""What jobs tell of themselves in a test: kept with the job, as in a worker, when their attempt ends."""

from __future__ import annotations

from ..job import Claimed
from ..note import Notes
from ..tasks.context import RunningJob
from ..tasks.pad import Pad


class Book:
    """Stands for a child's notebook; nothing is sent on while a job runs, for nobody looks meanwhile."""

    def pad(self, job: RunningJob, claim: Claimed) -> Pad | None:
        """Where a running job writes; ``None`` when it has ended."""
        pad = job.opened = job.opened or Pad(claim.id, claim.fence)
        return None if pad.closed else pad

    def told(self, job: RunningJob) -> None:
        """There is something to read, at its end."""

    def end(self, job: RunningJob) -> list[Notes]:
        """What an attempt has told that has ended."""
        pad = job.opened
        if pad is None:
            return []
        pad.closed = True
        notes = pad.take()
        return [] if notes is None else [notes]
