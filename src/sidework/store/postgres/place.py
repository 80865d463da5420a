"""Where the database is: what a ``postgresql://`` URL says, and how it is shown without its secrets."""

from __future__ import annotations

import re
from dataclasses import dataclass
from urllib.parse import parse_qsl, quote, unquote, urlencode, urlsplit, urlunsplit

from ...duration import seconds
from ...errors import BadValue, StoreRefused

DEFAULT_SCHEMA = "sidework"
DEFAULT_LEASE = 10.0
"""Seconds without a heartbeat after which a worker is taken for dead."""
SHORTEST_LEASE = 4.0
"""A worker stops what must not overlap two seconds before its lease ends, and beats four times in one."""

_SCHEMA = re.compile(r"[^\x00\"]{1,63}")


@dataclass(frozen=True)
class Place:
    """One schema of one database. ``conninfo`` is what libpq takes; ``url`` leads here again, and
    ``shown`` is that without its password."""

    url: str
    shown: str
    conninfo: str
    schema: str
    lease: float


def place_of(url: str) -> Place:
    """What the URL says; ``StoreRefused`` when it cannot be meant so."""
    try:
        parts = urlsplit(url)
        given = parse_qsl(parts.query, keep_blank_values=True)
        host = parts.netloc
    except ValueError as wrong:
        raise StoreRefused(f"the URL of the store cannot be read ({wrong}): {_FORM}") from None
    ours = {name: value for name, value in given if name in ("schema", "lease")}
    theirs = urlencode([pair for pair in given if pair[0] not in ours], quote_via=quote)
    schema = ours.get("schema", DEFAULT_SCHEMA)
    if not _SCHEMA.fullmatch(schema) or len(schema.encode()) > 63:
        raise StoreRefused(f"schema={schema!r}: expected 1 to 63 bytes without quotes")
    shown = urlunsplit(parts._replace(netloc=_without_password(host), query=_shown_query(given)))
    conninfo = urlunsplit(parts._replace(scheme="postgresql", query=theirs))
    return Place(url, shown, conninfo, schema, _lease(ours.get("lease")))


_FORM = "expected postgresql://user@host:port/database?schema=sidework"


def _lease(text: str | None) -> float:
    if text is None:
        return DEFAULT_LEASE
    try:
        lease = seconds(text, "lease")
    except BadValue as wrong:
        raise StoreRefused(f"the URL of the store: {wrong}") from None
    if lease < SHORTEST_LEASE:
        raise StoreRefused(f"lease={text}: expected at least {SHORTEST_LEASE:g}s")
    return lease


def _without_password(netloc: str) -> str:
    user, at, host = netloc.rpartition("@")
    return f"{user.partition(':')[0]}{at}{host}"


def _shown_query(given: list[tuple[str, str]]) -> str:
    kept = [(name, "***" if "password" in name else value) for name, value in given]
    return urlencode(kept, quote_via=quote, safe="/*")


def secrets_of(url: str) -> list[str]:
    """What must not appear in any text: the URL's password, as written and as meant."""
    netloc = urlsplit(url).netloc
    written = netloc.rpartition("@")[0].partition(":")[2]
    query = [value for name, value in parse_qsl(urlsplit(url).query) if "password" in name]
    return [one for one in {written, unquote(written), *query} if one]
