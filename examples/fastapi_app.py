"""FastAPI: hand over in a request, and tell how far the job is: by asking, by waiting, as events.

pip install sidework fastapi uvicorn
uvicorn fastapi_app:web & sidework worker fastapi_app
curl -X POST 'localhost:8000/reports?month=7'
"""

import asyncio
from collections.abc import AsyncIterable, AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated, Any

import msgspec
from fastapi import FastAPI, Header, HTTPException, Query, Response
from fastapi.responses import JSONResponse, StreamingResponse

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


@jobs.task(retries=3)
async def report(month: int) -> str:
    for part in range(3):
        progress(part, 3, "reading the books")
        await asyncio.sleep(0.05)  # the long part
    return f"report of month {month}"


@asynccontextmanager
async def lifespan(_: FastAPI) -> AsyncIterator[None]:
    yield
    jobs.close()


web = FastAPI(lifespan=lifespan)


@web.post("/reports", status_code=202)
async def hand_over(month: int, response: Response) -> dict[str, str]:
    job = await report.aenqueue(month)
    response.headers["Location"] = f"/jobs/{job.id}"
    return {"id": job.id}


@web.get("/jobs/{job_id}")
async def status(
    job_id: str,
    wait: Annotated[float, Query(ge=0, le=30)] = 0,
    if_none_match: Annotated[str | None, Header()] = None,
) -> Response:
    """How far the job is. With ``?wait=20`` and the ETag of the last answer it waits so many seconds at
    most for the job's end: 304 when there is nothing new."""
    job, info = await find(job_id)
    if wait and if_none_match == etag(info) and not info.finished_at:
        try:
            await job.await_final(wait)
        except WaitTimeout:
            pass  # it goes on; the answer says how far it is
        info = await asyncio.to_thread(job.info)
    headers = {"ETag": etag(info), "Cache-Control": "no-cache"}
    if if_none_match == headers["ETag"]:
        return Response(status_code=304, headers=headers)
    return JSONResponse(shown(info), headers=headers)


@web.get("/jobs/{job_id}/events")
async def events(
    job_id: str, last_event_id: Annotated[str | None, Header()] = None
) -> StreamingResponse:
    """All that happens to the job as server-sent events, up to its end. A browser whose connection broke
    asks again with the id of the last one that it got, and is told what came next."""
    job, _ = await find(job_id)
    try:
        happens = job.events(after=last_event_id)
    except BadValue as wrong:
        raise HTTPException(400, str(wrong)) from None
    return StreamingResponse(told(job, happens), media_type="text/event-stream")


async def told(job: JobHandle[Any], happens: AsyncIterable[Event]) -> AsyncIterator[str]:
    try:
        async for event in happens:
            data = msgspec.json.encode(event).decode()
            yield f"id: {event.position}\nevent: {event.kind}\ndata: {data}\n\n"
    except PositionPruned:  # not all is kept that came next: what is, from its beginning
        async for text in told(job, job.events()):
            yield text


async def find(job_id: str) -> tuple[JobHandle[Any], JobInfo]:
    try:
        job = await asyncio.to_thread(jobs.job, job_id)
        return job, await asyncio.to_thread(job.info)
    except (JobNotFound, BadValue) as wrong:
        raise HTTPException(404, str(wrong)) from None


def etag(info: JobInfo) -> str:
    """Changes with whatever happens to the job: its fence grows with each claim and each end."""
    return f'"{info.fence}-{info.state}"'


def shown(info: JobInfo) -> dict[str, Any]:
    return {"state": info.state, "attempt": info.attempt, "result": info.result}
