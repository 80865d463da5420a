"""Where the database is: what a ``postgresql://`` URL says, and how it is shown without its secrets."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from urllib.parse import parse_qsl, quote, unquote, urlencode

import psycopg
from psycopg.conninfo import conninfo_to_dict

from ...duration import seconds
from ...errors import BadValue, StoreRefused
from ...url import shown
from .sqlstate import one_line

DEFAULT_SCHEMA = "sidework"
DEFAULT_LEASE = 10.0
"""Seconds without a heartbeat after which a worker is taken for dead."""
SHORTEST_LEASE = 4.0
"""A worker stops what must not overlap two seconds before its lease ends, and beats four times in one."""
CONNECT_SECONDS = 5
"""How long a server may take to answer a new connection, unless the URL says ``connect_timeout``."""

_SCHEMA = re.compile(r"[^\x00\"]{1,63}")


@dataclass(frozen=True)
class Place:
    """One schema of one database. ``conninfo`` is what libpq takes; ``url`` leads here again, and
    ``shown`` is that without its password, as is what a log or a report of an error makes of a place."""

    url: str = field(repr=False)
    shown: str
    conninfo: str = field(repr=False)
    schema: str
    lease: float


def place_of(url: str) -> Place:
    """What the URL says; ``StoreRefused`` when it cannot be meant so, never with a part of a password."""
    where, _, query = url.partition("://")[2].partition("?")
    if "#" in url or "@" in where.partition("/")[2]:
        raise _unreadable(url, "# and @ are written as %23 and %40")
    given = parse_qsl(query, keep_blank_values=True)
    ours = {name: value for name, value in given if name in ("schema", "lease")}
    theirs = {name: value for name, value in given if name not in ours}
    theirs = {"connect_timeout": str(CONNECT_SECONDS), **theirs, "client_encoding": "utf8"}
    schema = ours.get("schema", DEFAULT_SCHEMA)
    if not _SCHEMA.fullmatch(schema) or len(schema.encode()) > 63:
        raise StoreRefused(
            f"the URL of the store: schema={schema!r}: expected 1 to 63 bytes without quotes"
        )
    conninfo = f"postgresql://{where}?{urlencode(theirs, quote_via=quote)}"
    _check(url, conninfo)
    return Place(url, shown(url), conninfo, schema, _lease(ours.get("lease")))


_FORM = "expected postgresql://user:password@host:port/database?schema=sidework"


def _check(url: str, conninfo: str) -> None:
    """What libpq would say only when it connects, and then as if the server could not be reached."""
    try:
        found = conninfo_to_dict(conninfo)
    except psycopg.ProgrammingError as wrong:
        raise _unreadable(url, one_line(str(wrong))) from None
    port, wait = str(found.get("port") or ""), str(found["connect_timeout"])
    # A password with a "/" that was not escaped looks like a host and a port.
    if not all(one.isdigit() or not one for one in port.split(",")):
        raise _unreadable(url, "the port is no number")
    if "@" in str(found.get("host") or ""):
        raise _unreadable(url, "there are two @")
    if not wait.lstrip("-").isdigit():
        raise StoreRefused(f"the URL of the store: connect_timeout={wait}: expected whole seconds")


def _unreadable(url: str, why: str) -> StoreRefused:
    """Without the words of the reader, which quote what they do not understand, if there is a password."""
    if shown(url) != url:
        why = "in a password, characters like / # % @ are written as %2F %23 %25 %40"
    return StoreRefused(f"the URL of the store cannot be read ({why}): {_FORM}")


def _lease(text: str | None) -> float:
    if text is None:
        return DEFAULT_LEASE
    try:
        lease = seconds(text, "lease")
    except BadValue as wrong:
        raise StoreRefused(f"the URL of the store: {wrong}") from None
    if lease < SHORTEST_LEASE:
        raise StoreRefused(
            f"the URL of the store: lease={text}: expected at least {SHORTEST_LEASE:g}s"
        )
    return lease


def secrets_of(url: str) -> list[str]:
    """What must not appear in any text: the URL's passwords, as written and as meant."""
    where, _, query = url.partition("://")[2].partition("?")
    written = where.rpartition("@")[0].partition(":")[2]
    given = [value for name, value in parse_qsl(query) if "password" in name]
    return [one for one in {written, unquote(written), *given} if one]
