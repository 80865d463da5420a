"""Flask: hand over in a request, and tell how far the job is: by asking, by waiting, as events.

pip install sidework flask gunicorn
gunicorn --preload --threads 8 flask_app:web & sidework worker flask_app
curl -X POST 'localhost:8000/reports?month=7'
"""

from collections.abc import Iterable, Iterator
from time import sleep
from typing import Any

import msgspec
from flask import Flask, Response, abort, jsonify, request

from sidework import (
    BadValue,
    Event,
    JobHandle,
    JobInfo,
    JobNotFound,
    PositionPruned,
    Sidework,
    WaitTimeout,
    progress,
)

jobs = Sidework()
web = Flask(__name__)


@jobs.task(retries=3)
def report(month: int) -> str:
    for part in range(3):
        progress(part, 3, "reading the books")
        sleep(0.05)  # the long part
    return f"report of month {month}"


@web.post("/reports")
def hand_over() -> Response:
    job = report.enqueue(request.args.get("month", type=int, default=1))
    answer = jsonify(id=job.id)
    answer.status_code, answer.headers["Location"] = 202, f"/jobs/{job.id}"
    return answer


@web.get("/jobs/<job_id>")
def status(job_id: str) -> Response:
    """How far the job is. With ``?wait=20`` and the ETag of the last answer it waits so many seconds at
    most for the job's end: 304 when there is nothing new. Meanwhile it holds a thread."""
    job, info = find(job_id)
    wait = min(request.args.get("wait", type=float, default=0.0), 30.0)
    if wait > 0 and not info.finished_at and etag(info) in request.if_none_match:
        try:
            job.wait(wait)
        except WaitTimeout:
            pass  # it goes on; the answer says how far it is
        info = job.info()
    answer = jsonify(shown(info))
    answer.set_etag(etag(info))
    answer.cache_control.no_cache = True
    return answer.make_conditional(request)


@web.get("/jobs/<job_id>/events")
def events(job_id: str) -> Response:
    """All that happens to the job as server-sent events, up to its end. A browser whose connection broke
    asks again with the id of the last one that it got, and is told what came next."""
    job, _ = find(job_id)
    try:
        happens = job.events(after=request.headers.get("Last-Event-ID"))
    except BadValue as wrong:
        abort(400, str(wrong))
    return Response(told(job, happens), mimetype="text/event-stream")


def told(job: JobHandle[Any], happens: Iterable[Event]) -> Iterator[str]:
    try:
        for event in happens:
            data = msgspec.json.encode(event).decode()
            yield f"id: {event.position}\nevent: {event.kind}\ndata: {data}\n\n"
    except PositionPruned:  # not all is kept that came next: what is, from its beginning
        yield from told(job, job.events())


def find(job_id: str) -> tuple[JobHandle[Any], JobInfo]:
    try:
        job = jobs.job(job_id)
        return job, job.info()
    except (JobNotFound, BadValue) as wrong:
        abort(404, str(wrong))


def etag(info: JobInfo) -> str:
    """Changes with whatever happens to the job: its fence grows with each claim and each end."""
    return f"{info.fence}-{info.state}"


def shown(info: JobInfo) -> dict[str, Any]:
    return {"state": info.state, "attempt": info.attempt, "result": info.result}
