"""What a thousand periodic entries take of a core from a worker that has nothing else to do: with them and
without, in alternation.

    python bench/ticking.py [--engine sqlite|postgres] [--pairs N] [--entries N] [--seconds N]

Each entry is due once a day, at times of their own; what is counted is the processor time of the worker and
its children, from some seconds after it is ready.
"""

from __future__ import annotations

import argparse
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path

import psutil
from server import store_url

ROOT = Path(__file__).resolve().parent.parent
APP = """
import os
from sidework import Sidework
app = Sidework()
async def noop(n: int) -> int:
    return n
for n in range(int(os.environ["ENTRIES"])):
    noop = app.periodic(f"{n % 60} {n // 60 % 24} * * *", name=f"entry-{n}", args=(n,))(noop)
noop = app.task(noop)
"""


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--engine", choices=("sqlite", "postgres"), default="sqlite")
    parser.add_argument("--pairs", type=int, default=3)
    parser.add_argument("--entries", type=int, default=1_000)
    parser.add_argument("--seconds", type=float, default=20)
    given = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="sidework-ticking-"))
    (folder / "shop.py").write_text(APP)
    os.environ["PYTHONPATH"] = os.pathsep.join([str(ROOT / "src"), str(folder)])
    with ExitStack() as stack:
        os.environ["SIDEWORK_URL"] = store_url(given.engine, folder, stack)
        sys.path.insert(0, str(ROOT / "src"))
        from sidework.store.opening import open_store

        store = open_store(os.environ["SIDEWORK_URL"])
        store.migrate()
        store.close()
        shares: dict[int, list[float]] = {0: [], given.entries: []}
        for pair in range(given.pairs):
            for entries in sorted(shares, reverse=bool(pair % 2)):
                shares[entries].append(_share(entries, given.seconds))
            print({entries: f"{share[-1]:.2%}" for entries, share in shares.items()}, flush=True)
    more = [with_ - without for without, with_ in zip(*shares.values(), strict=True)]
    print(
        f"{given.engine}: of a core, an idle worker without entries takes "
        f"{statistics.median(shares[0]):.2%}, {given.entries} entries {statistics.median(more):+.2%} "
        f"({min(more):+.2%} to {max(more):+.2%}), {given.pairs} pairs of {given.seconds:g} s"
    )


def _share(entries: int, seconds: float) -> float:
    with ExitStack() as stack:
        worker = subprocess.Popen(
            [sys.executable, "-m", "sidework", "worker", "shop", "--children", "1"],
            env={**os.environ, "ENTRIES": str(entries)}, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
        stack.callback(worker.wait)
        stack.callback(worker.send_signal, signal.SIGTERM)
        assert worker.stderr is not None
        said = ""
        while "ready for" not in said:
            said = worker.stderr.readline()
            assert said, "the worker ended"
        time.sleep(5)  # what it does once: it is idle afterwards
        before, began = _spent(worker.pid), time.perf_counter()
        time.sleep(seconds)
        return (_spent(worker.pid) - before) / (time.perf_counter() - began)


def _spent(pid: int) -> float:
    worker = psutil.Process(pid)
    times = [one.cpu_times() for one in (worker, *worker.children(recursive=True))]
    return sum(each.user + each.system for each in times)


if __name__ == "__main__":
    main()
