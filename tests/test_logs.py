"""What a log line looks like, and that each knows its job: as text, and as JSON whatever is logged."""

from __future__ import annotations

import json
import logging
from typing import Any

import pytest

from conftest import Place
from sidework import logs
from sidework.logs import LogFormat

SHOP = """
    import asyncio, logging, time, warnings
    from sidework import Sidework, current_job

    app = Sidework()
    log = logging.getLogger("shop")
    log.info("imported")

    @app.task(queue="mail", retries=1, backoff=0)
    async def in_a_coroutine() -> None:
        await asyncio.to_thread(log.warning, "two\\nlines", extra={"task": "mine", "size": 3})
        if current_job().attempt == 1:
            raise ValueError("not\\nyet")

    @app.task
    def in_a_thread() -> None:
        try:
            1 / 0
        except ZeroDivisionError:
            log.exception("caught")
        warnings.warn("old")

    @app.task(runner="process")
    def in_a_process() -> None:
        log.info("alone")

    @app.task(timeout="10ms")
    def too_long() -> None:
        while not current_job().should_stop:
            time.sleep(0.005)
        raise LookupError("given up")
"""


def test_every_line_of_a_worker_is_an_object(place: Place) -> None:
    place.write("shop.py", SHOP)
    names = ("in_a_coroutine", "in_a_thread", "in_a_process", "too_long")
    jobs = {name: place.sidework("run", f"shop:{name}").stdout.strip() for name in names}
    worker = place.worker("shop", "--children", "1", "--log-format", "json", "--log-level", "debug")
    for said in (
        '"two.*"attempt": 2',
        "caught",
        "alone",
        '"warning|UserWarning: old',
        '"completed"',
        "given up",
    ):
        worker.says(said)
    assert worker.stop() == 0
    lines = [json.loads(line) for line in worker.said.splitlines()]
    told = {
        (line["message"], line.get("attempt")): line for line in lines if line["logger"] == "shop"
    }
    first = told["two\nlines", 1]
    assert (first["job"], first["task"]) == (jobs["in_a_coroutine"], "shop:in_a_coroutine")
    assert (first["queue"], first["level"]) == ("mail", "WARNING")
    assert first["extra"] == {"task": "mine", "size": 3}
    assert told["two\nlines", 2]["job"] == first["job"]
    assert "ZeroDivisionError" in told["caught", 1]["exception"]
    assert told["alone", 1]["job"] == jobs["in_a_process"]
    assert "job" not in told["imported", None]
    about = [line for line in lines if line.get("job") == jobs["too_long"]]
    late = next(line for line in about if "is past its timeout of 0.01 s" in line["message"])
    assert (late["task"], late["attempt"], late["queue"]) == ("shop:too_long", 1, "default")
    assert "too_long" in late["stack"]
    given_up = next(line for line in about if "is discarded" in line["message"])
    assert given_up["message"].endswith("LookupError: given up")
    assert given_up["exception"].startswith("Traceback (most recent call last)")
    ends = {(line["job"], line["outcome"]) for line in lines if "outcome" in line}
    assert ends >= {(jobs["in_a_coroutine"], "retry"), (jobs["in_a_thread"], "completed")}


def test_a_worker_that_cannot_begin_says_so_in_json(place: Place) -> None:
    done = place.sidework("worker", "nowhere", "--log-format", "json")
    assert done.returncode == 1
    (line,) = map(json.loads, done.stderr.splitlines())
    assert line["level"] == "CRITICAL"
    assert "there is no module 'nowhere'" in line["message"]


class Bad:
    def __repr__(self) -> str:
        raise RuntimeError


class Mail:
    id, task, attempt, queue = "01a2", "shop:mail", 2, "default"


def line(message: str, *args: Any, form: LogFormat, job: Mail | None = None, **extra: Any) -> str:
    record = logging.makeLogRecord(
        {"msg": message, "args": args, "levelname": "INFO", "name": "shop"}
    )
    record.__dict__.update(logs.fields(job), **extra)
    formatter = logs._Json() if form == "json" else logs._Text(form == "colour", True)
    return formatter.format(record)


@pytest.mark.parametrize(
    ("message", "args", "extra"),
    [
        ("%d", ("text",), {}),
        ("%s", (Bad(),), {"bad": Bad()}),
        ("\ud800\x00\x1b[0m", (), {"nan": float("nan"), "keys": {(1, 2): 3}, "lone": "\udfff"}),
        ("", (), {"again": (again := [])}),
    ],
)
def test_json_is_total(message: str, args: Any, extra: dict[str, Any]) -> None:
    again.append(again)
    told = line(message, *args, form="json", **extra)
    assert "\n" not in told
    assert json.loads(told)["extra" if extra else "message"] is not None


def test_text_names_the_job() -> None:
    assert line("hi", form="text").endswith(" INFO hi")
    assert line("hi", form="text", job=Mail()).endswith(" INFO job 01a2 (shop:mail): hi")
    coloured = line("hi", form="colour", job=Mail())
    assert coloured.endswith(" \x1b[36mINFO   \x1b[0m job 01a2 (shop:mail): hi")
    assert "\x1b[32mINFO" in line("hi", form="colour", sidework_outcome="completed")


def test_an_app_may_have_formats_of_its_own(place: Place) -> None:
    place.write(
        "shop.py",
        """
        import logging, sys
        from sidework import Sidework
        form = "%(sidework_job)s %(sidework_task)s %(sidework_queue)s %(sidework_attempt)s %(message)s"
        logging.basicConfig(format=form, level="INFO", force=True)
        app = Sidework()
        logging.info("outside")
        @app.task
        def mail() -> None:
            logging.info("inside")
        """,
    )
    job = place.sidework("run", "shop:mail").stdout.strip()
    worker = place.worker("shop", "--children", "1")
    worker.says(f"{job} shop:mail default 1 inside")
    worker.says("None None None None outside")
    worker.stop()
