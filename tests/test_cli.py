"""The command line as real processes on a real store: output, JSON, exit codes, bad input."""

from __future__ import annotations

import json
import sqlite3
from typing import Any

import pytest

from conftest import Place

SHOP = """
    from sidework import Sidework
    app = Sidework()

    @app.task(retries=3)
    def add(a: int, b: int = 1) -> int:
        return a + b

    @app.task(queue="mail")
    def fail(text: str) -> None:
        raise ValueError(text)
"""


@pytest.fixture
def shop(place: Place) -> Place:
    place.write("shop.py", SHOP)
    return place


def ok(place: Place, *words: str) -> str:
    done = place.sidework(*words)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def read(place: Place, *words: str) -> Any:
    return json.loads(ok(place, *words, "--json", "--app", "shop"))


def refused(place: Place, *words: str) -> str:
    """One line on stderr, nothing on stdout, exit code 1."""
    done = place.sidework(*words)
    assert done.returncode == 1, done.stdout + done.stderr
    assert done.stdout == ""
    assert len(done.stderr.strip().splitlines()) == 1, done.stderr
    return done.stderr.strip()


def test_a_job_from_run_to_show(shop: Place) -> None:
    job = ok(shop, "run", "shop:add", "2", "b=3")
    assert read(shop, "jobs", "show", job)["state"] == "available"
    shop.worker("shop", "--children", "1")
    assert ok(shop, "run", "shop:add", "40", "2", "--wait") == "42"
    told = read(shop, "jobs", "show", job)
    assert (told["state"], told["args"], told["result"]) == ("completed", {"a": 2, "b": 3}, 5)
    assert [row["id"] for row in read(shop, "jobs", "list", "--state", "completed")][-1] == job


def test_a_failed_job_is_shown_explained_and_retried(shop: Place) -> None:
    worker = shop.worker("shop", "--children", "1", ready=False)
    done = shop.sidework("run", "shop:fail", "boom", "--wait", "--timeout", "20s")
    assert done.returncode == 1
    assert "ValueError: boom" in done.stderr
    assert worker.stop() == 0
    (row,) = read(shop, "jobs", "list", "--queue", "mail")
    shown = read(shop, "jobs", "show", row["id"])
    assert shown["attempts"][0]["error"] == "ValueError: boom"
    assert "shop.py" in shown["attempts"][0]["traceback"]
    explained = read(shop, "explain", row["id"])
    assert explained["state"] == "discarded"
    assert "ValueError: boom" in explained["reasons"][0]
    ok(shop, "jobs", "retry", row["id"], "--app", "shop")
    assert read(shop, "jobs", "show", row["id"])["state"] == "available"
    assert "no worker" in " ".join(read(shop, "explain", row["id"])["reasons"])


def test_cancel_and_delete(shop: Place) -> None:
    job = ok(shop, "run", "shop:add", "1")
    assert "cancel it first" in refused(shop, "jobs", "delete", job, "--app", "shop")
    assert "cancelled" in ok(shop, "jobs", "cancel", job, "--app", "shop")
    assert "ended already" in refused(shop, "jobs", "cancel", job, "--app", "shop")
    assert "deleted" in ok(shop, "jobs", "delete", job, "--app", "shop")
    assert "there is no job" in refused(shop, "jobs", "show", job, "--app", "shop")


def test_a_paused_queue_is_listed_and_explains(shop: Place) -> None:
    job = ok(shop, "run", "shop:fail", "x")
    ok(shop, "queues", "pause", "mail", "--why", "provider is down", "--by", "me", "--app", "shop")
    (queue,) = [row for row in read(shop, "queues", "list") if row["name"] == "mail"]
    assert (queue["paused_by"], queue["paused_why"]) == ("me", "provider is down")
    assert queue["jobs"]["available"] == 1
    assert "by me: provider is down" in read(shop, "explain", job)["reasons"][0]
    ok(shop, "queues", "resume", "mail", "--app", "shop")
    assert "was not paused" in refused(shop, "queues", "resume", "mail", "--app", "shop")
    assert "next in its queue" in " ".join(read(shop, "explain", job)["reasons"])


def test_db_info_check_backup_vacuum(shop: Place) -> None:
    ok(shop, "run", "shop:add", "1")
    assert read(shop, "db", "info")["jobs"] == {"available": 1}
    assert read(shop, "db", "check") == {"damage": []}
    copy = str(shop.folder / "copy.db")
    ok(shop, "db", "backup", copy, "--app", "shop")
    assert len(json.loads(ok(shop, "jobs", "list", "--url", copy, "--json"))) == 1
    assert "exists" in refused(shop, "db", "backup", copy, "--app", "shop")
    assert "after" in ok(shop, "db", "vacuum", "--app", "shop")


def test_doctor_tells_what_is_wrong(shop: Place) -> None:
    ok(shop, "run", "shop:add", "1")
    told = shop.sidework("doctor", "--app", "shop")
    assert told.returncode == 1
    assert "1 jobs wait: start one by sidework worker" in told.stdout
    shop.worker("shop", "--children", "1")
    assert shop.sidework("doctor", "--app", "shop").returncode == 0


def test_the_app_is_found_in_pyproject_from_below(shop: Place) -> None:
    shop.write("pyproject.toml", '[tool.sidework]\napp = "shop.py"\n')
    ok(shop, "run", "shop:add", "1")
    below = Place(shop.folder / "deep" / "er")
    below.folder.mkdir(parents=True)
    below.url = shop.url
    done = below.sidework("jobs", "list", "--json")
    assert len(json.loads(done.stdout)) == 1


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("worker",), "which app?"),
        (("worker", "nowhere"), "no module 'nowhere'"),
        (("worker", "nowhere.py"), "no such file"),
        (("worker", "broken"), "broken.py:3"),
        (("worker", "twice"), "twice:one or twice:two"),
        (("worker", "empty"), "holds no Sidework app"),
        (("worker", "shop:nothing"), "no app or task called 'nothing'"),
        (("worker", "shop", "--queues", "a b"), "letters, digits"),
        (("run", "shop"), "say which task"),
        (("run", "shop:nothing"), "no app or task called 'nothing'"),
        (("run", "shop:add", "x"), "Expected `int`"),
        (("run", "shop:add"), "missing a required argument"),
        (("jobs", "show", "x", "--app", "shop"), "not a job id"),
        (("jobs", "list", "--url", "none.db"), "there is no database"),
        (("jobs", "list", "--url", "text.db"), "not a SQLite database"),
        (("jobs", "list", "--url", "other.db"), "another program's database"),
        (("jobs", "list", "--url", "mysql://x/y"), "no engine"),
    ],
)
def test_bad_input_is_one_line(shop: Place, words: tuple[str, ...], says: str) -> None:
    shop.write("broken.py", "import os\n\nos.nothing()\n")
    shop.write("twice.py", "from sidework import Sidework\none = Sidework()\ntwo = Sidework()\n")
    shop.write("empty.py", "x = 1\n")
    shop.write("text.db", "this is no database at all, " * 100)
    other = sqlite3.connect(shop.folder / "other.db")
    other.execute("CREATE TABLE mine (x)")
    other.close()
    before = (shop.folder / "text.db").read_bytes()
    if words[0] == "jobs" and "shop" in words:
        ok(shop, "run", "shop:add", "1")
    assert says in refused(shop, *words)
    assert (shop.folder / "text.db").read_bytes() == before
    assert not (shop.folder / "none.db").exists()


@pytest.mark.parametrize("words", [("jobs",), ("jobs", "list", "--state", "odd"), ("nothing",)])
def test_used_wrongly_is_exit_code_two(shop: Place, words: tuple[str, ...]) -> None:
    assert shop.sidework(*words).returncode == 2


def test_two_apps_in_one_worker_must_share_a_store(shop: Place) -> None:
    shop.write("other.py", SHOP.replace("Sidework()", 'Sidework("other.db")'))
    assert "one worker serves one store" in refused(shop, "worker", "shop", "other")
    shop.write("more.py", SHOP)
    shop.worker("shop", "more", "--children", "1", ready=False)
    assert ok(shop, "run", "more:add", "1", "2", "--wait") == "3"
    assert ok(shop, "run", "shop:add", "1", "2", "--wait") == "3"
