"""The examples of FastAPI and Flask as a browser uses them, and under real servers that fork."""

from __future__ import annotations

import asyncio
import json
import re
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from typing import Any

import httpx
import pytest

from conftest import Place, until
from engines import ENGINES
from sidework.note import Note, Notes
from sidework.outcome import Outcome
from sidework.store.protocol import Demand

EXAMPLES = Path(__file__).parents[2] / "examples"

EVENT = re.compile(r"id: (\S+)\nevent: (\w+)\ndata: (.*)\n\n")


class Asgi:
    """httpx within the process; each request on a loop of its own."""

    def __init__(self, web: Any) -> None:
        self._web = web

    def post(self, path: str) -> Any:
        return asyncio.run(self._ask("POST", path))

    def get(self, path: str, headers: dict[str, str] | None = None) -> Any:
        return asyncio.run(self._ask("GET", path, headers))

    async def _ask(self, verb: str, path: str, headers: dict[str, str] | None = None) -> Any:
        transport = httpx.ASGITransport(self._web)
        async with httpx.AsyncClient(transport=transport, base_url="http://server") as client:
            return await client.request(verb, path, headers=headers, timeout=20)


class Flask:
    """Flask's client, as those of httpx are."""

    def __init__(self, web: Any) -> None:
        self._client = web.test_client()

    def post(self, path: str) -> Any:
        return self._client.post(path)

    def get(self, path: str, headers: dict[str, str] | None = None) -> Any:
        return self._client.get(path, headers=headers)


@pytest.fixture(params=["fastapi_app", "flask_app"])
def example(
    place: Place, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Any]:
    monkeypatch.setenv("SIDEWORK_URL", place.url)
    path = shutil.copy(EXAMPLES / f"{request.param}.py", place.folder)
    spec = spec_from_file_location(request.param, path)
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    monkeypatch.setitem(sys.modules, request.param, module)
    spec.loader.exec_module(module)
    yield module
    module.jobs.close()


@pytest.mark.parametrize("engine", sorted(ENGINES))
def test_hand_over_ask_wait_and_listen(example: Any) -> None:
    web = Asgi(example.web) if example.__name__ == "fastapi_app" else Flask(example.web)
    handed = web.post("/reports?month=7")
    assert handed.status_code == 202
    address = handed.headers["Location"]
    first = web.get(address)
    assert (first.status_code, body(first)["state"]) == (200, "available")
    seen = {"If-None-Match": first.headers["ETag"]}
    assert web.get(address, headers=seen).status_code == 304
    assert web.get(f"{address}?wait=0.05", headers=seen).status_code == 304  # nobody works yet
    with example.jobs.worker():
        last = web.get(f"{address}?wait=20", headers=seen)
        while body(last)["state"] != "completed":  # it was told that the job had begun
            last = web.get(f"{address}?wait=20", headers={"If-None-Match": last.headers["ETag"]})
        other = web.post("/reports?month=8").headers["Location"]
        streamed = web.get(f"{other}/events")
        events = EVENT.findall(text(streamed))  # as long as it lasts
    missed = web.get(f"{other}/events", headers={"Last-Event-ID": events[1][0]})
    rest = EVENT.findall(text(missed))  # of the progress in between the newest is kept
    assert (rest[0][1], rest[-1]) == ("progress", events[-1])
    told = {"state": "completed", "attempt": 1, "result": "report of month 7"}
    assert (last.status_code, body(last)) == (200, told)
    assert last.headers["ETag"] != first.headers["ETag"]
    assert streamed.headers["Content-Type"].startswith("text/event-stream")
    kinds = [kind for _, kind, _ in events]
    assert (kinds[:2], kinds[-1]) == (["enqueued", "started"], "final")
    assert "progress" in kinds
    assert json.loads(events[-1][2])["state"] == "completed"
    assert web.get(f"{other}/events", headers={"Last-Event-ID": "x"}).status_code == 400
    for nothing in ("/jobs/x", "/jobs/019500aa-0000-7000-8000-000000000000/events"):
        assert web.get(nothing).status_code == 404


@pytest.mark.parametrize("engine", sorted(ENGINES))
def test_who_missed_what_is_not_kept_begins_again(example: Any) -> None:
    web = Asgi(example.web) if example.__name__ == "fastapi_app" else Flask(example.web)
    store, runner = example.jobs.store, example.report.task_options.runner
    address = web.post("/reports?month=7").headers["Location"]
    (job,) = store.turn([], Demand(store.register("host", 1, ()).id, {runner: 1})).claimed
    told = Notes(job.id, job.fence, (Note(3, "value", 1, b"\x01{}"),), first=True, cut=2)
    end = Outcome(job.id, job.fence, job.attempt, "completed", result=b"\x01null")
    store.turn([end], None, notes=[told])
    answer = web.get(f"{address}/events", headers={"Last-Event-ID": f"{job.fence}.1"})
    kinds = [kind for _, kind, _ in EVENT.findall(text(answer))]
    assert (answer.status_code, kinds) == (200, ["enqueued", "started", "value", "final"])


def body(answer: Any) -> Any:
    return json.loads(text(answer))


def text(answer: Any) -> str:
    return answer.text if isinstance(answer.text, str) else answer.get_data(as_text=True)


PRELOADED = """
    from {module} import jobs, report, web

    assert report.enqueue(0).wait(20) == "completed"  # the store and the waiter are in use
"""
GUNICORN = ["gunicorn", "--preload", "--workers", "2", "--bind", "unix:{path}"]
SERVERS = {
    "flask_app": [*GUNICORN, "--threads", "4", "preloaded:web"],
    "fastapi_app": [*GUNICORN, "-k", "uvicorn.workers.UvicornWorker", "preloaded:web"],
}


@pytest.mark.parametrize(
    ("engine", "server"), [("sqlite", "fastapi_app"), ("postgres", "flask_app")]
)
def test_nothing_is_lost_by_a_server_that_forks(place: Place, server: str) -> None:
    """The store is opened before the fork, by gunicorn's master; requests enqueue in its children."""
    shutil.copy(EXAMPLES / f"{server}.py", place.folder)
    place.write("preloaded.py", PRELOADED.replace("{module}", server))
    worker = place.worker(server, "--children", "1", ready=False)
    path = place.folder / "web.sock"
    words = [one.format(path=path) for one in SERVERS[server]]
    with open(place.folder / "server.log", "w", encoding="utf-8") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", *words], cwd=place.folder, env=place.env, stdout=log, stderr=log
        )
    place.started.append(process)  # type: ignore[arg-type]
    until(lambda: listens(path), "the server's socket")

    def ask(number: int) -> str:
        answer = client.post(f"http://server/reports?month={number}", timeout=20)
        assert answer.status_code == 202, answer.text
        return answer.json()["id"]

    with httpx.Client(transport=httpx.HTTPTransport(uds=str(path))) as client:
        with ThreadPoolExecutor(8) as clients:
            told = list(clients.map(ask, range(60)))
        results = [
            client.get(f"http://server/jobs/{job}", timeout=20).json()["state"] for job in told[:5]
        ]
    assert len(results) == 5
    process.terminate()
    said = (place.folder / "server.log").read_text()
    assert process.wait(20) in (0, -15), said
    assert "Traceback" not in said, said
    store = place.engine.open()
    try:
        done = until(lambda: final(store, told), "the end of all jobs")
    finally:
        store.close()
    assert done == {"completed"}
    assert worker.stop() == 0


def listens(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX) as one:
        return one.connect_ex(str(path)) == 0


def final(store: Any, jobs: list[str]) -> set[str] | None:
    from sidework.ids import parse_id

    rows = store.get([parse_id(job) for job in jobs])
    assert None not in rows  # acknowledged, so it is there
    states = {str(row.state) for row in rows}
    return states if states <= {"completed", "cancelled", "discarded"} else None
