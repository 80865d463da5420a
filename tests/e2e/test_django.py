"""Django's tasks with our backend: its documented contract, and the example's site with its worker."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from conftest import PATIENCE, Place, Worker
from engines import ENGINES
from sidework import Sidework
from sidework.store.opening import open_store

ROOT = Path(__file__).parents[2]
TASKS = """
    from shop.tasks import task

    class Own(Exception): ...

    @task
    def add(a, b):
        return a + b

    @task()
    async def twice(text):
        return text * 2

    @task
    def fails(text):
        raise ValueError(text)

    @task
    def fails_own():
        raise Own

    @task(takes_context=True)
    def told(context, x, y):
        result = context.task_result
        return [context.attempt, result.id, result.status, result.args, result.kwargs, result.backend]

    @task(takes_context=True)
    async def atold(context):
        if context.attempt == 1:
            raise ValueError
        return context.attempt
"""

BEFORE = """
    import django
    from django.core.management import call_command

    django.setup()
    call_command("migrate", verbosity=0)
"""
ENQUEUE = """
import django

django.setup()
from later.tasks import add

print(add.enqueue(1, b=2).id)
"""


@pytest.fixture(params=sorted(ENGINES))
def site(place: Place, request: pytest.FixtureRequest) -> Place:
    """The example, with a second app whose tasks are the contract's."""
    shutil.copytree(ROOT / "examples" / "django_site", place.folder, dirs_exist_ok=True)
    place.without_url = request.param == "sqlite"
    place.extra["DJANGO_SETTINGS_MODULE"] = "settings_of_test"
    place.write(
        "settings_of_test.py", "from project.settings import *\nINSTALLED_APPS.append('later')"
    )
    place.write("later/__init__.py", "")
    place.write("later/tasks.py", TASKS)
    if request.param == "postgres":
        place.url = request.getfixturevalue("postgres").new_database()
        store = open_store(place.url)
        store.migrate()
        store.close()
    return place


def manage(site: Place, *words: str) -> subprocess.CompletedProcess[str]:
    return site.python("manage.py", "sidework", *words)


def test_the_contract(site: Place) -> None:
    shutil.copy(ROOT / "tests" / "e2e" / "django_contract.py", site.folder / "test_contract.py")
    site.write("conftest.py", BEFORE)
    done = site.python("-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", "test_contract.py")
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("site", ["sqlite"], indirect=True)  # of the store nothing else is asked
def test_the_command(site: Place) -> None:
    job = site.python("-c", ENQUEUE).stdout.strip()
    folder = site.folder / "elsewhere"
    folder.mkdir()
    with open(site.folder / "worker.log", "w", encoding="utf-8") as log:
        process = subprocess.Popen(
            [sys.executable, "../manage.py", "sidework", "worker", "--children", "1"],
            cwd=folder, env=site.env, stdout=log, stderr=log, text=True,
        )  # fmt: skip
    site.started.append(process)
    worker = Worker(process, site.folder / "worker.log")
    worker.says("ready for")
    app = Sidework(str(site.folder / "jobs.sidework.db"))
    assert app.job(job).result(PATIENCE) == 3
    app.close()
    assert "completed" in manage(site, "jobs", "show", job).stdout
    assert worker.stop() == 0, worker.said
    wrong = manage(site, "--backend", "mail", "worker")
    assert wrong.stderr == "sidework: --backend mail: TASKS has default of Sidework's\n"
    assert wrong.returncode == 2
