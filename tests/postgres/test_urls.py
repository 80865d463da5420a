"""URLs of a store as people write them: taken, or refused in one line that holds no part of a password."""

from __future__ import annotations

import traceback
from collections.abc import Callable

import pytest

from sidework.errors import StoreRefused, StoreUnavailable
from sidework.store.opening import open_store
from sidework.store.postgres.place import place_of, secrets_of

ESCAPE = "%2F %23 %25 %40"
FORM = "postgresql://user:password@host:port/database"


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("postgresql://u:pa/hunter2@host/db", ESCAPE),
        ("postgresql://u:12/hunter2@host/db", ESCAPE),
        ("postgresql://u:pa?hunter2@host/db", ESCAPE),
        ("postgresql://u:pa#hunter2@host/db", ESCAPE),
        ("postgresql://u:pa@hunter2@host/db", ESCAPE),
        ("postgresql://u:100%hunter2@host/db", ESCAPE),
        ("postgresql://u@h/db?password=hunter2&foo=1", ESCAPE),
        ("postgresql://u:a hunter2@h/db", ESCAPE),
        ("postgresql://u:hunter2@h:x/db", ESCAPE),
        (
            "postgresql://h/db?lease=1s&password=hunter2",
            "URL of the store: lease=1s: expected at least 4s",
        ),
        ("postgresql://u:hunter2@h/db?lease=soon", "lease"),
        ("postgresql://u:hunter2@h/db?connect_timeout=hi", "whole seconds"),
        ('postgresql://u:hunter2@h/db?schema=a"b', "without quotes"),
        ("postgresql://u:hunter2@h/db?schema=", "1 to 63 bytes"),
        (f"postgresql://u:hunter2@h/db?schema={'ü' * 32}", "1 to 63 bytes"),
        ("host=db password=hunter2", FORM),
        ("password = 'a hunter2' host=x", FORM),
        ("dbname=shop password=x://hunter2", "no engine for such URLs"),
        ("postgres:/u:hunter2@h/d", FORM),
        ("POSTGRES:u:hunter2@h", FORM),
        ("postgresql+psycopg://u:hunter2@h/d", "no engine for 'postgresql+psycopg'"),
        ("my sql://u:hunter2@h", "no engine for such URLs"),
        ("postgresql://h/db?foo=bar", 'parameter: "foo"'),
        ("postgresql://h:x/db", "the port is no number"),
        ("postgresql://[h/db", "IPv6"),
    ],
)
def test_a_url_that_cannot_be_meant_is_refused(url: str, words: str) -> None:
    with pytest.raises(StoreRefused) as told:
        open_store(url, create=False)
    text = str(told.value)
    assert words in text
    assert "hunter2" not in text
    assert "\n" not in text


@pytest.mark.parametrize(
    ("url", "conninfo", "shown"),
    [
        ("postgresql:///db?host=/run/pg", "postgresql:///db?", "postgresql:///db?host=/run/pg"),
        ("postgres://u:hunter%2F2@h/db", "postgresql://u:hunter%2F2@h/db?", "postgres://u@h/db"),
        ("postgresql://a:1,b:2/db", "postgresql://a:1,b:2/db?", "postgresql://a:1,b:2/db"),
        ("postgresql://[::1]:5432/", "postgresql://[::1]:5432/?", "postgresql://[::1]:5432/"),
        ("postgresql://u:ühunter2@h", "postgresql://u:ühunter2@h?", "postgresql://u@h"),
    ],
)
def test_a_url_goes_to_libpq_as_it_is(url: str, conninfo: str, shown: str) -> None:
    place = place_of(url)
    assert place.conninfo.startswith(conninfo)
    assert place.shown == shown


def test_what_the_url_says_of_waiting_counts() -> None:
    assert "connect_timeout=5" in place_of("postgresql://h/db").conninfo
    assert "connect_timeout=2" in place_of("postgresql://h/db?connect_timeout=2").conninfo


def test_a_schema_is_a_parameter_of_ours() -> None:
    place = place_of("postgresql://h/db?schema=sidework.jobs%25%20%C3%BC&lease=20s&sslmode=disable")
    assert (place.schema, place.lease) == ("sidework.jobs% ü", 20.0)
    assert "schema" not in place.conninfo
    assert "sslmode=disable" in place.conninfo


def test_every_form_of_a_password_is_known() -> None:
    url = "postgresql://u:hun%2Fter2@h/db?password=other&sslpassword=third"
    assert set(secrets_of(url)) == {"hun%2Fter2", "hun/ter2", "other", "third"}


def test_a_report_of_an_error_with_all_variables_holds_no_password() -> None:
    """As trackers of errors make it: every frame's local variables, of the error and what it came from."""
    store = open_store("postgresql://u:hunter2@127.0.0.1:1/db?connect_timeout=2", create=False)
    asks: list[Callable[[], object]] = [
        store.workers,
        store.queues,
        lambda: store.transaction().__enter__(),
    ]
    for ask in asks:
        with pytest.raises(StoreUnavailable) as told:
            ask()
        reported = traceback.TracebackException.from_exception(told.value, capture_locals=True)
        report = "".join(reported.format())
        assert "refused" in report
        assert "hunter2" not in report
    store.close()
