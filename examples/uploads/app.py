"""Uploads: a page takes big files in chunks; jobs work on them, and the page shows how far they are.

python app.py            # the page and a worker in one process; README.md has the rest
"""

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Annotated, Any
from uuid import UUID, uuid4

import uvicorn
from fastapi import FastAPI, Header, HTTPException, Request
from fastapi.responses import FileResponse, StreamingResponse
from msgspec.json import encode
from tasks import FILES, jobs, work_on

from sidework import JobHandle, JobNotFound, PositionPruned


@asynccontextmanager
async def lifespan(_: FastAPI) -> AsyncIterator[None]:
    yield
    jobs.close()


web = FastAPI(lifespan=lifespan)


@web.get("/")
def page() -> FileResponse:
    return FileResponse(Path(__file__).with_name("page.html"))


@web.post("/uploads", status_code=201)
def begin() -> dict[str, str]:
    upload = uuid4()
    (FILES / str(upload)).mkdir(parents=True)
    return {"id": str(upload)}


@web.put("/uploads/{upload}")
async def chunk(upload: UUID, at: int, request: Request) -> dict[str, int]:
    """Bytes of the file from ``at`` on. The same chunk may come twice, as when its answer was lost."""
    content = await request.body()
    return {"size": await asyncio.to_thread(write, found(upload, "original"), at, content)}


def write(file: Path, at: int, content: bytes) -> int:
    with open(os.open(file, os.O_RDWR | os.O_CREAT, 0o644), "r+b") as target:
        target.seek(at)
        return at + target.write(content)


@web.post("/uploads/{upload}/done", status_code=202)
async def done(upload: UUID) -> dict[str, str]:
    """All is here. The job has the upload's id, so that to say it twice stores one job."""
    found(upload, "original")
    return {"job": (await work_on.options(id=upload).aenqueue(upload)).id}


@web.get("/uploads/{upload}/{name}")
def download(upload: UUID, name: str) -> FileResponse:
    return FileResponse(found(upload, name))


def found(upload: UUID, name: str) -> Path:
    folder = FILES / str(upload)
    if not folder.is_dir() or (name != "original" and not (folder / name).is_file()):
        raise HTTPException(404)
    return folder / name


@web.get("/jobs/{job_id}/events")
async def events(
    job_id: UUID, last_event_id: Annotated[str | None, Header()] = None
) -> StreamingResponse:
    try:
        job = await asyncio.to_thread(jobs.job, job_id)
    except JobNotFound as wrong:
        raise HTTPException(404, str(wrong)) from None
    return StreamingResponse(told(job, last_event_id), media_type="text/event-stream")


async def told(job: JobHandle[Any], after: str | None) -> AsyncIterator[bytes]:
    """What happened to the job and what happens; a browser that comes back says what it has seen."""
    yield b"retry: 500\n\n"
    try:
        async for event in job.events(after=after):
            head = f"id: {event.position}\nevent: {event.kind}\ndata: ".encode()
            yield head + encode(event) + b"\n\n"
    except PositionPruned:
        async for piece in told(job, None):
            yield piece


if __name__ == "__main__":
    with jobs.worker():
        uvicorn.run(web, port=int(os.environ.get("PORT", "8000")))
