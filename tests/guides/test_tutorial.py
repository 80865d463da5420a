"""The tutorial as a reader has it in the end: its own test passes, and the page, a worker and a mail server
do what it says."""

from __future__ import annotations

import json
import re
import socketserver
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from conftest import Place, until

PAGE = Path(__file__).parents[2] / "docs" / "tutorial.md"
BLOCK = re.compile(r'^```python title="([^"]+)"\n(.*?)^```', re.M | re.S)


class Mails(socketserver.StreamRequestHandler):
    """As much of SMTP as takes a mail."""

    def handle(self) -> None:
        self.wfile.write(b"220 here\r\n")
        for line in self.rfile:
            if line.lower() == b"data\r\n":
                self.wfile.write(b"354 go on\r\n")
                self.server.mails.append(b"".join(iter(self.rfile.readline, b".\r\n")).decode())  # type: ignore[attr-defined]
            self.wfile.write(b"250 yes\r\n")


@pytest.fixture
def mails(place: Place) -> Iterator[list[str]]:
    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Mails) as server:
        server.mails = []  # type: ignore[attr-defined]
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        place.extra["SMTP_SERVER"] = f"127.0.0.1:{server.server_address[1]}"
        yield server.mails  # type: ignore[attr-defined]
        server.shutdown()
        thread.join()


@pytest.fixture
def written(place: Place) -> Place:
    for name, text in BLOCK.findall(PAGE.read_text("utf-8")):
        place.write(name, text)
    return place


def test_its_test_passes(written: Place) -> None:
    written.extra["PYTEST_DISABLE_PLUGIN_AUTOLOAD"] = "1"  # a reader has fewer of them, too
    done = written.python(
        "-m", "pytest", "-q", "-p", "sidework.testing.plugin", "-o", "pythonpath=."
    )
    assert "3 passed" in done.stdout, done.stdout + done.stderr


def test_a_request_its_progress_and_its_mail(written: Place, mails: list[str]) -> None:
    socket = written.folder / "web"
    web = subprocess.Popen(
        [sys.executable, "-m", "uvicorn", "web:web", "--uds", str(socket), "--log-level", "error"],
        cwd=written.folder, env=written.env,
    )  # fmt: skip
    written.started.append(web)
    written.worker("reports", "post", "nightly", ready=False)
    until(socket.exists, "the server")
    with httpx.Client(
        transport=httpx.HTTPTransport(uds=str(socket)), base_url="http://server", timeout=20
    ) as client:
        assert "<progress" in client.get("/").text
        asked = client.post("/reports", params={"year": 2025, "to": "ann@example.org"})
        assert asked.status_code == 202
        told = re.findall(r"event: (\w+)\ndata: (.*)\n\n", client.get(asked.json()["events"]).text)
        assert client.get("/reports/x/events").status_code == 404
        wrong = client.get(asked.json()["events"], headers={"Last-Event-ID": "x"})
        assert wrong.status_code == 404
    bars = [json.loads(data)["done"] for kind, data in told if kind == "progress"]
    assert bars == sorted(bars)
    assert bars[-1] == 12
    assert told[-1] == ("final", '{"state": "completed"}')
    until(lambda: mails, "the mail")
    assert "To: ann@example.org" in mails[0]
    assert "2025-12: 1200 sold" in mails[0]
    listed = written.sidework("periodic", "list", "--app", "reports", "--json")
    assert "clean_up" in listed.stdout, listed.stderr
