"""Mail by real SMTP, while a worker is killed where it hurts most: the server has it, nobody knows yet."""

from __future__ import annotations

import sys
from collections.abc import Callable
from importlib import import_module
from typing import Any

import httpx
import pytest
from aiosmtpd.controller import Controller

from conftest import Worker, until
from examples.conftest import Example, ended

PEOPLE = ["ann", "ben", "slow", "nobody", "kill", *(f"user{n}" for n in range(5))]


def test_one_mail_each_under_a_kill(
    example: Example, free_port: Callable[[], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(example.folder)
    monkeypatch.delitem(sys.modules, "postbox", raising=False)
    module = import_module("postbox")
    workers: list[Worker] = []

    class Killing(module.Postbox):  # type: ignore[misc, name-defined]
        """It has the mail, and the worker is killed before it learns so."""

        async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> Any:
            answer = await super().handle_DATA(server, session, envelope)
            if envelope.rcpt_tos[0].startswith("kill"):
                ended(workers.pop().process)
            return answer

    port, smtp = free_port(), free_port()
    page = f"http://127.0.0.1:{port}"
    example.place.extra["SMTP_PORT"] = smtp
    example.run("-c", "import signup; signup.make_table()")
    example.serve("-m", "flask", "--app", "signup:web", "run", "--port", port, PORT=port)
    for who in PEOPLE * 2:  # everybody clicks twice
        assert httpx.post(page, data={"email": f"{who}@x.example"}).status_code == 202
    assert httpx.post(page, data={"email": "ann@x.example, ben@x.example"}).status_code == 400
    assert len(list(example.app.jobs())) == len(PEOPLE)
    server = Controller(Killing(), hostname="localhost", port=int(smtp))
    server.start()
    workers.append(example.place.worker("signup"))
    until(lambda: not workers, "the kill")
    server.stop()  # and now, all of it in one command
    example.serve("signup.py", PORT=free_port(), SMTP_PORT=free_port())
    until(lambda: all(job.finished_at for job in example.app.jobs()), "the end of all")
    inbox = [path.read_text() for path in (example.folder / "inbox").iterdir()]
    assert sorted(PEOPLE) == sorted(
        ["nobody", *(mail.partition("To: ")[2].partition("@")[0] for mail in inbox)]
    )
    (kill,) = [mail for mail in inbox if "To: kill@" in mail]
    once = kill.partition("Message-ID: ")[2].split()[0]
    assert f"a double of {once} to kill@" in (example.folder / "program.log").read_text()
    with example.app.transaction() as connection:
        rows = connection.execute("SELECT email, bounced FROM users WHERE bounced IS NOT NULL")
        assert rows.fetchall() == [("nobody@x.example", "550 no such mailbox")]
