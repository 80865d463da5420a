"""PgBouncer before a server, in transaction mode unless told otherwise: one pool, many clients.

The program is the system's, or the one that ``scripts/test`` fetches into ``.cache/pgbouncer``.
"""

from __future__ import annotations

import os
import shutil
import socket
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

import psycopg

from .account import account
from .endpoint import Endpoint
from .home import Home
from .running import Running
from .waiting import until

CACHE = Path(__file__).parents[2] / ".cache" / "pgbouncer"
CONSOLE = "pgbouncer"
"""The name of the database that is PgBouncer itself."""


def program() -> Path | None:
    for known in (shutil.which("pgbouncer"), "/usr/sbin/pgbouncer", CACHE / "pgbouncer"):
        if known is not None and os.access(known, os.X_OK):
            return Path(known)
    return None


def why_not() -> str | None:
    """Why there is no PgBouncer, for a skipped test; ``None`` if there is one."""
    if program() is not None:
        return None
    told = CACHE / "why-not"
    return told.read_text().strip() if told.exists() else "no pgbouncer here: run ./scripts/test"


def _libraries() -> str:
    """Where the unpacked packages have libraries, before those of the system's loader."""
    unpacked = sorted({str(path.parent) for path in (CACHE / "unpacked").rglob("*.so.*")})
    return ":".join([*unpacked, *filter(None, [os.environ.get("LD_LIBRARY_PATH")])])


class PgBouncer:
    """For ``with``. ``settings`` go to its ``[pgbouncer]`` section."""

    def __init__(
        self,
        server: Running,
        *,
        pool_mode: str = "transaction",
        pool_size: int = 5,
        settings: Mapping[str, str] | None = None,
    ) -> None:
        self.home = Home()
        account().give(self.home.path)
        self.endpoint = Endpoint(str(self.home.path), 6432)
        self.log = self.home.path / "log"
        behind = server.endpoint
        given = {
            "unix_socket_dir": str(self.home.path),
            "listen_addr": "",
            "listen_port": str(self.endpoint.port),
            "auth_type": "any",
            "pool_mode": pool_mode,
            "default_pool_size": str(pool_size),
            "max_client_conn": "200",
            "ignore_startup_parameters": "extra_float_digits",
            **(settings or {}),
        }
        password = f" password={behind.password}" if behind.password else ""
        lines = [
            "[databases]",
            f"* = host={behind.host} port={behind.port} user={behind.user}{password}",
            "[pgbouncer]",
            *(f"{name} = {value}" for name, value in given.items()),
        ]
        self.settings = self.home.path / "pgbouncer.ini"
        self.settings.write_text("\n".join(lines) + "\n")

    def __enter__(self) -> PgBouncer:
        found = program()
        assert found is not None, why_not()
        self.process = self.home.start(
            [*account().prefix, str(found), str(self.settings)],
            self.log,
            env={"LD_LIBRARY_PATH": _libraries()} if found.is_relative_to(CACHE) else None,
        )

        def ready() -> bool:
            if self.process.poll() is not None:
                raise RuntimeError(f"PgBouncer did not start:\n{self.log.read_text()[-2000:]}")
            with socket.socket(socket.AF_UNIX) as caller:
                return (
                    caller.connect_ex(self.endpoint.path) == 0
                )  # the file is there before it listens

        until(ready, "PgBouncer")
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.home.close()
        self.process.wait()

    def url(self, database: str, **parameters: str) -> str:
        return self.endpoint.url(database, **parameters)

    def console(self, command: str) -> list[dict[str, Any]]:
        """``SHOW POOLS``, ``PAUSE``, ``KILL db``, …; it takes no extended protocol."""
        with psycopg.connect(
            self.url(CONSOLE), autocommit=True, cursor_factory=psycopg.ClientCursor
        ) as connection:
            cursor = connection.cursor(row_factory=psycopg.rows.dict_row)
            cursor.execute(command)
            return cursor.fetchall() if cursor.description else []
