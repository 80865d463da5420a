"""Statements as each driver takes them, and SQLSTATEs as errors of ours. No server is needed."""

from __future__ import annotations

import pytest

from sidework.errors import (
    SchemaMismatch,
    StoreDamaged,
    StoreError,
    StoreMissing,
    StoreRefused,
    StoreUnavailable,
)
from sidework.store.postgres.sqlstate import error_of, one_line
from sidework.store.postgres.statement import Statement


def test_placeholders_are_rendered_for_each_kind_of_driver() -> None:
    statement = Statement("SELECT $2::text, $1::uuid[], $2::text, 7 % 4")
    assert statement.types == ("uuid[]", "text")
    assert statement.dollar == "SELECT $2::text, $1::uuid[], $2::text, 7 % 4"
    assert statement.percent == "SELECT %s::text, %s::uuid[], %s::text, 7 %% 4"
    assert statement.in_order(["a", "b"]) == ("b", "a", "b")


def test_values_in_order_stay_as_they_are() -> None:
    assert Statement("SELECT $1::text, $2::int").in_order(["a", 1]) == ("a", 1)


def test_json_is_sent_as_text() -> None:
    statement = Statement("SELECT $1::jsonb, $2::json[]")
    assert statement.types == ("jsonb", "json[]")
    assert statement.dollar == "SELECT $1::text::jsonb, $2::text[]::json[]"
    assert statement.percent == "SELECT %s::text::jsonb, %s::text[]::json[]"


def test_quoted_text_and_comments_are_no_placeholders() -> None:
    text = '''SELECT '$1 it''s', "a ""$2""", $1::int -- $3 isn't\n, 'x' '''
    statement = Statement(text)
    assert statement.dollar == text
    assert statement.percent == text.replace("$1::int", "%s::int")


def test_eleven_is_not_one() -> None:
    sql = "SELECT " + ", ".join(f"${n}::int" for n in range(1, 12))
    assert Statement(sql).percent == "SELECT " + ", ".join(["%s::int"] * 11)


@pytest.mark.parametrize(
    "sql", ["SELECT $1", "SELECT $1::int, $1::text", "SELECT $2::int", "SELECT $0::int"]
)
def test_a_placeholder_without_its_type_is_a_mistake(sql: str) -> None:
    with pytest.raises(ValueError, match=r"\$|gap"):
        Statement(sql)


@pytest.mark.parametrize(
    ("sqlstate", "kind", "words"),
    [
        ("08006", StoreUnavailable, "ask again"),
        ("22021", StoreError, "shop: it failed"),
        ("23505", StoreError, "shop: it failed"),
        ("25006", StoreRefused, "read-only"),
        ("25P02", StoreRefused, "aborted transaction: roll back first"),
        ("26000", StoreRefused, "pooler"),
        ("28000", StoreRefused, "login"),
        ("28P01", StoreRefused, "login"),
        ("3D000", StoreMissing, "create it"),
        ("3F000", StoreMissing, "sidework db migrate"),
        ("40001", StoreUnavailable, "try again"),
        ("40003", StoreUnavailable, "may be stored or not"),
        ("40P01", StoreUnavailable, "try again"),
        ("42501", StoreRefused, "no right"),
        ("42703", SchemaMismatch, "does not fit"),
        ("42P01", StoreMissing, "sidework db migrate"),
        ("42P10", SchemaMismatch, "does not fit"),
        ("53100", StoreUnavailable, "try again"),
        ("53300", StoreUnavailable, "try again"),
        ("55P03", StoreUnavailable, "try again"),
        ("57014", StoreUnavailable, "too long"),
        ("57P01", StoreUnavailable, "try again"),
        ("57P03", StoreUnavailable, "try again"),
        ("57P04", StoreMissing, "create it"),
        ("XX001", StoreDamaged, "backup"),
        ("XX000", StoreError, "shop: it failed"),
        (None, StoreUnavailable, "cannot be reached"),
    ],
)
def test_a_sqlstate_means(sqlstate: str | None, kind: type[StoreError], words: str) -> None:
    error = error_of(sqlstate, "it failed\nDETAIL: Failing row contains (secret)", "shop")
    assert type(error) is kind
    assert words in str(error)
    assert "\n" not in str(error)
    assert "DETAIL" not in str(error)


@pytest.mark.parametrize(
    ("message", "kind"),
    [
        ('FATAL:  password authentication failed for user "ann"', StoreRefused),
        ("fe_sendauth: no password supplied", StoreRefused),
        ('FATAL:  role "ann" does not exist', StoreRefused),
        ('FATAL:  role "ann" is not permitted to log in', StoreRefused),
        ('FATAL:  permission denied for database "shop"', StoreRefused),
        ('FATAL:  database "shop" does not exist', StoreMissing),
        ("FATAL:  sorry, too many clients already", StoreUnavailable),
        ("FATAL:  the database system is starting up", StoreUnavailable),
        ("Connection refused", StoreUnavailable),
    ],
)
def test_a_refused_connection_is_known_by_its_text(message: str, kind: type[StoreError]) -> None:
    text = f'connection failed: connection to server at "::1", port 5432 failed: {message}'
    error = error_of(None, text, "shop")
    assert type(error) is kind
    # A server's words stand alone; where none has answered, the address is told.
    assert ('"::1"' in str(error)) is not message.startswith("FATAL")
    assert "FATAL" not in str(error)
    assert "connection failed" not in str(error)


@pytest.mark.parametrize(
    "message",
    [
        "bad url postgresql://ann:hunter2@db/shop",
        "bad url postgresql://ann:hun@ter2@db/shop",
        "bad url postgresql://ann:hun ter2@db/shop",
        "bad url postgresql://:hunter2@db/shop?sslmode=x",
        "bad url postgresql://db/shop?user=ann&password=hunter2&x=y",
        "missing = in host=db password=hunter2 user=ann",
        "missing = in password = 'it''s hunter2 too",
        "missing = in PASSWORD='hun\\'hunter2' user=ann",
    ],
)
def test_no_password_is_told(message: str) -> None:
    line = one_line(message)
    assert "ter2" not in line
    assert line.startswith(message[:9])


def test_a_line_ends() -> None:
    assert len(one_line("x" * 10_000)) == 300
