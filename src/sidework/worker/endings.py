"""How an attempt ended when the worker has to say it, because the child cannot or did not.

Of an attempt that had begun nobody knows whether it finished in a transaction of its own, and such a
transaction may outlive its process: a database server learns of a client's death when it looks.
"""

from __future__ import annotations

from ..job import Claimed
from ..outcome import Failure, Outcome, encode_failure
from ..retry import delay_seconds

STOPPED = "its worker stopped"
CUT_OFF = "its worker was cut off from the store"


def released(job: Claimed, note: str, *, begun: bool = False) -> Outcome:
    """Handed back unspent."""
    return Outcome(job.id, job.fence, job.attempt, "released", note=note, in_transaction=begun)


def cancelled(job: Claimed) -> Outcome:
    """Ended because a person asked for it."""
    return Outcome(job.id, job.fence, job.attempt, "cancelled", note="cancelled by hand",
                   in_transaction=True)  # fmt: skip


def crashed(job: Claimed, how: str, *, alone: bool) -> Outcome:
    """Its process died under it; ``alone`` when nothing else ran there (promise I5)."""
    failure = encode_failure(Failure("ProcessDied", f"its process died: {how}"))
    return Outcome(job.id, job.fence, job.attempt, "crashed", failure=failure,
                   note="its process died", alone=alone, in_transaction=True)  # fmt: skip


def timed_out(job: Claimed, backoff: int | None) -> Outcome:
    """Killed, for it did not end when its time was over. ``backoff`` is the task's own wait (ms)."""
    failure = Failure("TimeoutError", "did not end within its timeout; it was killed")
    wait = job.backoff if job.backoff is not None else backoff
    if wait is None:
        wait = round(delay_seconds(None, job.attempt) * 1000)
    return Outcome(job.id, job.fence, job.attempt, "retry", delay=wait,
                   failure=encode_failure(failure), in_transaction=True)  # fmt: skip
