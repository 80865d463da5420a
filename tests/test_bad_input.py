"""Bad input gets one line and loses nothing: every case of the list, each as a user would meet it."""

from __future__ import annotations

import os
import re
import sqlite3
import subprocess
import sys
from pathlib import Path
from typing import Annotated, Any

import apsw
import pytest

from conftest import Place, until
from sidework import (
    BadTask,
    BadValue,
    JobEnd,
    JobFailed,
    JobFailure,
    JobNotFound,
    SchemaMismatch,
    Sidework,
    StoreDamaged,
    StoreRefused,
    WaitTimeout,
    as_completed,
)


def named(text: str) -> str:
    return f"echo {text}"


def other(text: str) -> str:
    return text


def anything(value: Any) -> Any:
    return value


@pytest.fixture
def app(tmp_path: Path) -> Any:
    made = Sidework(str(tmp_path / "jobs.db"))
    yield made
    made.close()


def one_line(error: BaseException) -> str:
    text = str(error)
    assert text
    assert "\n" not in text
    return text


CYCLE: list[Any] = []
CYCLE.append(CYCLE)


@pytest.mark.parametrize(
    "value",
    [float("nan"), float("inf"), [1.0, float("nan")], "\ud800", {"\ud800": 1}, CYCLE, object(),
     {1: {(): 2}}, "x" * 5_000_000, lambda: 0],
    ids=["nan", "inf", "nan inside", "surrogate", "surrogate key", "cycle", "object", "tuple key",
         "5 MB", "function"],
)  # fmt: skip
def test_a_value_that_cannot_be_stored(app: Sidework, value: object) -> None:
    task = app.task(anything)
    with pytest.raises(BadValue) as told:
        task.enqueue(value)
    assert "anything" in one_line(told.value)
    with pytest.raises(BadValue):
        app.enqueue_many([task.bind(value)])
    assert list(app.jobs()) == []


@pytest.mark.parametrize(
    "value", ["a\x00b", 2**63, 2**64 - 1, -(2**63), 10**30, 1e308, "é\U0001f600", ""]
)
def test_a_value_that_looks_odd_comes_back_equal(app: Sidework, value: object) -> None:
    task = app.task(anything)
    try:
        job = task.enqueue(value)
    except BadValue as refused:  # beyond 64 bits the encoder refuses: by type, and in one line
        one_line(refused)
        assert isinstance(value, int)
        assert value == 10**30
        return
    with app.worker():
        assert job.result(timeout=10) == value


def test_a_wrong_call(app: Sidework) -> None:
    task = app.task(named)
    for args, kwargs in (((), {}), (("a", "b"), {}), ((), {"txt": "a"}), ((5,), {})):
        with pytest.raises(TypeError) as told:
            task.enqueue(*args, **kwargs)
        assert "named" in one_line(told.value)
    assert list(app.jobs()) == []


def test_a_handle_or_a_bound_call_instead_of_its_output(app: Sidework) -> None:
    task = app.task(anything)
    for value in (task.enqueue(1), task.bind(1), [task.bind(1)]):
        with pytest.raises(
            BadValue, match=r"cannot be stored; the job's result goes in by its \.output"
        ):
            task.enqueue(value)
    assert len(list(app.jobs())) == 1


def test_options_that_are_not_there_or_cannot_be(app: Sidework) -> None:
    """Each is told by the word that it was given under."""
    task: Any = app.task(named)
    for attempt, said in (
        (
            lambda: app.task(named, retrys=3),
            r"'retrys' of a task; did you mean retries\? there are: ",
        ),
        (lambda: app.task(named, queue="a b"), r"^queue='a b': expected"),
        (lambda: task.options(queue="a"), r"'queue' of .*:named; did you mean queue_name\?"),
        (lambda: task.options(queue_name="a b").enqueue("x"), r"^queue_name='a b': expected"),
        (lambda: app.periodic("0 3 * * *", zone="UTC")(task), "'zone' of a periodic; there are: "),
    ):
        with pytest.raises(BadValue, match=said) as told:
            attempt()
        one_line(told.value)


def test_two_tasks_of_one_name(app: Sidework) -> None:
    app.task(named, name="same")
    with pytest.raises(BadTask, match="two tasks are called 'same'"):
        app.task(other, name="same")


def test_what_cannot_be_a_task(app: Sidework) -> None:
    def nested() -> None: ...

    for wrong, says in ((lambda: None, "a lambda"), (nested, "inside a function"), (5, "function")):
        with pytest.raises(BadTask, match=says) as told:
            app.task(wrong)  # type: ignore[call-overload]
        one_line(told.value)


@pytest.mark.parametrize(
    "options",
    [{"que": "mail"}, {"queue": "a b"}, {"retries": -1}, {"priority": 1000}, {"timeout": "soon"},
     {"backoff": "later"}, {"runner": "gpu"}, {"on_crash": "panic"},
     {"on_partition": "panic"}],
    ids=lambda each: "-".join(each) if isinstance(each, dict) else None,
)  # fmt: skip
def test_unknown_or_senseless_task_options(app: Sidework, options: dict[str, Any]) -> None:
    with pytest.raises((BadValue, BadTask)) as told:
        app.task(**options)(named)
    assert next(iter(options)).removeprefix("que") in one_line(told.value)


@pytest.mark.parametrize(
    "options",
    [{"que": "mail"}, {"queue_name": "a/b"}, {"delay": -1}, {"delay": "1h", "run_after": 5},
     {"run_after": "tomorrow"}, {"tags": "abc"}, {"tags": ["a\x00"]}, {"id": "7"}, {"retries": True},
     {"expires": "x"}, {"priority": 0.5}, {"backoff": lambda n: n}],
    ids=lambda each: "-".join(each) if isinstance(each, dict) else None,
)  # fmt: skip
def test_unknown_or_senseless_job_options(app: Sidework, options: dict[str, Any]) -> None:
    task = app.task(named)
    with pytest.raises(BadValue) as told:
        task.options(**options).enqueue("a")
    one_line(told.value)
    assert list(app.jobs()) == []


def test_a_task_that_is_not_registered(app: Sidework) -> None:
    from sidework import TaskNotFound

    app.task(named)
    with pytest.raises(TaskNotFound, match=r"test_bad_input:named"):
        app.registry.get("nothing")


def test_a_missing_folder(tmp_path: Path) -> None:
    with pytest.raises(StoreRefused, match="there is no folder") as told:
        Sidework(str(tmp_path / "no" / "jobs.db")).task(named).enqueue("a")
    one_line(told.value)


def test_a_folder_that_cannot_be_written(tmp_path: Path) -> None:
    """As a user without rights (root may write everywhere), in a process of its own."""
    tmp_path.chmod(0o555)
    for parent in tmp_path.parents:
        if parent.stat().st_uid == os.getuid() and parent != Path("/"):
            parent.chmod(parent.stat().st_mode | 0o055)
    done = subprocess.run(
        [sys.executable, "-c",
         "import os, sys\n"
         "import sidework.store.sqlite.engine\n"
         "from sidework.store.opening import open_store\n"
         "os.getuid() == 0 and os.setuid(65534)\n"
         "open_store(sys.argv[1])", str(tmp_path / "jobs.db")],
        capture_output=True, text=True,
    )  # fmt: skip
    assert "is not writable" in done.stderr.splitlines()[-1]
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_is_no_database(tmp_path: Path) -> None:
    path = tmp_path / "jobs.db"
    path.write_bytes(b"my only copy of something else\n" * 200)
    before = path.read_bytes()
    with pytest.raises(StoreRefused, match="is not a SQLite database") as told:
        Sidework(str(path)).task(named).enqueue("a")
    one_line(told.value)
    assert path.read_bytes() == before


def test_another_programs_database(tmp_path: Path) -> None:
    path = tmp_path / "jobs.db"
    connection = sqlite3.connect(path)
    connection.execute("CREATE TABLE mine (x)")
    connection.commit()
    connection.close()
    with pytest.raises(StoreRefused, match="another program's database"):
        Sidework(str(path)).task(named).enqueue("a")
    connection = sqlite3.connect(path)
    assert connection.execute("SELECT name FROM sqlite_master").fetchall() == [("mine",)]
    assert connection.execute("PRAGMA journal_mode").fetchone() == ("delete",)
    connection.close()


def test_a_newer_schema_is_refused_and_left_alone(app: Sidework) -> None:
    app.task(named).enqueue("a")
    path = app.url.removeprefix("sqlite:///")
    app.close()
    connection = apsw.Connection(path)
    connection.pragma("user_version", 99)
    connection.close()
    with pytest.raises(SchemaMismatch, match="schema 99"):
        app.task(named).enqueue("b")


def test_an_older_schema_is_brought_up(tmp_path: Path) -> None:
    """Schema 0 is a file that was made and left empty: the oldest there is."""
    path = tmp_path / "jobs.db"
    apsw.Connection(str(path)).close()
    app = Sidework(str(path))
    app.task(named).enqueue("a")
    assert app.store.info()["schema"] >= 1
    app.close()


def test_a_damaged_file_is_told_and_not_written(tmp_path: Path) -> None:
    app = Sidework(str(tmp_path / "jobs.db"))
    task = app.task(named)
    app.enqueue_many(task.bind("a" * 200) for _ in range(2000))
    app.store.checkpoint()
    app.close()
    path = tmp_path / "jobs.db"
    content = bytearray(path.read_bytes())
    for page in range(40, len(content) // 4096):
        content[page * 4096 : page * 4096 + 8] = b"\xde\xad\xbe\xef" * 2
    path.write_bytes(content)
    with pytest.raises(StoreDamaged, match="is damaged") as told:
        for _ in app.jobs():
            pass
    one_line(told.value)
    assert app.store.check() != []
    with pytest.raises(StoreDamaged):
        app.enqueue_many(task.bind("b") for _ in range(100))
    app.close()
    assert path.read_bytes() == bytes(content)


@pytest.mark.parametrize(
    ("was", "now"),
    [(b"available", b"availxble"), (b"available", b"avail\xffble"), (b"named", b"nam\xffd")],
    ids=["no state", "no UTF-8 and no state", "no UTF-8"],
)
def test_a_row_that_nobody_wrote_is_damage(tmp_path: Path, was: bytes, now: bytes) -> None:
    """It breaks the code that reads it before SQLite notices; still the error is one of ours."""
    app = Sidework(str(tmp_path / "jobs.db"))
    task = app.task(named)
    task.enqueue("a")
    app.close()
    path = tmp_path / "jobs.db"
    # In the row, not in the schema's text, where it stands in quotes.
    path.write_bytes(re.sub(b"(?<!')" + was, now, path.read_bytes()))
    with pytest.raises(StoreDamaged, match="is damaged") as told:
        list(app.jobs())
    one_line(told.value)
    app.close()


def left_with_its_log(path: Path) -> dict[str, bytes]:
    """A store whose program died: the last jobs are in the log only. Its files as they are."""
    lines = [
        "import os, sys", "from sidework import Sidework", "app = Sidework(sys.argv[1])",
        "@app.task", "def f() -> None: ...", "f.enqueue()", "os._exit(0)",
    ]  # fmt: skip
    subprocess.run([sys.executable, "-c", "\n".join(lines), str(path)], check=True)
    files = {name: path.with_name(path.name + name).read_bytes() for name in ("", "-wal")}
    assert files["-wal"]
    return files


@pytest.mark.parametrize("gone", [True, False])
def test_a_log_without_its_database_is_not_thrown_away(tmp_path: Path, gone: bool) -> None:
    path = tmp_path / "jobs.db"
    files = left_with_its_log(path)
    path.unlink() if gone else path.write_bytes(b"")
    with pytest.raises(StoreDamaged, match="missing or empty, but its log") as told:
        Sidework(str(path)).task(named).enqueue("a")
    one_line(told.value)
    assert (tmp_path / "jobs.db-wal").read_bytes() == files["-wal"]
    path.write_bytes(files[""])
    app = Sidework(str(path))
    assert len(list(app.jobs())) == 1
    app.close()


def test_a_refused_file_is_not_even_checkpointed(tmp_path: Path) -> None:
    """The last who closes brings the log into the file: not so whoever was refused."""
    path = tmp_path / "jobs.db"
    files = left_with_its_log(path)
    newer = bytearray(files[""])
    connection = apsw.Connection(str(path))
    connection.config(apsw.SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1)
    connection.pragma("user_version", 99)
    connection.close()
    log = (tmp_path / "jobs.db-wal").read_bytes()
    with pytest.raises(SchemaMismatch, match="schema 99"):
        Sidework(str(path)).task(named).enqueue("b")
    assert path.read_bytes() == newer
    assert (tmp_path / "jobs.db-wal").read_bytes() == log


def test_an_old_sqlite_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(apsw, "sqlite_lib_version", lambda: "3.51.2")
    with pytest.raises(StoreRefused, match=r"3\.51\.2, which can damage .* 3\.51\.3") as told:
        Sidework(str(tmp_path / "jobs.db")).task(named).enqueue("a")
    one_line(told.value)
    assert not (tmp_path / "jobs.db").exists()


def test_a_backup_that_cannot_be_written(app: Sidework, tmp_path: Path) -> None:
    app.task(named).enqueue("a")
    target = tmp_path / "nowhere" / "copy.db"
    with pytest.raises(
        StoreRefused, match=f"there is no folder {target.parent} for the backup"
    ) as told:
        app.store.backup(str(target))
    one_line(told.value)
    assert len(list(app.jobs())) == 1


FULL = """
    import os, sys
    from sidework import Sidework, StoreUnavailable

    app = Sidework(sys.argv[1] + "/jobs.db")

    @app.task
    def keep(text: str) -> None: ...

    acknowledged = []
    try:
        while True:
            acknowledged.append(keep.enqueue("x" * 20_000).id)
    except StoreUnavailable as full:
        assert "no space left" in str(full) or "disk" in str(full), full
        assert "\\n" not in str(full)
    there = {row.id for row in app.jobs()}
    assert set(acknowledged) == there, (len(acknowledged), len(there))
    os.unlink(sys.argv[1] + "/ballast")
    acknowledged.append(keep.enqueue("after").id)
    assert {row.id for row in app.jobs()} == set(acknowledged)
    assert app.store.check() == []
    print("healed after", len(acknowledged))
"""


def test_a_full_disk_acknowledges_nothing_false_and_heals(place: Place) -> None:
    """FAULTS row 19: on a small file system of its own."""
    script = place.write("full.py", FULL)
    mount = place.folder / "small"
    mount.mkdir()
    words = (
        f"mount -t tmpfs -o size=3m none '{mount}' && head -c 1000000 /dev/zero > '{mount}/ballast'"
        f" && '{sys.executable}' '{script}' '{mount}'"
    )
    done = subprocess.run(
        ["unshare", "--map-root-user", "--mount", "sh", "-c", words],
        capture_output=True, text=True, env=place.env, timeout=60,
    )  # fmt: skip
    if "unshare" in done.stderr:
        pytest.skip(f"no mounts in a name space of one's own here: {done.stderr.strip()}")
    assert done.stdout.startswith("healed after"), done.stderr


def test_a_job_id_that_is_not_there(app: Sidework) -> None:
    with pytest.raises(JobNotFound, match="there is no job") as told:
        app.job("0198c1a2-7d3e-7c44-9f00-1b2c3d4e5f60")
    one_line(told.value)
    with pytest.raises(BadValue, match="is not a job id"):
        app.job("seven")


def test_a_handle_from_another_store(app: Sidework, tmp_path: Path) -> None:
    job = app.task(named).enqueue("a")
    stranger = Sidework(str(tmp_path / "other.db"))
    with pytest.raises(JobNotFound, match=r"other\.db"):
        stranger.job(job.id)
    stranger.close()


def test_a_result_of_a_failed_job_and_a_wait_too_short(app: Sidework) -> None:
    task = app.task(broken)
    job = task.enqueue()
    with pytest.raises(WaitTimeout, match="is a worker running") as late:
        job.result(timeout=0.05)
    one_line(late.value)
    with app.worker(), pytest.raises(JobFailed) as failed:
        job.result(timeout=10)
    assert str(failed.value).splitlines()[0].endswith("ZeroDivisionError: division by zero")
    assert "in broken" in failed.value.remote_traceback


def broken() -> None:
    _ = 1 / 0


def test_a_sqlite3_connection_is_refused_with_the_reason(app: Sidework, tmp_path: Path) -> None:
    task = app.task(named)
    task.enqueue("a")
    connection = sqlite3.connect(":memory:")
    with pytest.raises(StoreRefused, match=r"use|open the file with apsw\.Connection") as told:
        task.options(connection=connection).enqueue("b")
    one_line(told.value)
    elsewhere = apsw.Connection(str(tmp_path / "elsewhere.db"))
    with pytest.raises(StoreRefused, match="cannot span both"):
        task.options(connection=elsewhere).enqueue("b")
    with pytest.raises(StoreRefused, match="apsw"):
        task.options(connection=object()).enqueue("b")
    assert len(list(app.jobs())) == 1


def test_an_app_that_a_child_cannot_import(place: Place) -> None:
    place.write("bad.py", "from sidework import Sidework\napp = Sidework()\nimport nothing_there\n")
    done = place.sidework("worker", "bad")
    assert done.returncode == 1
    assert done.stderr.splitlines() == [
        f"sidework: bad: ModuleNotFoundError: No module named 'nothing_there' "
        f"(at {place.folder}/bad.py:3)"
    ]


def test_an_app_that_breaks_while_the_worker_runs(place: Place) -> None:
    """A deploy gone wrong: the worker says so, tries again, and recovers without a restart."""
    good = "from sidework import Sidework\napp = Sidework()\n@app.task\ndef f() -> int: return 1\n"
    place.write("shop.py", good)
    place.sidework("run", "shop:f")
    worker = place.worker("shop", "--children", "1")
    place.write("shop.py", "raise RuntimeError('half deployed')\n")
    os.kill(worker.children()[0], 9)
    worker.says("half deployed")
    place.write("shop.py", good)
    until(lambda: place.sidework("run", "shop:f", "--wait", "--timeout", "10s").stdout == "1\n")


UNGUARDED = """
    from sidework import Sidework

    app = Sidework()

    @app.task(runner="process")
    def cpu(n: int) -> int:
        return n

    {line}
"""


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("with app.worker(): pass", "starts a worker"),
        ("import asyncio; asyncio.run(app.worker().__aenter__())", "starts a worker"),
        ("cpu.enqueue(3).result()", "enqueues a job"),
        ("app.enqueue_many([cpu.bind(3)])", "enqueues a job"),
    ],
)
def test_a_module_that_works_while_it_is_imported(place: Place, line: str, says: str) -> None:
    """Each child would import it, start workers of its own, and those children theirs."""
    place.write("shop.py", UNGUARDED.replace("{line}", line))
    done = place.sidework("worker", "shop")
    assert done.returncode == 1
    (told,) = done.stderr.splitlines()
    assert (
        f'module shop {says} while it is imported: put that under if __name__ == "__main__":'
        in told
    )
    assert "shop.py:10)" in told


def test_a_program_without_a_guard_ends_its_solo_children_in_one_line_each(place: Place) -> None:
    program = "with app.worker(): print(cpu.enqueue(3).result(timeout=1))"
    done = place.python(str(place.write("shop.py", UNGUARDED.replace("{line}", program))))
    assert done.stderr.splitlines()[-1].startswith("sidework.errors.WaitTimeout")
    refused = [line for line in done.stderr.splitlines() if "cannot start" in line]
    assert 1 <= len(refused) <= 8


def test_a_file_that_is_replaced_while_it_is_open(app: Sidework) -> None:
    """What went into the old file has no name any more: no acknowledgement for it, then the new one."""
    task = app.task(named)
    task.enqueue("a")
    path = Path(app.url.removeprefix("sqlite:///"))
    for name in path.parent.glob("jobs.db*"):
        if name.is_file():
            name.unlink()
    with pytest.raises(StoreRefused, match="was removed, moved or replaced") as told:
        task.enqueue("b")
    one_line(told.value)
    kept = task.enqueue("c")
    assert [row.id for row in app.jobs()] == [kept.id]


def test_a_worker_goes_on_with_a_file_that_took_the_place(place: Place) -> None:
    place.write(
        "shop.py",
        "from sidework import Sidework\napp = Sidework()\n@app.task\ndef f() -> int: return 1\n",
    )
    place.sidework("run", "shop:f")
    worker = place.worker("shop", "--children", "1")
    for path in place.folder.glob("jobs.db*"):
        if path.is_file():
            path.unlink()
    worker.says("was removed, moved or replaced")
    assert place.sidework("run", "shop:f", "--wait", "--timeout", "20s").stdout == "1\n"
    assert worker.stop() == 0


def test_a_database_in_memory_is_refused() -> None:
    with pytest.raises(StoreRefused, match="cannot be shared with a worker"):
        Sidework(":memory:")


def test_what_is_not_bound_cannot_be_stored_in_bulk(app: Sidework) -> None:
    task = app.task(named)
    with pytest.raises(BadValue, match=r"takes task\.bind") as told:
        app.enqueue_many(["a"])  # type: ignore[list-item]
    one_line(told.value)
    app.enqueue_many([task.bind("a")])
    assert len(list(app.jobs())) == 1


async def waiting(_: Any) -> None: ...


WRONG_KINDS: dict[str, Any] = {
    r"task=6: expected a name": lambda app, task, far: app.events(task=[task, 6]),
    r"<task .*> is of .*far\.db, not": lambda app, task, far: app.events(task=far),
    r"queue=5: expected a name": lambda app, task, far: app.events(queue=5),
    r"queue='a b': expected 1 to 64": lambda app, task, far: app.events(queue="a b"),
    r"queue='a/b': expected 1 to 64": lambda app, task, far: list(app.jobs(queue="a/b")),
    r"no task 'nomed' is .*there are: .*:named:": lambda app, task, far: app.switch("nomed"),
    r"state=5: expected a name": lambda app, task, far: list(app.jobs(state=5)),
    r"tag=5: expected a text": lambda app, task, far: list(app.jobs(tag=5)),
    r"since=5: expected a datetime": lambda app, task, far: app.events(since=5),
    r"switch\(5\): expected a task": lambda app, task, far: app.switch(5),
    r"is of .*far\.db, not of .*jobs\.db$": lambda app, task, far: app.switch(far),
    r"far\.db, not of .*hand its jobs": lambda app, task, far: app.enqueue_many([far.bind("a")]),
    r"^5: expected a text": lambda app, task, far: app.switch(task).pause(5),
    r"6: expected a text": lambda app, task, far: app.queue("q").pause("", 6),
    r"periodic=7: expected a text": lambda app, task, far: app.periodic_entry(7),
    r"5: enqueue_many takes several": lambda app, task, far: app.enqueue_many(5),
    r"enqueue_many takes several of": lambda app, task, far: app.enqueue_many(task.bind("a")),
    r"on\('ended'\): 5 is no function": lambda app, task, far: app.on("ended")(5),
    r"which nobody would await": lambda app, task, far: app.on("ended")(waiting),
    r"callback: None is no function": lambda app, task, far: task.enqueue("a").add_done_callback(
        None
    ),
    r"as_completed.*several handles": lambda app, task, far: as_completed(task.enqueue("a")),
    r"threads=0: expected a whole": lambda app, task, far: app.worker(threads=0),
    r"concurrency='x': expected": lambda app, task, far: app.worker(concurrency="x"),
    r"queues=5: expected a name": lambda app, task, far: app.worker(queues=[5]),
    r"timeout=0: expected at least 1ms": lambda app, task, far: task.options(timeout=0).enqueue(
        "a"
    ),
    r"name=5: expected a printable": lambda app, task, far: app.task(name=5)(named),
    r"Sidework\(5\): expected a URL": lambda app, task, far: Sidework(5),  # type: ignore[arg-type]
}


@pytest.mark.parametrize("said", WRONG_KINDS)
def test_a_value_of_a_wrong_kind_is_refused_where_it_is_given(
    app: Sidework, tmp_path: Path, said: str
) -> None:
    far = Sidework(str(tmp_path / "far.db"))
    with pytest.raises((BadValue, BadTask), match=said) as told:
        WRONG_KINDS[said](app, app.task(named), far.task(named))
    one_line(told.value)


WHENS = ("success", "failure", "final")


def told_end(end: JobEnd) -> None: ...
def told_failure(failure: JobFailure | None) -> JobFailure | None: ...
def told_text(text: Annotated[str, "what"]) -> str: ...
def told_either(one: Any) -> Any: ...


def test_a_callback_is_annotated_as_what_it_is_given(app: Sidework) -> None:
    end, failure, text, either = map(app.task, (told_end, told_failure, told_text, told_either))
    right = [
        (text, "success", text), (either, "success", end), (text, "final", end),
        (failure, "success", failure), (text, "failure", failure), *[(text, when, either) for when in WHENS],
    ]  # fmt: skip
    for task, when, called in right:
        task.options(**{f"on_{when}": called})
    wrong = {
        (
            text,
            "success",
            end,
        ): r"with the result of <task \S+:told_text>, and its 'end' is .*JobEnd$",
        (end, "success", end): "the result of",
        (text, "failure", end): "with a JobFailure, and its 'end' is annotated .*JobEnd$",
        (text, "final", failure): "with a JobEnd, and its 'failure' is annotated .*JobFailure",
        (text, "final", text): "with a JobEnd, and its 'text' is annotated .*str",
    }
    for (task, when, called), said in wrong.items():
        with pytest.raises(BadTask, match=said) as told:
            task.options(**{f"on_{when}": called.options(priority=1)})
        assert one_line(told.value).startswith(f"on_{when}=<task ")
    with pytest.raises(BadTask, match="it is called with the result of"):
        app.task(on_success=end)(named)


def test_an_unknown_argument_is_named(app: Sidework) -> None:
    task = app.task(named)
    with pytest.raises(TypeError, match=r"named\(text: 'str'\).*unexpected argument 'txt'"):
        task.enqueue(txt="a")  # type: ignore[call-arg]
    with pytest.raises(TypeError, match=r"^Sidework\.jobs\(\) got an unexpected .* 'tags'"):
        app.jobs(tags="x")  # type: ignore[call-arg]


def test_a_task_is_named_by_itself_or_without_its_module(app: Sidework) -> None:
    task = app.task(named)
    task.enqueue("a")
    for given in (task, [task], task.name, "named"):
        assert [info.task for info in app.jobs(task=given)] == [task.name]
    for same in (task, task.name, "named"):
        app.switch(same).pause()
        assert [one.name for one in app.store.limits.paused()] == [task.name]
        assert app.switch(same).resume()
    assert app.switch("other.module:task").name == "other.module:task"  # which is not imported here


def test_a_result_that_does_not_fit_its_annotation(app: Sidework) -> None:
    job = app.task(wrong_result).enqueue()
    with app.worker(queues="default"), pytest.raises(BadValue, match="does not fit") as told:
        job.result(timeout=10)
    assert job.id in one_line(told.value)


def wrong_result() -> int:
    return "five"  # type: ignore[return-value]


def test_a_group_may_share_a_store(tmp_path: Path) -> None:
    """The umask decides, for the file, what SQLite puts beside it, and the workers' locks."""
    done = subprocess.run(
        [sys.executable, "-c",
         "import os, sys\n"
         "os.umask(0o002)\n"
         "from sidework.store.opening import open_store\n"
         "store = open_store(sys.argv[1])\n"
         "store.register('here', os.getpid(), ())\n"
         "from pathlib import Path\n"
         "for path in sorted(Path(sys.argv[1]).parent.rglob('*')):\n"
         "    print(oct(path.stat().st_mode & 0o777), path.name.split('.life')[-1])\n",
         str(tmp_path / "jobs.db")],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    told = dict(line.split(" ", 1)[::-1] for line in done.stdout.splitlines())
    assert told == {"jobs.db": "0o664", "jobs.db-shm": "0o664", "jobs.db-wal": "0o664",
                    "jobs.db-ticket": "0o664", "jobs.db-workers": "0o775", "": "0o664"}  # fmt: skip
