"""``python -m sidework.child FD PARENT KIND CONCURRENCY THREADS LOG_LEVEL LOG_FORMAT APP...``: how a
worker starts a child."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import sys

from .. import logs
from ..errors import SideworkError
from ..outcome import clean
from ..tasks.context import get_current
from ..tasks.finding import find_apps
from ..wire import ImportFailed, Warn
from .child import Child
from .life import die_with_parent
from .link import Link
from .solo import Solo

_OURS = (signal.SIGINT, signal.SIGTERM)
"""Signals to a child that its worker, and only its worker, acts on."""


def main(
    descriptor: str,
    parent: str,
    kind: str,
    concurrency: str,
    threads: str,
    log_level: str,
    log_format: logs.LogFormat,
    *specs: str,
) -> int:
    """Import the app, then serve the worker at the other end of the socket."""
    die_with_parent(int(parent))
    # The worker decides when a child ends, whoever signals the whole group. A handler that does
    # nothing, not SIG_IGN: programs that a job starts would inherit that and never hear SIGTERM.
    for number in _OURS:
        signal.signal(number, lambda *_: None)
    # Before the app's own words on logging, which win: what jobs log is seen as the worker's is.
    logs.configure(int(log_level), log_format, of_jobs=True)
    logs.mark(get_current)
    link = Link(socket.socket(fileno=int(descriptor)))
    # What a job forks is no child of the worker: it must not hold the pipe open when this process
    # is dead, and it listens to signals again.
    os.set_inheritable(int(descriptor), False)
    os.register_at_fork(
        # Held back over the fork: a signal sent at once must not meet the handler that does nothing.
        before=lambda: _hold_signals(signal.SIG_BLOCK),
        after_in_parent=lambda: _hold_signals(signal.SIG_UNBLOCK),
        after_in_child=lambda: _forked(link),
    )
    try:
        app = find_apps(specs)
        app.declares()  # what cannot be stored is told here
    except SideworkError as error:
        link.send(ImportFailed(clean(str(error), 2_000)))
        return 1
    if kind == "solo":
        Solo(app, link).serve()
    else:
        _serve(Child(app, link, int(concurrency), int(threads), own_process=True), link)
    return 0


def _serve(child: Child, link: Link) -> None:
    with asyncio.Runner() as runner:
        try:
            runner.run(child.serve())
        except BaseException as error:  # noqa: BLE001 - sys.exit, a stopped loop, all tasks cancelled
            # Leaving the block would now cancel every coroutine, as if each had failed by itself.
            # Ended at once, they have crashed, which is what happened, and run again.
            link.send(Warn(f"a job ended the event loop of this child: {clean(repr(error), 300)}"))
            os._exit(1)


def _forked(link: Link) -> None:
    link.close()
    for number in _OURS:
        signal.signal(number, signal.SIG_DFL)
    _hold_signals(signal.SIG_UNBLOCK)


def _hold_signals(how: int) -> None:
    signal.pthread_sigmask(how, _OURS)


if __name__ == "__main__":
    raise SystemExit(main(*sys.argv[1:]))  # type: ignore[arg-type]  # a worker gives them
