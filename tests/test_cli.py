"""The command line as real processes on a real store: output, JSON, exit codes, bad input."""

from __future__ import annotations

import json
import sqlite3

import pytest

from commands import SHOP, ok, read, refused
from conftest import Place, until


@pytest.fixture
def shop(place: Place) -> Place:
    place.write("shop.py", SHOP)
    return place


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
    job = done.stderr.split()[2]
    said = f"sidework: job {job} failed: ValueError: boom; sidework jobs show {job} tells more\n"
    assert done.stderr == said
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
    ok(shop, "queues", "pause", "mail", "--by", "you", "--app", "shop")
    assert "by you: provider is down" in read(shop, "explain", job)["reasons"][0]
    ok(shop, "queues", "resume", "mail", "--app", "shop")
    assert "was not paused" in refused(shop, "queues", "resume", "mail", "--app", "shop")
    assert "next in its queue" in " ".join(read(shop, "explain", job)["reasons"])


def test_a_queue_that_nothing_uses_is_paused_with_a_warning(shop: Place) -> None:
    ok(shop, "run", "shop:add", "1")
    done = shop.sidework("queues", "pause", "mial", "--app", "shop")
    assert (done.returncode, done.stdout) == (0, "mial paused\n")
    assert done.stderr == ("sidework: no job or task uses queue mial; there are: default, mail\n")
    done = shop.sidework("queues", "pause", "mail", "--app", "shop")  # a task's, without a job
    assert (done.returncode, done.stderr) == (0, "")
    done = shop.sidework("queues", "limit", "miall", "3", "--app", "shop")
    assert (done.returncode, done.stdout) == (0, "miall: 3 jobs at a time\n")
    assert done.stderr == "sidework: no job or task uses queue miall; there are: default, mail\n"


def test_a_task_that_was_not_paused(shop: Place) -> None:
    ok(shop, "run", "shop:add", "1")
    ok(shop, "tasks", "pause", "add", "--app", "shop")
    ok(shop, "tasks", "resume", "add", "--app", "shop")
    told = refused(shop, "tasks", "resume", "add", "--app", "shop")
    assert told == "sidework: task shop:add was not paused"
    told = refused(shop, "tasks", "resume", "dad", "--app", "shop")
    assert "no task 'dad' is known here; there are: shop:add" in told


def test_db_info_check_backup_vacuum(shop: Place) -> None:
    ok(shop, "run", "shop:add", "1")
    assert read(shop, "db", "info")["jobs"] == {"available": 1}
    assert read(shop, "db", "check") == {"damage": [], "findings": [], "unread": ""}
    copy = str(shop.folder / "copy.db")
    ok(shop, "db", "backup", copy, "--app", "shop")
    assert len(json.loads(ok(shop, "jobs", "list", "--url", copy, "--json"))) == 1
    assert "exists" in refused(shop, "db", "backup", copy, "--app", "shop")
    for target in ("/nonexist/x.db", "/proc/x.db", copy + "/x.db"):  # /proc: not even for root
        told = refused(shop, "db", "backup", target, "--app", "shop")
        assert target.removesuffix("/x.db") in told
        assert "the backup" in told
        assert shop.url not in told
    assert "after" in ok(shop, "db", "vacuum", "--app", "shop")


def test_doctor_tells_what_is_wrong(shop: Place) -> None:
    ok(shop, "run", "shop:add", "1")
    told = shop.sidework("doctor", "--app", "shop")
    assert told.returncode == 1
    assert "1 job waits: start one by sidework worker" in told.stdout
    shop.worker("shop", "--children", "1")
    assert shop.sidework("doctor", "--app", "shop").returncode == 0


def test_doctor_without_an_app_says_so_once(shop: Place) -> None:
    shop.without_url = True
    told = shop.sidework("doctor")
    assert told.returncode == 1
    (problem,) = [line for line in told.stdout.splitlines() if not line.startswith("ok")]
    assert "which app? give an app" in problem
    assert "by --url or SIDEWORK_URL" in problem


def test_a_url_that_is_set_to_nothing_is_not_set(shop: Place) -> None:
    shop.url = ""
    assert "which app? give an app" in shop.sidework("db", "info").stderr
    assert "URL of the store is empty" in shop.sidework("db", "info", "--url", "").stderr


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
        (("run", "shop"), "say which task"),
        (("run", "shop:nothing"), "no task called 'nothing'"),
        (("run", "shop:add", "x"), "Expected `int`"),
        (("run", "shop:add"), "missing a required argument"),
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
    assert says in refused(shop, *words)
    assert (shop.folder / "text.db").read_bytes() == before
    assert not (shop.folder / "none.db").exists()


def test_states_may_be_listed_and_repeated(shop: Place) -> None:
    first, second = ok(shop, "run", "shop:add", "1"), ok(shop, "run", "shop:add", "2")
    ok(shop, "jobs", "cancel", first, "--app", "shop")
    for words in (
        ("--state", "cancelled,available"),
        ("--state", "cancelled", "--state=available"),
    ):
        assert [row["id"] for row in read(shop, "jobs", "list", *words)] == [second, first]
    assert [row["id"] for row in read(shop, "jobs", "list", "--state", "cancelled")] == [first]
    told = refused(shop, "jobs", "list", "--state", "available,odd", "--app", "shop", code=2)
    assert "no state 'odd'; there are: blocked, scheduled, available" in told


def test_a_task_is_meant_by_its_bare_name_too(shop: Place) -> None:
    job = ok(shop, "run", "shop:add", "1")
    ok(shop, "run", "shop:fail", "x")
    for name in ("add", "shop:add"):
        assert [row["id"] for row in read(shop, "jobs", "list", "--task", name)] == [job]
    for name in ("dd", "hop:add", "a_d", "ADD", "op:add"):
        assert read(shop, "jobs", "list", "--task", name) == []


def test_retry_cancel_and_delete_all_that_fit(shop: Place) -> None:
    app = ("--app", "shop")
    shop.python("-c", "import shop; shop.app.enqueue_many(shop.add.bind(i) for i in range(450))")
    ok(shop, "run", "shop:fail", "x")
    assert ok(shop, "jobs", "cancel", "--queue", "default", *app) == "450 jobs cancelled"
    assert ok(shop, "jobs", "cancel", "--queue", "default", *app) == "no jobs fit"
    assert ok(shop, "jobs", "retry", "--task", "add", *app) == "450 jobs available"
    assert ok(shop, "jobs", "cancel", "--task", "shop:add", "--state", "available", *app) == (
        "450 jobs cancelled"
    )
    assert ok(shop, "jobs", "delete", "--state", "cancelled", *app) == "450 jobs deleted"
    (left,) = read(shop, "jobs", "list")
    assert left["task"] == "shop:fail"


def test_completed_jobs_are_retried_in_bulk_only_when_named(shop: Place) -> None:
    shop.worker("shop", "--children", "1", ready=False)
    ok(shop, "run", "shop:add", "1", "--wait")
    assert ok(shop, "jobs", "retry", "--task", "add", "--app", "shop") == "no jobs fit"
    told = ok(shop, "jobs", "retry", "--task", "add", "--state", "completed", "--app", "shop")
    assert told == "1 job available"


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ((), "which jobs?"),
        (("--state", "available"), "available jobs cannot be"),
        (("0198c1a2-7d3e-7c44-9f00-1b2c3d4e5f60", "--queue", "mail"), "not both"),
    ],
)
def test_bulk_used_wrongly(shop: Place, words: tuple[str, ...], says: str) -> None:
    ok(shop, "run", "shop:add", "1")
    for verb in ("retry", "delete"):
        assert says in refused(shop, "jobs", verb, *words, "--app", "shop", code=2)
    assert read(shop, "jobs", "list")[0]["state"] == "available"


def test_workers_are_listed_and_a_dead_one_is_told(shop: Place) -> None:
    shop.write(
        "shop.py",
        SHOP
        + """
    import time

    @app.task
    def long() -> None:
        time.sleep(60)
""",
    )
    job = ok(shop, "run", "shop:long")
    worker = shop.worker("shop", "--children", "1", "--queues", "default")
    until(lambda: read(shop, "jobs", "show", job)["state"] == "running")
    (row,) = read(shop, "workers")
    assert (row["pid"], row["alive"], row["queues"]) == (worker.pid, True, ["default"])
    told = read(shop, "explain", job)["reasons"]
    assert any(line.startswith("it has run for ") for line in told)
    worker.process.kill()
    until(lambda: not read(shop, "workers")[0]["alive"])
    dead = f"its worker (pid {worker.pid}) is dead; the next worker brings it back"
    assert dead in " ".join(read(shop, "explain", job)["reasons"])
    doctor = shop.sidework("doctor", "--app", "shop")
    assert doctor.returncode == 1
    assert f"pid {worker.pid}\n" in doctor.stdout
    assert "the next worker brings back its jobs" in doctor.stdout
    assert "\tdead\t" in ok(shop, "workers", "--app", "shop")


def test_an_error_of_several_lines_is_one_bullet(shop: Place) -> None:
    worker = shop.worker("shop", "--children", "1", ready=False)
    done = shop.sidework("run", "shop:fail", "one\ntwo", "--wait")
    assert "ValueError: one; sidework jobs show" in done.stderr
    assert worker.stop() == 0
    (row,) = read(shop, "jobs", "list")
    told = ok(shop, "explain", row["id"], "--app", "shop").splitlines()
    assert all(line.startswith("- ") for line in told[1:])
    assert "two" not in " ".join(told)


def test_arguments_and_result_are_shown_as_json(shop: Place) -> None:
    shop.worker("shop", "--children", "1", ready=False)
    ok(shop, "run", "shop:add", "1", "2", "--wait")
    (row,) = read(shop, "jobs", "list")
    told = ok(shop, "jobs", "show", row["id"], "--app", "shop").splitlines()
    assert 'arguments  {"a": 1, "b": 2}' in told
    assert "result     3" in told


@pytest.mark.parametrize(
    "words",
    [(), ("worker",), ("run",), ("jobs",), ("jobs", "list"), ("jobs", "retry"), ("queues",),
     ("queues", "pause"), ("db",), ("workers",), ("doctor",), ("demo",), ("explain",)],
    ids=lambda words: "-".join(words) or "all",
)  # fmt: skip
def test_no_help_is_cut(shop: Place, words: tuple[str, ...]) -> None:
    told = ok(shop, *words, "--help")
    for line in told.splitlines():
        assert not line.endswith(("...", "…")) or line.startswith("Usage:"), line
    if words == ("worker",):
        assert "[APP]..." in told
    if words == ("jobs", "list"):
        assert "may be repeated" in told


def test_the_shell_completes_commands_and_states(shop: Place) -> None:
    for typed, completed in (
        ("sidework wor", {"worker", "workers", "workflows"}),
        ("sidework jobs list --state available,dis", {"available,discarded"}),
    ):
        shop.extra = {
            "_SIDEWORK_COMPLETE": "bash_complete",
            "COMP_WORDS": typed,
            "COMP_CWORD": str(len(typed.split()) - 1),
        }
        done = shop.python("-c", "from sidework.cli.main import main; main(prog_name='sidework')")
        assert {line.partition(",")[2] for line in done.stdout.splitlines()} == completed


def test_a_grace_below_zero_is_refused(shop: Place) -> None:
    assert "-5" in refused(shop, "worker", "shop", "--grace", "-5", code=2)
    assert "'loud'" in refused(shop, "worker", "shop", "--log-level", "loud", code=2)


def test_a_worker_says_what_its_level_lets_through(shop: Place) -> None:
    quiet = shop.worker("shop", "--children", "1", "--log-level", "error", ready=False)
    assert ok(shop, "run", "shop:add", "1", "--wait") == "2"
    assert quiet.stop() == 0
    assert "INFO" not in quiet.said


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ("nothing", "No such command"),
        ("jobs list --state odd", "no state 'odd'"),
        ("jobs show odd", "not a job id"),
        ("jobs cancel odd", "not a job id"),
        ("jobs watch 01a21acd-30e5-77fd-b5f7-ef85e6b43bdc --after odd", "position of an event"),
        ("health --max-wait odd", "'odd': cannot be read"),
        ("run shop:add 1 --wait --timeout odd", "'odd': cannot be read"),
        ("queues limit mail odd", "'odd' is no limit"),
        ("queues limit mail 0", "expected a whole number from 1"),
        ("queues pause a/b", "letters, digits"),
        ("worker shop --queues a/b", "letters, digits"),
        ("worker shop --queues mail=odd", "expected a whole number from 1"),
    ],
)
def test_used_wrongly_is_exit_code_two(shop: Place, words: str, says: str) -> None:
    assert says in refused(shop, *words.split(), code=2)


def test_two_apps_in_one_worker_must_share_a_store(shop: Place) -> None:
    shop.write("other.py", SHOP.replace("Sidework()", 'Sidework("other.db")'))
    assert "one worker serves one store" in refused(shop, "worker", "shop", "other")
    shop.write("more.py", SHOP)
    shop.worker("shop", "more", "--children", "1", ready=False)
    assert ok(shop, "run", "more:add", "1", "2", "--wait") == "3"
    assert ok(shop, "run", "shop:add", "1", "2", "--wait") == "3"
