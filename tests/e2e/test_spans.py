"""Spans go from whoever hands a job over to the child that runs it, in real processes."""

from __future__ import annotations

import json
from typing import Any

from conftest import Place

APP = """
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from sidework import Retry, Sidework, Snooze
from sidework.contrib.otel import instrument

kept = InMemorySpanExporter()
provider = TracerProvider()
provider.add_span_processor(SimpleSpanProcessor(kept))
app = Sidework()
instrument(app, provider)
tracer = provider.get_tracer("shop")
slept = []

def spans() -> list[dict]:
    return [
        {
            "name": one.name, "kind": one.kind.name, "status": one.status.status_code.name,
            "trace": one.context.trace_id, "id": one.context.span_id,
            "parent": one.parent and one.parent.span_id,
            "told": dict(one.attributes), "events": [event.name for event in one.events],
        }
        for one in kept.get_finished_spans()
    ]

@app.task(name="told", queue="looking")
def told() -> list[dict]:
    return spans()

@app.task(name="pay", retries=1, backoff="1ms")
async def pay(order: int) -> None:
    with tracer.start_as_current_span("inner"):
        if not slept:
            slept.append(order)
            raise ValueError("not yet")

@app.task(name="mail")
def mail(order: int) -> None:
    pay.enqueue(order).wait(10)

@app.task(name="nap")
async def nap(order: int) -> None:
    if len(slept) < 2:
        slept.append(order)
        raise Snooze("1ms")
"""
ASK = """
import json
from shop import mail, nap, app, spans, told, tracer
with tracer.start_as_current_span("request"):
    job = mail.enqueue(7)
job.result(20)
app.enqueue_many(nap.bind(n) for n in range(2))
while any(True for _ in app.jobs(state=["available", "scheduled", "running"])):
    pass
print(json.dumps([spans(), told.enqueue().result(20)]))
"""


def named(spans: list[dict[str, Any]], name: str) -> list[dict[str, Any]]:
    return [span for span in spans if span["name"] == name]


def test_a_trace_goes_on_in_the_child(place: Place) -> None:
    place.write("shop.py", APP)
    place.write("ask.py", ASK)
    worker = place.worker("shop", "--children", "1", ready=False)
    done = place.python("ask.py")
    assert done.returncode == 0, done.stderr
    here, there = json.loads(done.stdout)
    (request,) = named(here, "request")
    (handed,) = named(here, "enqueue mail")
    (mail,) = named(there, "attempt mail")
    (inside,) = named(there, "enqueue pay")
    failed, paid = named(there, "attempt pay")
    chain = [request, handed, mail, inside, failed]
    assert [span["parent"] for span in chain] == [None, *(span["id"] for span in chain[:-1])]
    assert paid["parent"] == inside["id"]
    assert {span["trace"] for span in (*chain, paid)} == {request["trace"]}
    assert [handed["kind"], mail["kind"]] == ["PRODUCER", "CONSUMER"]
    assert handed["told"]["messaging.message.id"] == mail["told"]["messaging.message.id"]
    assert (failed["status"], failed["events"]) == ("ERROR", ["exception"])
    assert failed["told"]["error.type"] == "ValueError"
    assert [failed["told"]["sidework.attempt"], paid["told"]["sidework.attempt"]] == [1, 2]
    assert (paid["status"], mail["told"]["messaging.destination.name"]) == ("UNSET", "default")
    assert {one["parent"] for one in named(there, "inner")} == {failed["id"], paid["id"]}
    # Handed over together: one span, above each of their attempts. A snooze is no failure.
    (many,) = named(here, "enqueue nap")
    assert many["told"]["messaging.batch.message_count"] == 2
    naps = named(there, "attempt nap")
    assert len(naps) == 3
    assert {(one["parent"], one["status"]) for one in naps} == {(many["id"], "UNSET")}
    assert worker.stop() == 0
