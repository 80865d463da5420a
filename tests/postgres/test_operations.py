"""What the documentation says about running on a server, done: commands, roles, queries, a dump."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from conftest import Place
from servers.binaries import newest
from servers.running import Running
from sidework.errors import StoreRefused
from sidework.ids import new_id
from sidework.job import JobFilter, NewJob
from sidework.store.opening import open_store
from sidework.store.postgres.looking import findings
from sidework.store.postgres.place import place_of

ROOT = Path(__file__).parents[2]
APP = """
    from sidework import Retry, Sidework, Snooze, current_job
    app = Sidework()

    @app.task
    def add(a: int, b: int) -> int:
        return a + b

    @app.task(retries=2, backoff="1ms")
    def fails(times: int) -> int:
        if current_job().attempt <= times:
            raise ValueError("not yet")
        return current_job().attempt

    @app.task(runner="process")
    def alone(a: int) -> int:
        return a

    @app.task
    async def snoozes() -> str:
        if current_job().fence == 1:
            raise Snooze("1ms")
        return "awake"
"""


def blocks(page: str, kind: str, heading: str) -> list[str]:
    """The blocks of one kind below a heading, up to the next of the same rank."""
    text = (ROOT / page).read_text("utf-8")
    rank = heading.partition(" ")[0]
    part = text.split(f"\n{heading}\n", 1)[1].split(f"\n{rank} ", 1)[0]
    return re.findall(rf"^```{kind}\n(.*?)^```", part, re.M | re.S)


class Roles:
    """A database with the roles that the documentation makes, under names that nobody else has; made by
    its owner, who is no superuser."""

    def __init__(self, postgres: Running) -> None:
        self.postgres = postgres
        self.admin = postgres.new_database()
        self.tag = os.urandom(4).hex()
        make, self.limit = (
            re.sub(r"\bshop\w*", lambda name: f"{name[0]}_{self.tag}", text)
            for text in blocks("docs/operations.md", "sql", "### Roles")
        )
        database = self.admin.partition("?")[0].rpartition("/")[2]
        postgres.psql(f"CREATE ROLE host_{self.tag} LOGIN CREATEROLE")
        postgres.psql(f'ALTER DATABASE "{database}" OWNER TO host_{self.tag}')
        self.sql(make)

    def sql(self, text: str) -> None:
        with psycopg.connect(self.url("host"), autocommit=True) as connection:
            connection.execute(text)  # type: ignore[arg-type]

    def url(self, role: str) -> str:
        return self.admin.replace("//postgres@", f"//{role}_{self.tag}@")

    def close(self) -> None:
        self.postgres.drop_database(self.admin)
        for role in ("shop_web", "shop", "shop_owner", "host"):
            self.postgres.psql(f"DROP ROLE {role}_{self.tag}")


@pytest.fixture
def roles(postgres: Running) -> Iterator[Roles]:
    made = Roles(postgres)
    yield made
    made.close()


def test_the_readmes_way_from_one_machine_to_many(roles: Roles, place: Place) -> None:
    """Under the roles of the operations page: its owner migrates, the rest is the other's."""
    (text,) = blocks("README.md", "bash", "## When one machine is too small")
    install, export, migrate, worker = text.splitlines()
    assert install == 'pip install ".[postgres]"'
    url = export.partition("SIDEWORK_URL=")[2]
    assert (url, migrate) == ("postgresql://shop@db.example/shop", "sidework db migrate")
    place.write("hello.py", (ROOT / "examples" / "hello.py").read_text())

    place.url = roles.url("shop")
    refused = place.sidework(*migrate.split()[1:])
    assert refused.returncode == 1
    (line,) = refused.stderr.splitlines()
    assert "may not change schema" in line
    assert place.sidework("db", "check").returncode == 1

    place.url = roles.url("shop_owner")
    assert place.sidework(*migrate.split()[1:]).returncode == 0
    roles.sql(roles.limit)

    place.url = roles.url("shop")
    assert "nothing to do" in place.sidework(*migrate.split()[1:]).stdout
    started = place.worker(*worker.split()[2:], "--children", "1")
    assert place.sidework("run", "hello:add", "2", "3", "--wait").stdout == "5\n"
    assert started.stop() == 0


def test_everything_works_under_the_role_of_workers_and_programs(
    roles: Roles, place: Place
) -> None:
    owner = open_store(roles.url("shop_owner"))
    owner.migrate()
    owner.close()
    roles.sql(roles.limit)
    place.url = roles.url("shop")
    lacks = [one for one in findings(place_of(place.url)) if one.what == "rights"]
    assert [one.problem for one in lacks] == [False]
    place.write("shop.py", APP)
    worker = place.worker("shop", "--children", "2")
    done = place.python(
        "-c",
        "import shop\n"
        "print(shop.add.enqueue(1, 2).result(timeout=20), shop.fails.enqueue(1).result(timeout=20),\n"
        "      shop.alone.enqueue(4).result(timeout=20), shop.snoozes.enqueue().result(timeout=20))\n"
        "late = shop.add.options(delay='1h').enqueue(1, 1)\n"
        "print(late.cancel(), late.retry(), late.result(timeout=20))\n"
        "with shop.app.transaction() as connection:\n"
        "    job = shop.add.options(connection=connection).enqueue(5, 6)\n"
        "print(job.result(timeout=20), len(list(shop.app.jobs())))\n",
    )
    assert done.stdout == "3 2 4 awake\nTrue True 2\n11 6\n", done.stderr
    for words in (
        ("queues", "pause", "default"), ("queues", "resume", "default"), ("queues", "list"),
        ("workers",), ("jobs", "list"), ("jobs", "delete", "--state", "completed", "--yes"),
        ("db", "info"),
    ):  # fmt: skip
        assert place.sidework(*words).returncode == 0, words
    assert worker.stop() == 0
    assert "ERROR" not in worker.said


def test_the_role_that_only_hands_over_can_do_that_and_no_more(roles: Roles) -> None:
    owner = open_store(roles.url("shop_owner"))
    owner.migrate()
    owner.close()
    roles.sql(roles.limit)
    store = open_store(roles.url("shop_web"))
    job = NewJob(new_id(), "m:f", b"\x01{}")
    assert [one.verdict for one in store.insert([job])] == ["stored"]
    assert [one.verdict for one in store.insert([job])] == ["present"]
    other = NewJob(job.id, "m:f", b"\x01[]")
    assert [one.verdict for one in store.insert([other])] == ["conflict"]
    for verb in (
        lambda: store.get([job.id]),
        lambda: store.page(JobFilter(), None, 10),
        lambda: store.cancel(job.id, "no"),
        lambda: store.delete(job.id),
        lambda: store.pause("default", "me", "why"),
        lambda: store.register("host", 1, ()),
    ):
        with pytest.raises(StoreRefused, match="no right"):
            verb()
    store.close()
    lacks = [one for one in findings(place_of(roles.url("shop_web"))) if one.what == "rights"]
    assert all(one.problem and one.advice.startswith("GRANT ") for one in lacks)


def test_a_dump_is_restored_elsewhere(postgres: Running, place: Place) -> None:
    here, there = postgres.new_database(), postgres.new_database()
    store = open_store(here)
    store.migrate()
    job = NewJob(new_id(), "m:f", b"\x01{}")
    store.insert([job])
    store.close()
    (text,) = blocks("docs/operations.md", "bash", "### Backups")
    path = f"{newest().folder}:{os.environ['PATH']}"
    done = subprocess.run(
        ["bash", "-ec", text], cwd=place.folder, capture_output=True, text=True,
        env={**os.environ, "SIDEWORK_URL": here, "NEW_URL": there, "PATH": path},
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")
    copy = open_store(there)
    assert copy.migrate() == []
    assert copy.check() == []
    (row,) = copy.get([job.id])
    assert row is not None
    copy.close()
    for url in (here, there):
        postgres.drop_database(url)


def test_the_queries_for_a_monitor_run(postgres: Running) -> None:
    url = postgres.new_database()
    store = open_store(url)
    store.migrate()
    store.insert([NewJob(new_id(), "m:f", b"\x01{}", lane="mail")])
    store.register("host", 7, ())
    (text,) = blocks("docs/operations.md", "sql", "### Watching")
    answers = []
    with psycopg.connect(url, autocommit=True) as connection:
        for query in text.split(";\n"):
            if query.strip():
                answers.append(connection.execute(query).fetchall())  # type: ignore[arg-type]
    waits, discarded, workers, tables, _ = answers
    assert [lane for lane, _ in waits] == ["mail"]
    assert 0 <= waits[0][1] < 60
    assert discarded == []
    assert [(host, pid) for host, pid, _ in workers] == [("host", 7)]
    assert "jobs" in {name for name, *_ in tables}
    store.close()
    postgres.drop_database(url)
