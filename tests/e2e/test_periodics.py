"""Periodics with real workers: declared by code, fired by the clock, told in the log."""

from __future__ import annotations

import json

from commands import ok, read, refused
from conftest import Place, until

V1 = """
from sidework import Sidework
app = Sidework()

@app.periodic(every="1s", args=(7,), name="beat")
@app.task
@app.periodic("0 3 * * mon-fri", tz="Europe/Berlin", kwargs={"n": 1})
def report(n: int) -> int:
    return n
"""
V2 = V1.replace('@app.periodic(every="1s", args=(7,), name="beat")\n', "")


def test_from_the_code_to_the_job_and_out_of_the_code(place: Place) -> None:
    place.write("shop.py", V1)
    told = place.sidework("periodic", "list", "--app", "shop", "--json")
    (new, _) = json.loads(told.stdout)
    assert (new["name"], new["state"]) == ("beat", "no worker yet")
    assert "there is no database at" in told.stderr
    told = place.sidework("periodic", "next", "beat", "-n", "3", "--app", "shop")
    assert len(told.stdout.splitlines()) == 3
    assert "or a worker at its start" in refused(place, "periodic", "run", "beat", "--app", "shop")
    assert not list(place.folder.glob("*.db*"))
    worker = place.worker("shop", "--children", "1")  # which makes the database: nobody else would
    done = "import shop; print(next(i.result for i in shop.app.jobs(state='completed')))"
    until(lambda: place.python("-c", done).stdout == "7\n", "a tick")
    ok(place, "periodic", "pause", "beat", "--why", "audit", "--by", "ann", "--app", "shop")
    ok(place, "periodic", "pause", "beat", "--by", "ann", "--app", "shop")  # the reason stays
    beat, nightly = read(place, "periodic", "list", "--app", "shop")
    assert (beat["state"], beat["paused_by"], beat["paused_why"]) == ("paused", "ann", "audit")
    assert (nightly["schedule"], nightly["zone"]) == ("0 3 * * mon-fri", "Europe/Berlin")
    (first, *_) = ok(
        place, "periodic", "next", nightly["name"], "-n", "2", "--app", "shop"
    ).splitlines()
    assert "03:00:00 +0" in first
    made = ok(place, "periodic", "run", nightly["name"], "--app", "shop")
    done = f"import shop; print(shop.app.job('{made}').result(timeout=20))"
    assert place.python("-c", done).stdout == "1\n"
    assert "several periodics" in refused(place, "periodic", "run", "report", "--app", "shop")
    assert "no periodic 'x'" in refused(place, "periodic", "pause", "x", "--app", "shop")
    assert "goes on" in ok(place, "periodic", "resume", "beat", "--app", "shop")
    assert "was not paused" in refused(place, "periodic", "resume", "beat", "--app", "shop")
    assert worker.stop() == 0
    place.write("shop.py", V2)
    second = place.worker("shop", "--children", "1")
    second.says(r"periodic beat is retired: no worker's code declares it any more")
    assert [one["state"] for one in read(place, "periodic", "list", "--app", "shop")] == [
        "retired",
        "active",
    ]
    gone = "periodic beat is retired"
    assert gone in refused(place, "periodic", "run", "beat", "--app", "shop")
    said = place.sidework("periodic", "next", "beat", "--app", "shop")
    assert said.stderr == "sidework: it is retired: none of these will come\n"
    done = place.python(
        "-c",
        "import json, shop; e = shop.app.periodic_entry('beat'); "
        "print(json.dumps([e.name, e.task, e.schedule, e.tz, e.state, len(shop.app.periodics())]))",
    )
    assert json.loads(done.stdout) == ["beat", "shop:report", "every 1s", "UTC", "retired", 2]
    place.write("shop.py", V1.replace('"beat"', '"drum"'))
    begun = "periodic drum is declared, but no worker has begun with it: start one"
    assert begun in refused(place, "periodic", "pause", "drum", "--app", "shop")


def test_what_cannot_be_declared_ends_the_worker_in_one_line(place: Place) -> None:
    place.write("shop.py", V2 + '\n@app.periodic("* * * * *")\ndef lost() -> None: ...\n')
    done = place.sidework("worker", "shop")
    assert done.returncode == 1
    assert "lost has @app.periodic and is no task" in done.stderr


def test_who_has_waited_for_the_worker_finds_them(place: Place) -> None:
    place.write("shop.py", V1)
    done = place.python(
        "-c", "import shop\nwith shop.app.worker(): print(shop.app.periodic_entry('beat').task)"
    )
    assert done.stdout == "shop:report\n", done.stderr
