"""The programs of the guides on moving, before and after: real workers of Celery, RQ and Dramatiq on a real
Valkey, and ours. Both sides say the same."""

from __future__ import annotations

import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from conftest import PATIENCE, Place
from servers.valkey import Valkey, program

ROOT = Path(__file__).parents[2]
MOVING = ROOT / "examples" / "moving"
BLOCK = re.compile(r'^```python title="([^"]+)"\n(.*?)^```', re.M | re.S)

SAID = {
    "celery": "total 600\nann pays 400\nthank you, ann\n",
    "rq": "words 3\nprogress 2\nreport.txt is there\n3 words in all\n",
    "dramatiq": "cat@64 cat@128\nweb/dog@32\nscan gave up after 1 retries\n",
}
WORKERS = {
    "celery": "-m celery -A celery_before worker --pool solo -l warning --without-mingle --without-gossip",
    "rq": "-m rq.cli worker --url {url} --quiet reports",
    "dramatiq": "-m dramatiq dramatiq_before --processes 1 --threads 2",
}
"""Of the peers: with as little around them as they can do without, to be quick."""
URLS = {"celery": "redis+socket://{path}", "rq": "unix://{path}", "dramatiq": "unix://{path}"}


@pytest.fixture(scope="module")
def valkey() -> Iterator[Valkey]:
    try:
        program()
    except LookupError as missing:
        pytest.skip(str(missing))
    with Valkey() as running:
        yield running


@pytest.fixture
def there(place: Place) -> Place:
    for file in MOVING.glob("*.py"):
        shutil.copy(file, place.folder)
    return place


def start(there: Place, words: str) -> subprocess.Popen[str]:
    """A peer's worker, in a session of its own; what it says is in ``worker.log``."""
    with open(there.folder / "worker.log", "w") as said:
        worker = subprocess.Popen(
            [sys.executable, *words.split()],
            cwd=there.folder, env=there.env, stdout=said, stderr=said, text=True, start_new_session=True,
        )  # fmt: skip
    there.started.append(worker)
    return worker


@pytest.mark.parametrize("peer", SAID)
def test_before(there: Place, valkey: Valkey, peer: str) -> None:
    url = URLS[peer].format(path=valkey.socket)
    there.extra = {"REDIS_URL": url}
    worker = start(there, WORKERS[peer].format(url=url))
    done = there.python(f"{peer}_before.py")
    assert done.stdout == SAID[peer], done.stderr + (there.folder / "worker.log").read_text()
    worker.send_signal(signal.SIGTERM)
    worker.wait(PATIENCE)


@pytest.mark.parametrize("peer", SAID)
def test_after(there: Place, peer: str) -> None:
    # It waits for the database that the program makes.
    worker = there.worker(f"{peer}_after", ready=False)
    done = there.python(f"{peer}_after.py")
    assert done.stdout == SAID[peer], done.stderr + worker.said


@pytest.mark.parametrize("peer", SAID)
def test_the_guide_shows_the_programs(peer: str) -> None:
    shown = BLOCK.findall((ROOT / "docs" / f"moving-from-{peer}.md").read_text("utf-8"))
    assert {name for name, _ in shown} == {f"{peer}_before.py", f"{peer}_after.py"}
    for name, text in shown:
        assert text in (MOVING / name).read_text("utf-8")


def test_both_run_side_by_side(place: Place, valkey: Valkey) -> None:
    """The module of the guide on Celery, its workers and ours, and a caller that uses both."""
    [shop] = re.findall(
        r"^```python\n(.*?)^```",
        (ROOT / "docs/moving-from-celery.md").read_text("utf-8"),
        re.M | re.S,
    )
    url = URLS["celery"].format(path=valkey.socket)
    place.write("shop.py", shop.replace('"redis://localhost:6379/0"', f'"{url}", backend="{url}"'))
    place.write(
        "caller.py",
        """
        from shop import mail, send_by_celery
        old, new = send_by_celery.delay("bob"), mail.enqueue("ann")
        print(old.get(timeout=20), new.result(timeout=20))
        """,
    )
    start(place, WORKERS["celery"].replace("celery_before", "shop"))
    ours = place.worker("shop", ready=False)
    done = place.python("caller.py")
    assert done.stdout == "mail to bob mail to ann\n", (
        done.stderr + (place.folder / "worker.log").read_text() + ours.said
    )
