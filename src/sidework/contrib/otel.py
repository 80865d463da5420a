"""Spans of OpenTelemetry around handing jobs over and around attempts (extra ``otel``).

What hands a job over is a producer span, whose context the job carries along; an attempt is a consumer span
below it, in whatever process and however much later. So one trace shows a request and all that came of it.
The names of attributes are those of the semantic conventions for messaging, where there is one.
"""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from typing import Any

from .. import __version__
from ..client.app import Sidework
from ..errors import SideworkError
from ..extras import how_to_install
from ..outcome import Snooze
from ..tasks.context import RunningJob
from ..tasks.middleware import Handover, Middleware, Steps

try:
    from opentelemetry import propagate, trace
    from opentelemetry.context import Context
except ImportError as missing:
    raise SideworkError(
        f"spans need what is not installed, {missing.name}: {how_to_install('otel')}"
    ) from missing


def instrument(app: Sidework, tracer_provider: trace.TracerProvider | None = None) -> None:
    """Make spans of what the app hands over and runs, in each process that imports its module.

    Call it there once, after the app is made. Where the spans go is what the program sets up, in the
    module too, since children import nothing else: ``tracer_provider``, by default OpenTelemetry's own.
    """
    app.use(_Spans(trace.get_tracer("sidework", __version__, tracer_provider)))


class _Spans(Middleware):
    def __init__(self, tracer: trace.Tracer) -> None:
        self._tracer = tracer

    def enqueue(self, handover: Handover) -> Steps:
        """One span for all jobs that are handed over together: they carry the same context."""
        jobs = handover.jobs
        queues, tasks = {job.queue for job in jobs}, {job.task for job in jobs}
        told: dict[str, Any] = {
            "messaging.system": "sidework",
            "messaging.operation.name": "enqueue",
            "messaging.operation.type": "send",
        }
        if len(queues) == 1:
            told["messaging.destination.name"] = jobs[0].queue
        if len(tasks) == 1:
            told["sidework.task"] = jobs[0].task
        if len(jobs) == 1:
            told["messaging.message.id"] = jobs[0].id
        else:
            told["messaging.batch.message_count"] = len(jobs)
        name = f"enqueue {jobs[0].task}" if len(tasks) == 1 else "enqueue jobs"
        with self._span(name, trace.SpanKind.PRODUCER, told, None):
            propagate.inject(handover.context)
            yield

    def attempt(self, job: RunningJob) -> Steps:
        """A span below that of whoever handed the job over."""
        told: dict[str, Any] = {
            "messaging.system": "sidework",
            "messaging.operation.name": "attempt",
            "messaging.operation.type": "process",
            "messaging.destination.name": job.queue,
            "messaging.message.id": job.id,
            "sidework.task": job.task,
            "sidework.attempt": job.attempt,
        }
        parent = propagate.extract(job.context)
        with self._span(f"attempt {job.task}", trace.SpanKind.CONSUMER, told, parent):
            yield

    @contextmanager
    def _span(
        self, name: str, kind: trace.SpanKind, told: dict[str, Any], parent: Context | None
    ) -> Generator[None]:
        with self._tracer.start_as_current_span(
            name, parent, kind, told, record_exception=False, set_status_on_exception=False
        ) as span:
            try:
                yield
            except Snooze:
                raise  # no failure: it asked to run later
            except BaseException as error:
                # Also of an attempt that is ended: for its time, or since somebody cancelled it.
                span.record_exception(error)
                span.set_attribute("error.type", type(error).__qualname__)
                span.set_status(trace.Status(trace.StatusCode.ERROR, str(error)))
                raise
