"""What a worker's log says of jobs: one line for each attempt that did not end well."""

from __future__ import annotations

import logging

from ..clock import monotonic
from ..duration import text_of
from ..errors import NotCommitted
from ..ids import id_text
from ..job import Claimed
from ..outcome import Outcome, decode_failure, failure_of
from ..store.protocol import Store
from ..url import shown
from ..wire import Hello
from .crew import Crew

log = logging.getLogger("sidework.worker")

_AGAIN_SECONDS = 60.0
_NOT_COMMITTED = failure_of(NotCommitted()).kind


class Teller:
    """Writes the log; what repeats itself without end (an unknown task) it says once a minute."""

    def __init__(self) -> None:
        self._said: dict[str, float] = {}
        self._doubted: dict[tuple[bytes, int], Claimed] = {}

    def tell(self, job: Claimed, outcome: Outcome) -> None:
        """One attempt and its end. That its claim was lost meanwhile is said elsewhere."""
        kind = outcome.kind
        name = f"job {id_text(job.id)} ({job.task})"
        if kind in ("retry", "discarded", "crashed"):
            self._failed(name, job, outcome)
        elif kind == "snoozed" and outcome.note and job.task in outcome.note:
            self._once(outcome.note)
        else:
            log.debug("%s %s%s", name, kind, f": {outcome.note}" if outcome.note else "")

    def heard(self, job: Claimed, outcome: Outcome) -> None:
        """What a child said. An end that counts only if nothing came of one in a transaction of the
        job's own is told once that is known."""
        if outcome.in_transaction:
            self._doubted[outcome.id, outcome.fence] = job
        elif outcome.kind != "completed":
            self.tell(job, outcome)

    def settled(self, outcome: Outcome, took: bool) -> None:
        """What the store said of an outcome; for one that took as expected nothing need be said."""
        job = self._doubted.pop((outcome.id, outcome.fence), None)
        if job is None:
            if not took and not outcome.in_transaction:
                log.info("job %s: fence %d had lost its claim", id_text(outcome.id), outcome.fence)
        elif took:
            self.tell(job, outcome)
        else:
            self._too_late(job, outcome)

    def _too_late(self, job: Claimed, outcome: Outcome) -> None:
        """It had ended before, as a rule by its own transaction: that is what it was to do. An error that
        its code raised afterwards is kept nowhere else."""
        failure = decode_failure(outcome.failure)
        if failure is not None and failure.kind != _NOT_COMMITTED:
            log.warning("job %s (%s) had ended before its code raised %s: %s", id_text(job.id),
                        job.task, failure.kind, failure.message)  # fmt: skip

    def _failed(self, name: str, job: Claimed, outcome: Outcome) -> None:
        failure = decode_failure(outcome.failure)
        said, trace = "no reason was kept", ""
        if failure is not None:
            first = failure.message.splitlines()[:1]
            said = f"{failure.kind}: {first[0]}" if first else failure.kind
            trace = "\n" + failure.traceback.rstrip() if failure.traceback else ""
        of = f"attempt {job.attempt} of {job.max_attempts}"
        if outcome.kind == "crashed":
            log.warning("%s, %s: %s", name, of, said)
        elif outcome.kind == "retry" and job.attempt < job.max_attempts:
            log.warning("%s, %s: %s; again in %s", name, of, said, text_of(outcome.delay / 1000))
        else:
            log.error("%s is discarded, %s: %s%s", name, of, said, trace)

    def _once(self, line: str) -> None:
        now = monotonic()
        if now - self._said.get(line, -_AGAIN_SECONDS) >= _AGAIN_SECONDS:
            self._said[line] = now
            log.warning("%s; such jobs are held until one knows it", line)


def declare(store: Store, hello: Hello) -> None:
    """Have the store know the limits that the code declares, where they are not what it declared last."""
    for queue, most in hello.limits.items():
        if store.limits.declare(queue, most):
            log.info("queue %s: at most %d jobs at a time, as its code says now", queue, most)


def introduce(worker: int, hello: Hello, lanes: tuple[str, ...], crew: Crew) -> None:
    """A worker's first line: what it works for and with."""
    log.info("worker %d on %s: tasks %d, queues %s, children %d, each of %d threads and %d coroutines",
             worker, shown(hello.url), len(hello.tasks), ", ".join(lanes) or "all",
             crew.children, crew.threads, crew.concurrency)  # fmt: skip
    if not hello.tasks:
        log.warning(
            "no task is declared in what was imported: name the modules with your tasks "
            "too, like: sidework worker shop.app shop.tasks"
        )
