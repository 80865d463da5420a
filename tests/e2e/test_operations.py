"""What an operator's machines ask: health, metrics, whether a worker is ready and whether it turns."""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
import socket
from pathlib import Path
from typing import Any

import httpx
import pytest
from click.testing import CliRunner
from starlette.applications import Starlette
from starlette.routing import Mount

from commands import SHOP, ok, refused
from conftest import PATIENCE, Place, until
from sidework.cli.main import main
from sidework.ids import new_id
from sidework.job import NewJob

ALONE = pytest.mark.sqlite_alone("it is about the worker or the server around it, not the store")


@pytest.fixture
def shop(place: Place, monkeypatch: pytest.MonkeyPatch) -> Place:
    place.write("shop.py", SHOP)
    monkeypatch.setenv("SIDEWORK_URL", place.url)
    return place


def said(*words: str) -> tuple[int, str]:
    """Exit code and output of a command, in this process."""
    done = CliRunner().invoke(main, words)
    return done.exit_code, done.output


def told(*words: str) -> tuple[int, dict[str, Any]]:
    code, text = said("health", "--json", *words)
    return code, json.loads(text)


def samples(text: str) -> dict[str, float]:
    return {name: float(value) for name, value in re.findall(r"^(sidework_\S+) (\S+)$", text, re.M)}


def test_health_and_metrics_follow_what_happens(shop: Place) -> None:
    assert ok(shop, "run", "shop:add", "1")
    code, text = said("health")
    assert code == 0
    assert re.fullmatch(r"healthy: \S+, 0 workers, a job of queue default waits for \S+\n", text)
    code, found = told("--worker", "--max-wait", "0s")
    assert (code, found["healthy"], found["workers"]) == (1, False, 0)
    assert found["problems"][0] == "no worker lives: start one by sidework worker APP"
    assert re.match(r"a job of queue default has waited .*, over 0", found["problems"][1])
    assert found["oldest_queue"] == "default"
    assert samples(said("metrics")[1])['sidework_jobs{queue="default",state="available"}'] == 1
    said("queues", "pause", "default")
    assert told("--max-wait", "0s")[0] == 0
    found = samples(said("metrics")[1])
    assert found['sidework_queue_paused{queue="default"}'] == 1
    assert found['sidework_oldest_available_job_age_seconds{queue="default"}'] > 0
    said("queues", "resume", "default")
    shop.worker("shop", "--children", "1")
    assert ok(shop, "run", "shop:add", "40", "2", "--wait") == "42"
    until(lambda: told("--worker", "--max-wait", "0s")[0] == 0, "an empty queue")
    found = samples(said("metrics")[1])
    assert found['sidework_workers{state="alive"}'] == 1
    assert found['sidework_jobs_ended_per_second{queue="default",state="completed"}'] == 2 / 60
    assert found['sidework_chore_overdue_seconds{chore="promote"}'] < 60


@ALONE
def test_a_worker_tells_systemd_and_a_file(shop: Place, tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd:
        address = f"\0sidework-test-{os.getpid()}"
        systemd.bind(address)
        systemd.settimeout(PATIENCE)
        shop.extra = {"NOTIFY_SOCKET": "@" + address[1:], "WATCHDOG_USEC": "200000"}
        ready = tmp_path / "ready"
        ready.write_text("of one that was killed")
        worker = shop.worker("shop", "--children", "1", "--ready-file", str(ready), ready=False)
        assert systemd.recv(999).startswith(b"STATUS=waiting: there is no database ")
        assert not ready.exists()
        assert ok(shop, "run", "shop:add", "1")
        assert systemd.recv(99) == b"READY=1\nSTATUS=working"
        assert ready.read_text() == f"{worker.pid}\n"
        assert systemd.recv(99) == b"WATCHDOG=1"
        environ = Path(f"/proc/{worker.children()[0]}/environ").read_bytes()
        assert b"NOTIFY_SOCKET" not in environ
        assert b"WATCHDOG_USEC" not in environ
        worker.process.send_signal(signal.SIGTERM)
        while (last := systemd.recv(99)) == b"WATCHDOG=1":
            pass
        assert last == b"STOPPING=1\nSTATUS=finishing what runs"
        assert worker.process.wait(PATIENCE) == 0
        assert not ready.exists()


@ALONE
def test_a_ready_file_that_cannot_be_is_refused(shop: Place) -> None:
    told = refused(shop, "worker", "shop", "--ready-file", "nowhere/ready")
    assert re.search(r"--ready-file \S+/nowhere/ready cannot be written: .*No such file", told)


def test_the_metrics_are_served(shop: Place) -> None:
    from sidework import Sidework
    from sidework.contrib.metrics import asgi

    app = Sidework(shop.url)

    def ask(method: str = "GET", at: str = "/metrics/") -> httpx.Response:
        async def asked() -> httpx.Response:
            web = Starlette(routes=[Mount("/metrics", asgi(app))])
            transport = httpx.ASGITransport(app=web)
            async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
                return await client.request(method, at, follow_redirects=True)

        return asyncio.run(asked())

    app.store.insert([NewJob(new_id(), "m:f", b"\x01{}", lane='a"b\\c\nd')])
    answer = ask(at="/metrics")
    assert answer.status_code == 200
    assert r'sidework_jobs{queue="a\"b\\c\nd",state="available"} 1.0' in answer.text
    assert answer.headers["content-type"].startswith("text/plain; version=")
    assert 'sidework_workers{state="alive"} 0.0' in answer.text
    assert ask("HEAD").text == ""
    assert ask("POST").status_code == 405
    app.close()
    app = Sidework("/proc/nowhere/jobs.db")
    answer = ask()
    assert answer.status_code == 503
    assert "/proc/nowhere" in answer.text
    assert answer.text.count("\n") == 1


@ALONE
def test_health_of_a_store_that_is_not_there(shop: Place) -> None:
    code, found = told("--url", "nowhere.db")
    assert (code, found["store"]) == (1, None)
    assert "nowhere.db" in found["problems"][0]
    code, text = said("health", "--url", "nowhere.db")
    assert (code, text.count("\n")) == (1, 1)
