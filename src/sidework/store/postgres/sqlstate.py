"""What PostgreSQL's SQLSTATEs mean for whoever uses the store: one table for every driver.

The codes are those of the manual's appendix "PostgreSQL Error Codes". A message of the server is cut
to its first line: the lines after it (DETAIL, LINE 1: …) may hold the content of rows.
"""

from __future__ import annotations

import re

from ...errors import (
    SchemaMismatch,
    StoreDamaged,
    StoreError,
    StoreMissing,
    StoreRefused,
    StoreUnavailable,
)

_Meaning = tuple[type[StoreError], str]

_LOST: _Meaning = (
    StoreUnavailable,
    "the connection to {place} failed ({message}): what was under way may be stored or not: "
    "look, or ask again",
)
_UNREACHED: _Meaning = (
    StoreUnavailable,
    "{place} cannot be reached ({message}): check host and port, and that the server runs",
)
_AWAY: _Meaning = (StoreUnavailable, "{place} is not taking work now ({message}): try again")
_BUSY: _Meaning = (
    StoreUnavailable,
    "another transaction is in the way in {place} ({message}): try again; a transaction of your own is to "
    "be rolled back before",
)
_LOGIN: _Meaning = (
    StoreRefused,
    "{place} refuses the login ({message}): check user and password, its right to CONNECT, or "
    "pg_hba.conf",
)
_POOLER: _Meaning = (
    StoreRefused,
    "a prepared statement went astray in {place} ({message}): behind a pooler in transaction mode "
    "switch them off (psycopg: prepare_threshold=None, asyncpg: statement_cache_size=0)",
)
_UNFIT: _Meaning = (
    SchemaMismatch,
    "the schema in {place} does not fit this Sidework ({message}): run `sidework db migrate` or upgrade",
)
_NO_SCHEMA: _Meaning = (
    StoreMissing,
    "there is no Sidework schema in {place} ({message}): run `sidework db migrate`",
)
_NO_DATABASE: _Meaning = (StoreMissing, "{place}: {message}: create it, or name another database")
_DAMAGED: _Meaning = (
    StoreDamaged,
    "{place} is damaged ({message}): stop its workers and restore a backup",
)
_OTHER: _Meaning = (StoreError, "{place}: {message}")

CONNECTION_LOST = "08006"
"""For a connection that broke after something was sent: psycopg has no SQLSTATE for it."""

_MEANINGS: dict[str, _Meaning] = {
    "08": _LOST,
    "25P02": (
        StoreRefused,
        "the connection is in an aborted transaction: roll back first, then enqueue again",
    ),
    "25P03": _LOST,  # idle_in_transaction_session_timeout: the session is gone
    "25P04": _LOST,  # transaction_timeout: likewise
    "25006": (
        StoreRefused,
        "{place} is read-only ({message}): a standby, or a read-only transaction; use the primary",
    ),
    "26000": _POOLER,
    "28": _LOGIN,
    "3D000": _NO_DATABASE,
    "3F000": _NO_SCHEMA,
    "40": _BUSY,
    "40003": _LOST,
    "42501": (
        StoreRefused,
        "the role has no right to do this in {place} ({message}): use another role, or grant what "
        "`sidework db check` names",
    ),
    "42703": _UNFIT,
    "42704": _UNFIT,
    "42804": _UNFIT,
    "42883": _UNFIT,
    "42939": (StoreRefused, "{place}: {message}: choose another name for ?schema="),
    "42P01": _NO_SCHEMA,
    "42P05": _POOLER,
    "42P10": _UNFIT,
    "53": _AWAY,
    "55006": _BUSY,
    "55P03": _BUSY,
    "57014": (
        StoreUnavailable,
        "{place} took too long ({message}): nothing of it was stored; try again",
    ),
    "57P": _AWAY,
    "57P04": _NO_DATABASE,
    "57P05": _LOST,  # idle_session_timeout
    "58": _AWAY,
    "XX001": _DAMAGED,
    "XX002": _DAMAGED,
}
"""By the whole code or the beginning of it; the longest entry counts."""

_AT_CONNECT: tuple[tuple[str, str], ...] = (
    ("password authentication failed", "28P01"),
    ("no password supplied", "28P01"),
    ("no pg_hba.conf entry", "28000"),
    ("authentication failed", "28000"),
    ("is not permitted to log in", "28000"),
    ("permission denied for database", "28000"),
    ("too many clients", "53300"),
    ("too many connections", "53300"),
    ("remaining connection slots", "53300"),
    ("the database system is", "57P03"),
)
"""libpq reports a refused connection without its SQLSTATE. These are the texts of a server that speaks
English; in another language they count as "cannot be reached", with the server's own words."""

_WRAPPING = re.compile(r"^(connection failed: )?(connection to server .* failed: FATAL:\s+)?")
"""What psycopg and libpq put before a server's own words: which server it is, we say ourselves. Where no
server answered, the address stays: it is what became of the host's name."""

_NO_SUCH = re.compile(r'(role|database) "[^\n]*" does not exist')

_SECRETS = (
    # Up to the last "@", and a quoted one to the line's end: a password may hold what should end it.
    (re.compile(r"(://[^\s:/@]*):.*@"), r"\1:***@"),
    (re.compile(r"(password\s*=\s*)('.*|[^\s&]+)", re.IGNORECASE), r"\1***"),
)


def error_of(sqlstate: str | None, message: str, place: str) -> StoreError:
    """The error to raise for what a driver reported; ``place`` names the database in it.

    ``sqlstate`` is None for what never got an answer from the server: there was no connection.
    """
    line = one_line(message)
    kind, sentence = _meaning(sqlstate or _state_at_connect(line))
    return kind(sentence.format(place=place, message=line))


def one_line(message: str) -> str:
    """The first line of a driver's message, without its wrapping and any password, and not endless."""
    line = _WRAPPING.sub("", message.strip().partition("\n")[0].strip())
    for pattern, instead in _SECRETS:
        line = pattern.sub(instead, line)
    return line if len(line) <= 300 else line[:299] + "…"


def _meaning(sqlstate: str | None) -> _Meaning:
    if sqlstate is None:
        return _UNREACHED
    for length in (5, 3, 2):
        if found := _MEANINGS.get(sqlstate[:length]):
            return found
    return _OTHER


def _state_at_connect(line: str) -> str | None:
    if found := _NO_SUCH.search(line):
        return "28000" if found[1] == "role" else "3D000"
    return next((state for text, state in _AT_CONNECT if text in line), None)
