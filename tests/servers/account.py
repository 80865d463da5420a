"""Under which account a server runs: PostgreSQL and PgBouncer refuse to be root."""

from __future__ import annotations

import functools
import os
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

NOBODY = 65534


@dataclass(frozen=True)
class Account:
    """``prefix`` goes before a command; ``owner``, if any, must own the folders it writes to."""

    prefix: tuple[str, ...] = ()
    owner: int | None = None

    def give(self, folder: Path) -> None:
        if self.owner is not None:
            os.chown(folder, self.owner, self.owner)


@functools.cache
def account() -> Account:
    """Ours; as root, root under another name in a user namespace, so that its folders stay readable
    wherever they are; where that is not allowed (in many containers), really another user."""
    if os.geteuid() != 0:
        return Account()
    spaces = ("unshare", "-U", f"--map-user={NOBODY}", f"--map-group={NOBODY}")
    if (
        shutil.which("unshare")
        and not subprocess.run([*spaces, "true"], capture_output=True).returncode
    ):
        return Account(spaces)
    user = ("setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups")
    if (
        shutil.which("setpriv")
        and not subprocess.run([*user, "true"], capture_output=True).returncode
    ):
        return Account(user, NOBODY)
    raise PermissionError("a server cannot run as root here: start the tests as another user")
