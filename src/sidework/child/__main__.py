"""``python -m sidework.child FD PARENT KIND CONCURRENCY THREADS LOG_LEVEL APP...``: how a worker
starts a child."""

from __future__ import annotations

import asyncio
import logging
import signal
import socket
import sys

from ..errors import SideworkError
from ..tasks.finding import find_apps
from ..wire import LOG_FORMAT, ImportFailed
from .child import Child
from .life import die_with_parent
from .link import Link
from .solo import Solo


def main(
    descriptor: str,
    parent: str,
    kind: str,
    concurrency: str,
    threads: str,
    log_level: str,
    *specs: str,
) -> int:
    """Import the app, then serve the worker at the other end of the socket."""
    die_with_parent(int(parent))
    # The worker decides when a child ends, whoever signals the whole group. A handler that does
    # nothing, not SIG_IGN: programs that a job starts would inherit that and never hear SIGTERM.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: None)
    # Before the app's own words on logging, which win: what jobs log is seen as the worker's is.
    logging.basicConfig(level=int(log_level), format=LOG_FORMAT)
    link = Link(socket.socket(fileno=int(descriptor)))
    try:
        app = find_apps(specs)
    except SideworkError as error:
        link.send(ImportFailed(str(error)))
        return 1
    if kind == "solo":
        Solo(app, link).serve()
    else:
        asyncio.run(Child(app, link, int(concurrency), int(threads), own_process=True).serve())
    return 0


if __name__ == "__main__":
    raise SystemExit(main(*sys.argv[1:]))
