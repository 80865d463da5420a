"""A service to try with, which is slow and fails: ``busy`` is told to wait (429), ``flaky`` fails twice,
``stuck`` stalls once, ``down`` fails until ``POST /mend``, and what it does not know is 404.

python provider.py       # at SERVICE, or http://localhost:8010
"""

import json
import os
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit

KNOWN = ("usd", "busy", "flaky", "stuck", "down")


class Provider(ThreadingHTTPServer):
    daemon_threads = True
    mended = False

    def __init__(self, address: tuple[str, int]) -> None:
        super().__init__(address, Answer)
        self.asked: Counter[str] = Counter()
        self.now = self.most = 0  # requests at a time
        self.lock = threading.Lock()


class Answer(BaseHTTPRequestHandler):
    server: Provider

    def do_GET(self) -> None:
        name = self.path.rpartition("/")[2]
        if name == "most":
            return self.say(200, {"most": self.server.most})
        with self.server.lock:
            self.server.asked[name] += 1
            times = self.server.asked[name]
            self.server.now += 1
            self.server.most = max(self.server.most, self.server.now)
        time.sleep(0.05)
        with self.server.lock:
            self.server.now -= 1
        if name == "stuck" and times == 1:
            time.sleep(10)
        if name not in KNOWN:
            self.say(404, {"error": f"no currency {name}"})
        elif name == "busy" and times == 1:
            self.say(429, {"error": "too many"}, {"Retry-After": "1"})
        elif (name == "flaky" and times <= 2) or (name == "down" and not self.server.mended):
            self.say(500, {"error": "sorry"})
        else:
            self.say(200, {"rate": "1.25"})

    def do_POST(self) -> None:
        self.server.mended = True
        self.say(200, {})

    def say(self, status: int, content: object, headers: dict[str, str] | None = None) -> None:
        body = json.dumps(content).encode()
        self.send_response(status)
        for name, value in {"Content-Length": str(len(body)), **(headers or {})}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


@contextmanager
def provider(url: str) -> Iterator[Provider]:
    at = urlsplit(url)
    server = Provider((at.hostname or "", at.port or 80))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server
    server.shutdown()
    server.server_close()


if __name__ == "__main__":
    with provider(os.environ.get("SERVICE", "http://localhost:8010")):
        threading.Event().wait()
