"""As much of PostgreSQL's wire protocol (3.0) as it takes to know where an answer begins and ends.

https://www.postgresql.org/docs/current/protocol-message-formats.html. Unencrypted only: the servers of
the tests refuse TLS, with the one byte that the framing of answers knows.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

STARTUP, NEGOTIATION, CANCEL = "startup", "negotiation", "cancel"
CODES = {80877102: CANCEL, 80877103: NEGOTIATION, 80877104: NEGOTIATION}
ASKING = frozenset({STARTUP, "Q", "S", "F"})
"""What the server answers with ReadyForQuery: the startup, Query, Sync, FunctionCall."""
PARTS = frozenset("PBDEC")
"""Parse, Bind, Describe, Execute, Close: a request's, which the server may wait with until its Sync."""
RUNNING = frozenset("QE")
"""Query, Execute: a statement is run. (A Query of ours has one.)"""
QUIET = frozenset(
    {"BEGIN", "START", "ROLLBACK", "SAVEPOINT", "RELEASE", "SET", "RESET", "SHOW"}
    | {"LISTEN", "UNLISTEN", "DISCARD", "DEALLOCATE"}
)
"""First words of the command tags that store nothing. ``SELECT`` may: through a CTE or a function."""


@dataclass(frozen=True, slots=True)
class Message:
    """``kind``: its type byte; one of the words above for what a client says first."""

    kind: str
    raw: bytes

    @property
    def body(self) -> bytes:
        return self.raw[5:]


class Framing:
    """Cuts a stream into messages, whatever the chunks; an unfinished one waits for its rest."""

    def __init__(self) -> None:
        self.left = b""

    def feed(self, data: bytes) -> Iterator[Message]:
        self.left += data
        while (message := self._next()) is not None:
            self.left = self.left[len(message.raw) :]
            yield message

    def _next(self) -> Message | None:
        return self._typed()

    def _typed(self) -> Message | None:
        if len(self.left) < 5:
            return None
        length = 1 + int.from_bytes(self.left[1:5])
        if len(self.left) < length:
            return None
        return Message(chr(self.left[0]), self.left[:length])


class Requests(Framing):
    """What a client says: one startup, perhaps after asking for encryption, then typed messages."""

    def __init__(self) -> None:
        super().__init__()
        self.started = False

    def _next(self) -> Message | None:
        if self.started:
            return self._typed()
        if len(self.left) < 8:
            return None
        length = int.from_bytes(self.left[:4])
        if len(self.left) < length:
            return None
        kind = CODES.get(int.from_bytes(self.left[4:8]), STARTUP)
        self.started = kind == STARTUP
        return Message(kind, self.left[:length])


class Replies(Framing):
    """What a server says: typed messages, and one bare byte for each question about encryption."""

    def __init__(self) -> None:
        super().__init__()
        self.bare = 0

    def _next(self) -> Message | None:
        if not self.bare:
            return self._typed()
        if not self.left:
            return None
        self.bare -= 1
        return Message(NEGOTIATION, self.left[:1])


def parameters(startup: Message) -> dict[str, str]:
    """What a client tells of itself: ``user``, ``database``, ``application_name``, …"""
    words = startup.raw[8:].rstrip(b"\0").decode("utf-8", "replace").split("\0")
    return dict(zip(words[::2], words[1::2], strict=False))


def tag(complete: Message) -> str:
    """Of a CommandComplete: ``INSERT 0 1``, ``COMMIT``, …"""
    return complete.body.rstrip(b"\0").decode()


def stores(command: str) -> bool:
    """Whether a statement with this tag may have changed something."""
    return bool(command) and command.split()[0] not in QUIET


def statement(group: list[Message]) -> str:
    """The text that a request names: of a Query, or of the Parse in it; "" for one prepared before."""
    for message in group:
        if message.kind == "Q":
            return message.body.split(b"\0")[0].decode("utf-8", "replace")
        if message.kind == "P":
            return message.body.split(b"\0")[1].decode("utf-8", "replace")
    return ""


FAILURES = ("40001", "40P01")
"""Serialization failure, deadlock: the server has undone the transaction, which is to be tried again."""


def failing(which: float) -> Message:
    """A Query that fails so: the answer is an ErrorResponse and ReadyForQuery, as to a request that fails,
    and the server's transaction is as it is then."""
    code = FAILURES[int(which * len(FAILURES)) % len(FAILURES)]
    text = f"DO $$BEGIN RAISE SQLSTATE '{code}' USING MESSAGE = 'injected'; END$$".encode() + b"\0"
    return Message("Q", b"Q" + (len(text) + 4).to_bytes(4, "big") + text)
