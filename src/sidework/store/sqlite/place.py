"""Where a database may lie: asked once, before the file is opened or made. Opens nothing of it."""

from __future__ import annotations

import os
import re

from ...errors import StoreRefused

# File systems whose locks or shared memory do not hold between machines (sqlite.org/wal.html: all
# processes must be on one host), by the type names of mountinfo.
# fmt: off
NETWORK_TYPES = frozenset({
    "nfs", "nfs4", "cifs", "smb2", "smb3", "smbfs", "9p", "afs", "coda", "ceph", "beegfs", "gpfs",
    "glusterfs", "lustre", "ncpfs", "ocfs2", "gfs2", "fuse.sshfs", "fuse.s3fs", "fuse.rclone",
    "fuse.glusterfs", "fuse.ceph-fuse", "fuse.gcsfuse",
})
# fmt: on


def check_place(path: str, mountinfo: str | None = None) -> None:
    """Raise ``StoreRefused`` when a database cannot lie at the absolute ``path``.

    ``mountinfo`` is the text of ``/proc/self/mountinfo``, read when not given; where there is no
    such file, the file system is not checked.
    """
    real = os.path.realpath(path)
    mount, kind = _mount_of(real, _read_mountinfo() if mountinfo is None else mountinfo)
    if kind in NETWORK_TYPES:
        raise StoreRefused(
            f"{path} lies on a network file system ({kind}, mounted at {mount}): SQLite's locks do "
            "not hold there; put the file on a local disk or use PostgreSQL"
        )
    folder = os.path.dirname(real)
    if not os.path.isdir(folder):
        raise StoreRefused(
            f"there is no folder {folder} for the database {path}; make it or name another place"
        )
    if not os.access(folder, os.R_OK | os.W_OK | os.X_OK):
        raise StoreRefused(
            f"the folder {folder} of the database {path} is not writable: SQLite keeps further "
            "files beside it; change its permissions or name another place"
        )


def _read_mountinfo() -> str:
    try:
        with open("/proc/self/mountinfo", encoding="utf-8", errors="surrogateescape") as file:
            return file.read()
    except OSError:
        return ""


def _mount_of(path: str, mountinfo: str) -> tuple[str, str]:
    """The mount point that ``path`` lies under and its type; ("", "") when there is none."""
    found, kind = "", ""
    for line in mountinfo.split("\n"):
        # "36 35 98:0 /root /mount\040point rw,noatime master:1 - ext4 /dev/sda1 rw": any number of
        # fields stands before the dash (proc_pid_mountinfo(5)).
        left, _, right = line.partition(" - ")
        fields, types = left.split(" "), right.split(" ")
        if len(fields) < 6 or not types[0]:
            continue
        mount = re.sub(r"\\([0-7]{3})", lambda octal: chr(int(octal[1], 8)), fields[4])
        inside = path == mount or path.startswith(mount.rstrip("/") + "/")
        # >=: of two mounts on one point the later covers the earlier.
        if inside and len(mount) >= len(found):
            found, kind = mount, types[0]
    return found, kind
