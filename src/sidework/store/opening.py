"""From a URL to a store: the one place that names the engines."""

from __future__ import annotations

import contextlib
import os
import re
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING

from ..errors import StoreRefused
from ..extras import how_to_install
from ..url import shown

if TYPE_CHECKING:
    from .protocol import Store


_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*")
_KEYWORDS = re.compile(r"(^|\s)(host|hostaddr|port|dbname|user|password|service)\s*=")
_ALMOST = re.compile(r"postgres(ql)?:", re.IGNORECASE)


def absolute(url: str, folder: str) -> str:
    """The URL with a relative SQLite path anchored at ``folder``; others as they are."""
    path = file_path(url)
    return url if path is None else "sqlite:///" + os.path.abspath(os.path.join(folder, path))


def file_path(url: str) -> str | None:
    """The path of the file that a SQLite URL names (``sqlite:///shop.db`` or a bare path), else ``None``."""
    if not url:
        raise StoreRefused(
            "the URL of the store is empty: write a path, or postgresql://user@host/database"
        )
    if ":memory:" in url:
        raise StoreRefused(
            f"{shown(url)!r}: jobs in memory cannot be shared with a worker; name a file, in a temporary "
            "folder if it need not last"
        )
    if "://" not in url:
        # Shown it would be with its password, and as a path it would be a file of that name.
        if _KEYWORDS.search(url) or _ALMOST.match(url):
            raise StoreRefused(
                "the URL of the store is neither a URL nor a path: write "
                "postgresql://user:password@host:port/database"
            )
        return os.path.expanduser(url)
    scheme, _, rest = url.partition("://")
    if scheme != "sqlite":
        return None
    if rest[:1] != "/":
        raise StoreRefused(
            f"{shown(url)!r} names a host: write sqlite:///relative.db or sqlite:////absolute/path.db"
        )
    return os.path.expanduser(rest[1:])


def open_store(url: str, *, create: bool = True, durable: bool = True) -> Store:
    """The store at an absolute URL; ``create=False`` refuses to make a database that is not there.
    One that is not ``durable`` may lose what it acknowledged when the power fails: for users' tests."""
    return _engine(url)(create, durable)


def load_engine(url: str) -> None:
    """Import what ``open_store`` will need (0.05 to 0.3 s), on a thread beside whatever else is begun.
    What is wrong with the URL is said by who opens it."""

    def load() -> None:
        with contextlib.suppress(StoreRefused):
            _engine(url)

    threading.Thread(target=load, name="sidework-load", daemon=True).start()


def _engine(url: str) -> Callable[[bool, bool], Store]:
    path = file_path(url)
    if path is not None:
        from .sqlite.engine import SqliteStore

        return lambda create, durable: SqliteStore(path, create=create, durable=durable)
    scheme = url.partition("://")[0]
    if scheme not in ("postgresql", "postgres"):
        named = repr(scheme) if _SCHEME.fullmatch(scheme) else "such"
        raise StoreRefused(
            f"no engine for {named} URLs: use sqlite:///path/to/file.db, a path, or "
            "postgresql://user@host/database"
        )
    try:
        import psycopg as _  # noqa: F401 - asked for here, so that the answer is one line
    except ImportError:
        raise StoreRefused(
            f"PostgreSQL needs its driver, which is not installed: {how_to_install('postgres')}"
        ) from None
    from .postgres.engine import PostgresStore

    return lambda _create, _durable: PostgresStore(url)
