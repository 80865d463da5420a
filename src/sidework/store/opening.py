"""From a URL to a store: the one place that names the engines."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from ..errors import StoreRefused

if TYPE_CHECKING:
    from .protocol import Store


def absolute(url: str, folder: str) -> str:
    """The URL with a relative SQLite path anchored at ``folder``; others as they are."""
    path = sqlite_path(url)
    return url if path is None else "sqlite:///" + os.path.abspath(os.path.join(folder, path))


def sqlite_path(url: str) -> str | None:
    """The path that a SQLite URL names (``sqlite:///shop.db`` or a bare path), else ``None``."""
    if ":memory:" in url:
        raise StoreRefused(
            f"{url!r}: jobs in memory cannot be shared with a worker; name a file, in a temporary "
            "folder if it need not last"
        )
    if "://" not in url:
        return os.path.expanduser(url)
    scheme, _, rest = url.partition("://")
    if scheme != "sqlite":
        return None
    if rest[:1] != "/":
        raise StoreRefused(
            f"{url!r} names a host: write sqlite:///relative.db or sqlite:////absolute/path.db"
        )
    return os.path.expanduser(rest[1:])


def open_store(url: str, *, create: bool = True) -> Store:
    """The store at an absolute URL; ``create=False`` refuses to make a database that is not there."""
    path = sqlite_path(url)
    if path is not None:
        from .sqlite.engine import SqliteStore

        return SqliteStore(path, create=create)
    scheme = url.partition("://")[0]
    if scheme not in ("postgresql", "postgres"):
        raise StoreRefused(
            f"no engine for {scheme!r} URLs: use sqlite:///path/to/file.db, a path, or "
            "postgresql://user@host/database"
        )
    try:
        import psycopg as _  # noqa: F401 - asked for here, so that the answer is one line
    except ImportError:
        raise StoreRefused(
            "PostgreSQL needs its driver, which is not installed: pip install 'sidework[postgres]'"
        ) from None
    from .postgres.engine import PostgresStore

    return PostgresStore(url)
