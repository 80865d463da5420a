"""``sidework db copy`` as real processes: a whole move, killed at every step, and what refuses it."""

from __future__ import annotations

import json
import os
from contextlib import closing
from pathlib import Path

import apsw
import pytest

from commands import SHOP, ok, on_terminal, plain, refused
from conftest import Place, until
from engines import ENGINES
from sidework.crashpoint import COPY_POINTS
from sidework.job import Copied, JobFilter
from sidework.state import LIVE
from sidework.store.opening import open_store
from sidework.store.protocol import Demand, Store

JOBS = 1200
"""More than two pages."""


@pytest.fixture
def shop(place: Place) -> Place:
    place.write("shop.py", SHOP)
    return place


def everything(store: Store) -> list[Copied]:
    found, after = list[Copied](), None
    while page := store.copies.dump(after, 1000):
        found += page
        after = page[-1].job.id
    return found


def enqueue(place: Place, count: int) -> None:
    done = place.python(
        "-c", f"import shop; shop.app.enqueue_many(shop.add.bind(i) for i in range({count}))"
    )
    assert done.returncode == 0, done.stderr


def can_start(store: Store) -> set[bytes]:
    paused = {row.name for row in store.queues() if row.paused_at is not None}
    return {
        one.job.id
        for one in everything(store)
        if one.job.state in LIVE and one.job.lane not in paused
    }


def test_outgrowing_a_store_is_one_command(shop: Place) -> None:
    shop.worker("shop", "--children", "1", ready=False)
    failed = shop.sidework("run", "shop:fail", "boom", "--wait")
    assert "ValueError: boom" in failed.stderr
    ok(shop, "run", "shop:add", "40", "2", "--wait")
    (worker,) = shop.started
    told = refused(shop, "db", "copy", "jobs.db", "new.db")
    assert "has living workers" in told
    assert str(worker.pid) in told
    assert not (shop.folder / "new.db").exists()
    worker.terminate()
    worker.wait()
    job = ok(shop, "run", "shop:add", "1")
    ok(shop, "queues", "pause", "mail", "--why", "down", "--by", "me", "--app", "shop")

    said = ok(shop, "db", "copy", "jobs.db", "new.db").splitlines()
    old, new = (f"sqlite:///{shop.folder}/{name}" for name in ("jobs.db", "new.db"))
    assert said == [
        f"{old} is copied to {new}",
        "3 jobs stored, 0 there before; 1 live ones run there from now on",
    ]
    assert f"moved to {new}" in ok(shop, "explain", job, "--app", "shop")
    late = ok(shop, "run", "shop:add", "2")  # by a program that still has the old URL
    assert json.loads(ok(shop, "db", "copy", "jobs.db", "new.db", "--json")) == {
        "source": old, "target": new, "stored": 1, "present": 2, "disowned": 1, "earlier": 1,
        "left": 0, "conflicts": [],
    }  # fmt: skip
    assert ok(shop, "db", "copy", "jobs.db", "new.db").endswith(
        "0 jobs stored, 2 there before; 0 live ones run there from now on, 2 since an earlier run"
    )

    shop.url = str(shop.folder / "new.db")
    shop.worker("shop", "--children", "1")
    assert ok(shop, "run", "shop:add", "4", "--wait") == "5"
    for moved, result in ((job, 2), (late, 3)):
        shown = json.loads(ok(shop, "jobs", "show", moved, "--json", "--app", "shop"))
        assert (shown["state"], shown["result"], shown["attempt"]) == ("completed", result, 1)
    (failed_job,) = json.loads(ok(shop, "jobs", "list", "--queue", "mail", "--json"))
    shown = json.loads(ok(shop, "jobs", "show", failed_job["id"], "--json"))
    assert shown["attempts"][0]["error"] == "ValueError: boom"
    queues = {row["name"]: row for row in json.loads(ok(shop, "queues", "list", "--json"))}
    assert (queues["mail"]["paused_by"], queues["mail"]["paused_why"]) == ("me", "down")
    assert queues["default"]["paused_at"] is None


def test_there_and_back_over_the_other_engine_nothing_changes(shop: Place) -> None:
    """I13: a laptop, a server, a laptop again: what arrives is what left, attempts too."""
    worker = shop.worker("shop", "--children", "1", ready=False)
    assert shop.sidework("run", "shop:fail", "b\u00f6\u00f6m", "--wait").returncode == 1
    ok(shop, "run", "shop:add", "40", "2", "--wait")
    assert worker.stop() == 0
    enqueue(shop, 700)
    server = ENGINES["postgres"](shop.folder).owner_url
    with closing(open_store(shop.url)) as store:
        store.cancel(store.page(JobFilter(), None, 1)[0].id, "of no use")
        before = everything(store)
    for source, target in (("jobs.db", server), (server, "back.db")):
        ok(shop, "db", "copy", source, target)
    with closing(open_store(str(shop.folder / "back.db"))) as store:
        assert everything(store) == before
    shop.url = str(shop.folder / "back.db")
    with closing(open_store(server)) as store:
        assert can_start(store) == set()


@pytest.mark.parametrize("point", COPY_POINTS)
def test_killed_at_any_step_and_run_again_nothing_is_lost_or_live_twice(
    shop: Place, point: str
) -> None:
    enqueue(shop, JOBS)
    source = open_store(shop.url, create=False)
    before = everything(source)
    marker = shop.folder / "hit"
    shop.extra["SIDEWORK_CRASH_AT"] = f"{point}:{marker}"
    killed = shop.sidework("db", "copy", "jobs.db", "new.db")
    assert (killed.returncode, marker.exists()) == (-9, True)
    target = open_store(str(shop.folder / "new.db"), create=False)
    try:
        assert can_start(source) | can_start(target) == set()
        there = {one.job.id for one in everything(target)}
        report = json.loads(ok(shop, "db", "copy", "jobs.db", "new.db", "--json"))
        # What was given up before the kill is passed over; nothing else was there.
        given_up = JOBS - report["stored"] - report["present"]
        assert report["stored"] == JOBS - len(there)
        assert report["disowned"] == JOBS - given_up
        assert everything(target) == before
        assert (can_start(source), len(can_start(target))) == (set(), JOBS)
        worker = target.register("host", 1, ())
        claimed = target.turn([], Demand(worker.id, {"thread": JOBS})).claimed
        assert [one.id for one in claimed] == [one.job.id for one in before]
        assert {one.fence for one in claimed} == {1}
    finally:
        source.close()
        target.close()


def test_a_dead_workers_jobs_are_brought_back_and_moved(shop: Place) -> None:
    shop.write(
        "shop.py", SHOP + "\n    @app.task\n    def hang():\n        import time; time.sleep(600)\n"
    )
    job = ok(shop, "run", "shop:hang")
    worker = shop.worker("shop", "--children", "1")
    store = open_store(shop.url, create=False)
    try:
        until(lambda: store.info()["jobs"].get("running"), "the job's start")
        children = worker.children()
        worker.stop(9)
        until(lambda: not any(Path(f"/proc/{pid}").exists() for pid in children), "their end")
    finally:
        store.close()
    ok(shop, "db", "copy", "jobs.db", "new.db")
    shown = json.loads(ok(shop, "jobs", "show", job, "--json", "--url", "new.db"))
    assert (shown["state"], shown["fence"], shown["crashes"]) == ("available", 1, 1)
    assert [one["outcome"] for one in shown["attempts"]] == ["crashed"]


def test_other_jobs_of_the_same_ids_are_counted_and_named(shop: Place) -> None:
    enqueue(shop, 5)
    store, other = open_store(shop.url), open_store(str(shop.folder / "new.db"))
    for one in everything(store):
        copied = Copied(one.job, 17, ())
        assert other.copies.load([copied]) == ["stored"]
    store.close()
    other.close()
    done = shop.sidework("db", "copy", "jobs.db", "new.db", "--json")
    report = json.loads(done.stdout)
    assert (done.returncode, len(report["conflicts"]), report["left"]) == (1, 5, 5)
    assert done.stderr.count("\n") == 1
    assert f"5 jobs of SRC and of DST have one id but differ ({report['conflicts'][0]}, " in (
        done.stderr
    )
    assert " …)" in done.stderr


def test_on_a_terminal_it_shows_how_far_it_is(shop: Place) -> None:
    enqueue(shop, 7)
    code, shown = on_terminal(shop, "db", "copy", "jobs.db", "new.db")
    assert code == 0
    text = "\n".join(plain(shown))
    assert "copying" in text
    assert "checking" in text
    assert "7/7" in text
    assert "7 jobs stored" in text


def test_what_refuses_a_copy_is_one_line_and_changes_nothing(shop: Place) -> None:
    enqueue(shop, 2)
    os.symlink("jobs.db", shop.folder / "link.db")
    os.symlink(shop.folder, shop.folder / "folder")
    newer = apsw.Connection(str(shop.folder / "newer.db"))
    newer.pragma("application_id", 0x51DE0A4B)
    newer.pragma("user_version", 99)
    newer.close()
    (shop.folder / "text.db").write_text("no database, " * 100)
    before = ok(shop, "db", "info", "--json", "--url", "jobs.db")
    for source, target, says in (
        ("none.db", "new.db", "there is no database at"),
        ("jobs.db", "jobs.db", "one store"),
        ("jobs.db", "link.db", "one store"),
        ("link.db", "folder/jobs.db", "one store"),
        ("jobs.db", f"sqlite:///{shop.folder}/jobs.db", "one store"),
        ("newer.db", "new.db", "upgrade Sidework"),
        ("jobs.db", "newer.db", "upgrade Sidework"),
        ("text.db", "new.db", "not a SQLite database"),
        ("jobs.db", "text.db", "not a SQLite database"),
        ("jobs.db", "nowhere/new.db", "there is no folder"),
        ("jobs.db", "mysql://me:secret@host/db", "no engine"),
    ):
        told = refused(shop, "db", "copy", source, target)
        assert says in told
        assert "secret" not in told
        assert not (shop.folder / "new.db").exists()
    assert ok(shop, "db", "info", "--json", "--url", "jobs.db") == before
    assert (
        json.loads(ok(shop, "queues", "list", "--json", "--url", "jobs.db"))[0]["paused_at"] is None
    )
    ok(shop, "db", "copy", "jobs.db", "new.db")
    assert "go on with that one" in refused(shop, "db", "copy", "jobs.db", "other.db")
    assert "copy into a new store" in refused(shop, "db", "copy", "new.db", "jobs.db")
