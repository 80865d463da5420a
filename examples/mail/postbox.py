"""A mail server to try with: keeps what it is given in ``inbox``, each mail once; some it bounces.

``slow@…`` is turned away for now at first (451), ``nobody@…`` for good (550).

python postbox.py        # at SMTP_PORT, or 8025
"""

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from email import message_from_bytes
from pathlib import Path
from typing import Any

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, Envelope, Session

INBOX = Path(__file__).with_name("inbox")


class Postbox:
    def __init__(self) -> None:
        self.seen: set[str] = set()
        INBOX.mkdir(exist_ok=True)

    async def handle_RCPT(
        self, server: SMTP, session: Session, envelope: Envelope, address: str, options: list[Any]
    ) -> str:
        if address.startswith("nobody@"):
            return "550 no such mailbox"
        if address.startswith("slow@") and address not in self.seen:
            self.seen.add(address)
            return "451 come back later"
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:
        content = envelope.original_content or b""
        mail = message_from_bytes(content)
        kept = INBOX / f"{mail['Message-ID'].strip('<>')}.eml"
        print("a double of" if kept.exists() else "mail", mail["Message-ID"], "to", mail["To"])
        kept.write_bytes(content)
        return "250 OK"


@contextmanager
def postbox(host: str, port: int) -> Iterator[None]:
    controller = Controller(Postbox(), hostname=host, port=port)
    controller.start()
    yield
    controller.stop()


if __name__ == "__main__":
    with postbox("localhost", int(os.environ.get("SMTP_PORT", "8025"))):
        signal.sigwait({signal.SIGINT, signal.SIGTERM})
