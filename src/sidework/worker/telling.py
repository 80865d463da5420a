"""What a worker's log says of jobs: one line for each attempt that did not end well; of the others at a
level of their own."""

from __future__ import annotations

import logging

from ..clock import monotonic, now_ms, to_datetime
from ..duration import text_of
from ..errors import NotCommitted
from ..ids import id_text
from ..job import Claimed
from ..logs import say
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

    def __init__(self, each_at: int = logging.DEBUG) -> None:
        self._each_at = each_at  # from INFO up, failures tell how long they took too
        self._said: dict[str, float] = {}
        self._doubted: dict[tuple[bytes, int], tuple[Claimed, float | None]] = {}

    def tell(self, job: Claimed, outcome: Outcome, took: float | None = None) -> None:
        """One attempt and its end, after so many seconds. That its claim was lost meanwhile is said
        elsewhere."""
        kind = outcome.kind
        if kind in ("retry", "discarded", "crashed"):
            self._failed(job, outcome, took)
        elif kind == "snoozed" and outcome.note and job.task in outcome.note:
            self._once(outcome.note)
        else:
            note = f": {outcome.note}" if outcome.note else ""
            log.log(self._each_at, "%s %s%s%s", _attempt(job), kind, _times(took), note,
                    extra=_fields(job, outcome, took))  # fmt: skip

    def heard(self, job: Claimed, outcome: Outcome, took: float | None = None) -> None:
        """What a child said. An end that counts only if nothing came of one in a transaction of the
        job's own is told once that is known."""
        if outcome.in_transaction:
            self._doubted[outcome.id, outcome.fence] = (job, took)
        elif outcome.kind != "completed" or log.isEnabledFor(self._each_at):
            self.tell(job, outcome, took)

    def settled(self, outcome: Outcome, took: bool) -> None:
        """What the store said of an outcome; for one that took as expected nothing need be said."""
        job, seconds = self._doubted.pop((outcome.id, outcome.fence), (None, None))
        if job is None:
            if not took and not outcome.in_transaction:
                log.info("job %s: fence %d had lost its claim", id_text(outcome.id), outcome.fence)
        elif took:
            self.tell(job, outcome, seconds)
        else:
            self._too_late(job, outcome)

    def _too_late(self, job: Claimed, outcome: Outcome) -> None:
        """It had ended before, as a rule by its own transaction: that is what it was to do. An error that
        its code raised afterwards is kept nowhere else."""
        failure = decode_failure(outcome.failure)
        if failure is not None and failure.kind != _NOT_COMMITTED:
            log.warning("job %s (%s) had ended before its code raised %s: %s", id_text(job.id),
                        job.task, failure.kind, failure.message)  # fmt: skip

    def _failed(self, job: Claimed, outcome: Outcome, took: float | None) -> None:
        failure = decode_failure(outcome.failure)
        said, trace = "no reason was kept", ""
        if failure is not None:
            first = failure.message.splitlines()[:1]
            said = f"{failure.kind}: {first[0]}" if first else failure.kind
            trace = failure.traceback
        name, of = (
            f"job {id_text(job.id)} ({job.task})",
            f"attempt {job.attempt} of {job.max_attempts}",
        )
        times = (
            f"; ended{_times(took)}" if took is not None and self._each_at >= logging.INFO else ""
        )
        extra = _fields(job, outcome, took)
        if outcome.kind == "crashed":
            log.warning("%s, %s: %s%s", name, of, said, times, extra=extra)
        elif outcome.kind == "retry" and job.attempt < job.max_attempts:
            log.warning("%s, %s: %s; again in %s%s", name, of, said, text_of(outcome.delay / 1000),
                        times, extra=extra)  # fmt: skip
        else:
            line = f"{name} is discarded, {of}: {said}{times}"
            say(log, logging.ERROR, line, extra, trace=trace)

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


def _attempt(job: Claimed) -> str:
    return f"job {id_text(job.id)} ({job.task}), attempt {job.attempt} of {job.max_attempts}:"


def _times(took: float | None) -> str:
    """How long it took, from when to when."""
    if took is None:
        return ""
    ended = now_ms()
    began, over = (f"{to_datetime(at).astimezone():%H:%M:%S.%f}"[:-3]
                   for at in (ended - round(took * 1000), ended))  # fmt: skip
    # What is heard of in one piece, its start and its end, was over before this process looked.
    return f" in {text_of(took) if took >= 0.001 else 'under 1ms'} ({began} to {over})"


def _fields(job: Claimed, outcome: Outcome, took: float | None) -> dict[str, object]:
    """What a program reads of the line (``logs``)."""
    names = ("job", "task", "attempt", "queue", "outcome", "seconds")
    seconds = None if took is None else round(took, 6)
    told = (id_text(job.id), job.task, job.attempt, job.lane, outcome.kind, seconds)
    return {f"sidework_{name}": value for name, value in zip(names, told, strict=True)}


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
