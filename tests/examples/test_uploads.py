"""Uploads by a real browser, while workers and the server are killed."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest
from PIL import Image

from conftest import until
from examples.browser import chromium, why_not
from examples.conftest import Example, ended


@pytest.mark.skipif(why_not() is not None, reason=str(why_not()))
def test_a_page_shows_it_live_while_everything_is_killed(
    example: Example, free_port: Callable[[], str]
) -> None:
    """The page is loaded once, and catches up by itself. The first worker is held in the middle of the
    thumbnails by a disk that does not answer, and killed there."""
    picture = example.folder / "big.bmp"
    Image.linear_gradient("L").resize((3000, 2000)).convert("RGB").save(picture)  # three chunks
    checksum = hashlib.sha256(picture.read_bytes()).hexdigest()
    port = free_port()
    server = example.serve("-m", "uvicorn", "app:web", "--port", port, PORT=port)
    with chromium() as page:
        page.open(f"http://127.0.0.1:{port}")
        page.choose("#files", picture)
        page.shows("li span", "waiting")
        (job,) = example.app.jobs()
        folder = example.folder / "files" / job.id
        os.mkfifo(folder / "512.part")
        first = example.place.worker("tasks")
        page.shows("li code", checksum)
        page.shows("li span", "thumbnails")
        bar = "document.querySelector('progress')"
        until(lambda: page.run(f"[{bar}.value, {bar}.max]") == [1, 3], "one of three in the bar")
        # Meanwhile the page takes the next file.
        small = example.place.write("small.txt", "no picture")
        page.choose("#files", small)
        page.shows("li:nth-child(2) span", "completed")
        ended(first.process)
        ended(server)
        (folder / "512.part").unlink()
        before = made_at(folder)
        example.serve("app.py", PORT=port)
        page.shows("li:first-child span", "completed")
        images = "[...document.images].filter(image => image.complete && image.naturalWidth).length"
        until(lambda: page.run(images) == 3, "the thumbnails in the page")
    assert made_at(folder) == before
    (death,) = example.app.job(job.id).attempts()
    assert death.kind == "WorkerDied"


def made_at(folder: Path) -> list[int]:
    """When what was there before the kill was made."""
    return [(folder / name).stat().st_mtime_ns for name in ("sha256", "128.jpg")]


@pytest.mark.sqlite_alone("about the page's server; the jobs are above")
def test_chunks_may_come_twice(example: Example, free_port: Callable[[], str]) -> None:
    port = free_port()
    example.serve("app.py", PORT=port)
    with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=20) as client:
        upload = client.post("/uploads").json()["id"]
        for at, part in ((0, b"abc"), (3, b"de"), (0, b"abc")):
            client.put(f"/uploads/{upload}?at={at}", content=part)
        jobs = [client.post(f"/uploads/{upload}/done").json()["job"] for _ in range(2)]
        told = client.get(f"/jobs/{jobs[0]}/events").text  # as long as it lasts
        assert client.get(f"/uploads/{upload}/original").content == b"abcde"
        assert client.get(f"/uploads/{upload}/other").status_code == 404
        assert client.post(f"/uploads/{jobs[0][::-1]}/done").status_code in (404, 422)
        assert client.get(f"/jobs/{'0' * 32}/events").status_code == 404
    assert jobs == [upload] * 2
    assert hashlib.sha256(b"abcde").hexdigest() in told
    assert told.rstrip().rpartition("event: ")[2].startswith("final")
    assert len(list(example.app.jobs())) == 1
