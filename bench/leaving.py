"""The figures of docs/leaving-sqlite.md: many writers, many kept jobs, on both engines.

    python bench/leaving.py [--seconds S] [--kept N ...] [--page]

``--page`` measures nothing and writes the page anew.

Writes bench/leaving.json, docs/leaving-sqlite.svg and, from bench/leaving.md, docs/leaving-sqlite.md.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from run import DOCS, HERE, machine, number

KEPT = HERE / "leaving.json"
WRITERS = (1, 2, 4, 8, 16)
WRITER = """
import json, sys, time
sys.path.insert(0, sys.argv[1])
import work
work.noop.enqueue(0)
print("ready", flush=True)
sys.stdin.readline()
took, end = [], time.perf_counter() + float(sys.argv[2])
while (began := time.perf_counter()) < end:
    work.noop.enqueue(1)
    took.append(time.perf_counter() - began)
print(json.dumps(took))
"""
STEP = 10_000
"""Jobs that a prune is given in this measure."""


def new_app(url: str) -> Any:
    from sidework import Sidework

    os.environ["SIDEWORK_URL"] = url
    app = Sidework(url)
    app.store.migrate()
    return app


def writers(url: str, count: int, seconds: float, work: bool) -> dict[str, float]:
    """So many processes that enqueue one by one, as fast as they can; ``work``: beside a worker."""
    app = new_app(url)
    env = {**os.environ, "SIDEWORK_URL": url}
    worker = None
    if work:
        worker = subprocess.Popen(
            [sys.executable, "-m", "sidework", "worker", str(HERE / "work.py"), "--children", "1"],
            env=env, stderr=subprocess.DEVNULL,
        )  # fmt: skip
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", WRITER, str(HERE), str(seconds)],
            env=env, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )
        for _ in range(count)
    ]  # fmt: skip
    for process in processes:
        assert process.stdout is not None
        process.stdout.readline()
    done = completed(app)
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()
    took = sorted(one for process in processes for one in json.loads(process.communicate()[0]))
    done = completed(app) - done
    if worker is not None:
        worker.send_signal(signal.SIGTERM)
        worker.wait()
    app.close()
    return {
        "stored": len(took) / seconds,
        "done": done / seconds,
        "p50": took[len(took) // 2] * 1000,
        "p99": took[int(len(took) * 0.99)] * 1000,
    }


def completed(app: Any) -> int:
    return sum(dict(queue.counts).get("completed", 0) for queue in app.store.queues())


COLUMNS = (
    "id, task, lane, state, runner, priority, due_at, attempt, max_attempts, fence, inserted_at, "
    "started_at, finished_at, on_crash, tags, args, result"
)
VALUES = (
    "'work:noop', 'default', 'completed', 'loop', 0, {at}, 1, 1, 1, {at}, {at}, {at} + 5, "
    "'rescue', '[]', {args}, {result}"
)


def fill(app: Any, low: int, high: int) -> None:
    """Completed jobs, as workers would have left them, a thousand in each second up to now."""
    base = int(time.time() * 1000) - 3_600_000
    at = f"({base} + n / 10)"
    if app.store.url.startswith("postgres"):
        values = VALUES.format(at=at, args=r"'\x017b226e223a317d'", result=r"'\x0131'")
        sql = (
            f"INSERT INTO sidework.jobs ({COLUMNS}) SELECT (lpad(to_hex({at}), 12, '0') || '7000' || "
            f"lpad(to_hex(n), 16, '0'))::uuid, {values} FROM generate_series({low}, {high - 1}) AS s(n)"
        )
        import psycopg

        with psycopg.connect(app.store.url, autocommit=True) as connection:
            connection.execute(sql.encode())
    else:
        values = VALUES.format(at=at, args="x'017b226e223a317d'", result="x'0131'")
        sql = (
            f"WITH RECURSIVE s(n) AS (SELECT {low} UNION ALL SELECT n + 1 FROM s WHERE n < {high - 1}) "
            f"INSERT INTO jobs ({COLUMNS}) SELECT unhex(printf('%012x7000%016x', {at}, n)), {values} FROM s"
        )
        app.store._session.write(lambda connection: connection.execute(sql))


def kept(
    url: str, counts: list[int], folder: Path, dump: str | None
) -> dict[str, dict[str, float]]:
    """What an operator waits for, with so many completed jobs kept. ``dump``: the server's pg_dump."""
    from sidework.store.protocol import RETENTION

    app, there = new_app(url), 0
    told: dict[str, dict[str, float]] = {}
    for count in counts:
        for low in range(there, count, 100_000):
            fill(app, low, min(low + 100_000, count))
        there = count
        copy = folder / "copy"
        retention = {**RETENTION, "completed_age": 10**12, "completed_count": count - STEP}
        steps: list[tuple[str, Callable[[], Any]]] = [
            ("queues list, s", app.store.queues),
            (f"prune of {STEP:,}, s", lambda r=retention: app.store.prune(r, STEP)),
            ("vacuum, s", app.store.vacuum),
        ]
        if dump is None:
            steps.append(("backup, s", lambda to=copy: app.store.backup(str(to))))
        else:
            command = [dump, "-Fc", "-n", "sidework", "-f", str(copy), "-d", url]
            steps.append(("backup, s", lambda c=command: subprocess.run(c, check=True)))
        row: dict[str, float] = {}
        for name, step in steps:
            began = time.perf_counter()
            step()
            row[name] = time.perf_counter() - began
        row["size, MB"] = app.store.info()["file_bytes"] / 1e6
        fill(app, 10**9 + count, 10**9 + count + STEP)  # as many as before
        copy.unlink(missing_ok=True)
        told[str(count)] = row
        print(count, {name: round(value, 3) for name, value in row.items()}, flush=True)
    app.close()
    return told


def measure(seconds: float, counts: list[int]) -> dict[str, Any]:
    from server import databases

    told: dict[str, Any] = {"made": f"{datetime.now(UTC):%Y-%m-%d}", "machine": machine()}
    curves: dict[str, dict[str, dict[str, float]]] = {}
    with ExitStack() as stack:
        served = stack.enter_context(databases())
        told["server"] = served.version
        folder = Path(tempfile.mkdtemp(prefix="sidework-leaving-"))
        stack.callback(shutil.rmtree, folder, ignore_errors=True)
        for count in WRITERS:
            for work in (False, True):
                name = "with a worker" if work else "writers alone"
                # Side by side, since the machine's pace changes by the minute.
                found = {
                    "SQLite": writers(str(folder / f"{count}-{work}.db"), count, seconds, work)
                }
                with served.fresh() as url:
                    found["PostgreSQL"] = writers(url, count, seconds, work)
                for engine, row in found.items():
                    curves.setdefault(f"{engine}, {name}", {})[str(count)] = row
                    print(count, engine, name, {k: round(v, 1) for k, v in row.items()}, flush=True)
        told["writers"] = curves
        told["kept"] = {"SQLite": kept(str(folder / "kept.db"), counts, folder, None)}
        for path in folder.glob("*.db*"):
            if path.is_file():
                path.unlink()
        with served.fresh() as url:
            dump = served.server.binaries["pg_dump"]
            told["kept"]["PostgreSQL"] = kept(url, counts, folder, dump)
    return told


# The page -----------------------------------------------------------------------------------------


def writers_table(told: dict[str, Any]) -> str:
    curves = told["writers"]
    lines = [
        "| writers | SQLite: stored/s | p99, ms | PostgreSQL: stored/s | p99, ms "
        "| SQLite beside a worker: stored/s, done/s | p99, ms "
        "| PostgreSQL beside a worker: stored/s, done/s | p99, ms |",
        "|---|---|---|---|---|---|---|---|---|",
    ]  # fmt: skip
    for count in map(str, WRITERS):
        cells = [count]
        for name in ("writers alone", "with a worker"):
            for engine in ("SQLite", "PostgreSQL"):
                row = curves[f"{engine}, {name}"][count]
                rate = number(row["stored"])
                if name == "with a worker":
                    rate += ", " + number(row["done"])
                cells += [rate, number(row["p99"])]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def kept_table(told: dict[str, Any]) -> str:
    names = list(next(iter(told["kept"]["SQLite"].values())))
    lines = ["| kept jobs | engine | " + " | ".join(names) + " |", "|---" * (len(names) + 2) + "|"]
    for count in told["kept"]["SQLite"]:
        for engine, rows in told["kept"].items():
            cells = " | ".join(number(rows[count][name]) for name in names)
            lines.append(f"| {int(count):,} | {engine} | {cells} |")
    return "\n".join(lines)


def drawing(told: dict[str, Any]) -> str:
    """Two panels: jobs stored a second, and the p99 of an enqueue, over the number of writers."""
    colours = {"SQLite": "#2f6fb5", "PostgreSQL": "#c2571a"}
    panels = [("jobs stored a second", "stored"), ("p99 of an enqueue, ms", "p99")]
    wide, high, left, top = 330, 190, 62, 34
    parts = [
        '<svg xmlns="http://www.w3.org/2000/svg" width="800" height="290" viewBox="0 0 800 290" '
        'font-family="sans-serif" font-size="12" fill="#444">',
        '<rect width="800" height="290" fill="white"/>',
    ]
    for panel, (title, key) in enumerate(panels):
        x0 = left + panel * (wide + 74)
        rows = {engine: told["writers"][f"{engine}, writers alone"] for engine in colours}
        most = max(row[key] for curve in rows.values() for row in curve.values()) * 1.08
        parts.append(f'<text x="{x0}" y="{top - 14}" font-weight="bold">{title}</text>')
        for tick in range(5):
            y = top + high - high * tick / 4
            parts.append(f'<path d="M{x0} {y:.1f}h{wide}" stroke="#ddd"/>')
            parts.append(
                f'<text x="{x0 - 6}" y="{y + 4:.1f}" text-anchor="end">{number(most * tick / 4)}</text>'
            )
        for at, count in enumerate(WRITERS):
            x = x0 + wide * at / (len(WRITERS) - 1)
            parts.append(
                f'<text x="{x:.1f}" y="{top + high + 18}" text-anchor="middle">{count}</text>'
            )
        parts.append(
            f'<text x="{x0 + wide / 2}" y="{top + high + 38}" text-anchor="middle">writer processes</text>'
        )
        for line, (engine, colour) in enumerate(colours.items()):
            points = []
            for at, count in enumerate(WRITERS):
                x = x0 + wide * at / (len(WRITERS) - 1)
                y = top + high - high * rows[engine][str(count)][key] / most
                points.append(f"{x:.1f},{y:.1f}")
                parts.append(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3.5" fill="{colour}"/>')
            parts.append(
                f'<polyline points="{" ".join(points)}" fill="none" stroke="{colour}" stroke-width="2"/>'
            )
            parts.append(
                f'<text x="{x0 + 12 + 90 * line}" y="{top + high + 38}" fill="{colour}">{engine}</text>'
                if panel == 0
                else ""
            )
    return "\n".join([*filter(None, parts), "</svg>", ""])


def page(told: dict[str, Any]) -> None:
    (DOCS / "leaving-sqlite.svg").write_text(drawing(told), "utf-8")
    text = (HERE / "leaving.md").read_text("utf-8")
    made = f"{told['made']}, {told['machine']}, PostgreSQL {told['server']} on the same cores"
    for name, value in (
        ("made", made), ("writers", writers_table(told)), ("kept", kept_table(told)),
    ):  # fmt: skip
        text = text.replace("{{" + name + "}}", value)
    (DOCS / "leaving-sqlite.md").write_text(text, "utf-8")


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--seconds", type=float, default=4.0)
    parser.add_argument("--kept", type=int, nargs="*", default=[100_000, 1_000_000, 5_000_000])
    parser.add_argument(
        "--page", action="store_true", help="only write the page from bench/leaving.json"
    )
    given = parser.parse_args()
    if given.page:
        told = json.loads(KEPT.read_text())
    else:
        told = measure(given.seconds, given.kept)
        KEPT.write_text(json.dumps(told, indent=1) + "\n")
    page(told)


if __name__ == "__main__":
    main()
