"""Limits and pauses with real workers, and what the command line says of them (promise I11)."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import accumulate
from time import monotonic
from typing import Any

from conftest import Place, until
from sidework.tasks.finding import find_app

APP = """
    import time
    from sidework import Sidework

    app = Sidework()
    app.queue("mail", limit=3)

    @app.task(queue="mail")
    def mail(seconds: float) -> list[float]:
        began = time.monotonic()
        time.sleep(seconds)
        return [began, time.monotonic()]

    @app.task(unique="n", queue="wide")
    def other(n: int) -> int:
        return n
"""


@contextmanager
def shop(place: Place) -> Iterator[Any]:
    """The app as the test's own program sees it."""
    path = place.write("shop.py", APP)
    other = sys.modules.pop("shop", None)  # of a test before, whose worker goes on
    try:
        app: Any = find_app(str(path))
    finally:
        if other is not None:
            sys.modules["shop"] = other
    app.url = f"sqlite:///{place.url}" if place.url.startswith("/") else place.url
    app.store.migrate()
    try:
        yield app
    finally:
        app.close()


def most(times: list[list[float]]) -> int:
    """How many ran at a time."""
    steps = sorted([(began, 1) for began, _ in times] + [(ended, -1) for _, ended in times])
    return max(accumulate(step for _, step in steps))


def test_two_workers_share_a_narrow_queue(place: Place) -> None:
    """I11, by the log of the jobs themselves; and no place is slept past, whoever frees it."""
    with shop(place) as app:
        mail = app.registry.get("shop:mail")
        jobs = [mail.enqueue(0.02) for _ in range(60)]
        began = monotonic()
        workers = [place.worker("shop.py", "--children", "1") for _ in range(2)]
        times = [job.result(timeout="60s") for job in jobs]
        assert most(times) == 3
        # Of places that nobody was told of, three would have been taken a second.
        assert monotonic() - began < 15
        assert app.store.switch("mail").most == 3
        workers[0].says(r"queue mail: at most 3 jobs|ready")
        app.store.limits.limit("mail", 1)
        times = [job.result(timeout="60s") for job in [mail.enqueue(0.01) for _ in range(6)]]
        assert most(times) == 1
        for worker in workers:
            assert worker.stop() == 0


def test_a_worker_may_narrow_a_queue_for_itself(place: Place) -> None:
    with shop(place) as app:
        app.store.limits.declare("mail", 3)
        app.store.limits.limit("mail", None)
        mail = app.registry.get("shop:mail")
        jobs = [mail.enqueue(0.02) for _ in range(12)]
        worker = place.worker("shop.py", "--queues", "wide,mail=2")
        assert most([job.result(timeout="60s") for job in jobs]) == 2
        assert worker.stop() == 0
    wrong = place.sidework("worker", "shop.py", "--queues", "mail=0")
    assert wrong.returncode == 2
    assert "expected a whole number from 1" in wrong.stderr


def test_the_command_line_limits_pauses_and_explains(place: Place) -> None:
    with shop(place) as app:
        mail, other = (app.registry.get(f"shop:{name}") for name in ("mail", "other"))
        app.store.limits.declare("mail", 3)  # as a worker did before; what is set by hand stands
        said = place.sidework("queues", "limit", "mail", "1", "--url", place.url)
        assert said.stdout == "mail: 1 job at a time\n", said.stderr
        running, waiting = mail.enqueue(60), mail.enqueue(0)
        held = other.enqueue(7)
        again = other.enqueue(7)
        assert (again == held, again.existing) == (True, True)
        paused = place.sidework(
            "tasks", "pause", "other", "--app", "shop.py", "--by", "ann", "--why", "it is wrong"
        )
        assert paused.stdout == "shop:other paused\n", paused.stderr
        worker = place.worker("shop.py", "--children", "1")
        worker.says("ready")
        until(lambda: running.state == "running", "the first to run")
        why = place.sidework("explain", waiting.id, "--url", place.url).stdout
        assert "its queue has a limit of 1, all taken" in why
        why = place.sidework("explain", held.id, "--url", place.url).stdout
        assert re.search("task shop:other was paused .* by ann: it is wrong", why), why
        assert 'it holds the unique key shop:other {"n":7}' in why
        listed = json.loads(place.sidework("tasks", "list", "--app", "shop.py", "--json").stdout)
        assert [one["paused_by"] for one in listed] == [None, "ann"]
        queues = json.loads(place.sidework("queues", "list", "--url", place.url, "--json").stdout)
        assert {one["name"]: one["limit"] for one in queues} == {"mail": 1, "wide": None}
        assert (
            "no limit" in place.sidework("queues", "limit", "mail", "x", "--url", place.url).stderr
        )
        resumed = place.sidework("tasks", "resume", "other", "--url", place.url)
        assert resumed.stdout == "shop:other open\n", resumed.stderr
        assert held.result(timeout="30s") == 7
