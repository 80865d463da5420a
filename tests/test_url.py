"""A URL is told without its password, however it was written."""

from __future__ import annotations

import pytest

from sidework.url import shown


@pytest.mark.parametrize(
    ("url", "told"),
    [
        ("postgresql://me:secret@host:5432/db?schema=s", "postgresql://me@host:5432/db?schema=s"),
        ("postgresql://me:@host/db", "postgresql://me@host/db"),
        ("postgresql://:secret@host/db", "postgresql://@host/db"),
        ("postgresql://me:se:secret@host/db", "postgresql://me@host/db"),
        ("postgresql://me:secret@secret@host/db", "postgresql://me@host/db"),
        ("postgresql://me:secret/secret@host/db", "postgresql://me@host/db"),
        ("postgresql://me:secret?secret@host/db", "postgresql://me@host/db"),
        ("postgresql://me:secret#secret\n@host/db", "postgresql://me@host/db"),
        ("postgresql://host/db?user=me&password=secret&lease=5s",
         "postgresql://host/db?user=me&lease=5s"),
        ("postgresql://host/db?password=secret", "postgresql://host/db"),
        ("postgresql:///db?passw%6frd=secret&sslpassword=secret", "postgresql:///db"),
    ],
)  # fmt: skip
def test_no_password_is_told(url: str, told: str) -> None:
    assert shown(url) == told


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://me@[::1]:5432/db?schema=s&lease=5s",
        "postgresql://one:5432,two:5432/db",
        "postgresql:///db?host=/run/pg",
        "sqlite:////a/b:c@d.db",
        "jobs.db",
        "/a/b?c@d:e.db",
    ],
)
def test_without_a_password_it_stays_as_it_is(url: str) -> None:
    assert shown(url) == url
