"""A PostgreSQL of the tests' own, on a Unix socket in a temporary folder."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

BINARIES = Path("/usr/lib/postgresql/15/bin")
INITDB = ("-A", "trust", "-E", "UTF8", "--locale=C.UTF-8", "--no-sync")


class Server:
    """Where it listens; ``sql`` runs a statement as its superuser, in a transaction of its own."""

    def __init__(self, folder: Path) -> None:
        self.host = str(folder)
        self.port = 5432
        self.user = "postgres"
        self.database = "postgres"

    @property
    def conninfo(self) -> str:
        return f"host={self.host} port={self.port} user={self.user} dbname={self.database}"

    def url(self, scheme: str) -> str:
        return f"{scheme}://{self.user}@/{self.database}?host={self.host}&port={self.port}"

    def sql(self, text: str) -> list[tuple[object, ...]]:
        with psycopg.connect(self.conninfo, autocommit=True) as connection:
            cursor = connection.execute(text)  # type: ignore[call-overload]
            return cursor.fetchall() if cursor.description else []


@pytest.fixture(scope="session")
def server() -> Iterator[Server]:
    if not BINARIES.exists():
        pytest.skip("there is no PostgreSQL here")
    folder = Path(tempfile.mkdtemp(prefix="sw-"))
    # The server refuses to run as root: in a user namespace it is nobody, and the files are its own.
    as_nobody = ["unshare", "-U", "--map-user=65534", "--map-group=65534"]
    before = as_nobody if os.geteuid() == 0 else []
    data = str(folder / "data")
    try:
        subprocess.run(
            [*before, BINARIES / "initdb", "-D", data, "-U", "postgres", *INITDB],
            check=True,
            stdout=subprocess.DEVNULL,
        )
        control = [*before, BINARIES / "pg_ctl", "-D", data, "-w"]
        options = f"-c listen_addresses='' -c unix_socket_directories='{folder}' -c fsync=off"
        subprocess.run(
            [*control, "-l", str(folder / "log"), "-o", options, "start"],
            check=True,
            stdout=subprocess.DEVNULL,
        )
        try:
            yield Server(folder)
        finally:
            subprocess.run(
                [*control, "-m", "immediate", "stop"], check=True, stdout=subprocess.DEVNULL
            )
    finally:
        shutil.rmtree(folder)
