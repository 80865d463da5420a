"""The layers hold: reads the imports of every file and fails when a layer reaches up.

Imports inside a function and under ``TYPE_CHECKING`` count like any other, except where a rule says
that it is about what happens when a module is loaded.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

import sidework

ROOT = Path(sidework.__file__).parent
FACES = frozenset({"client", "cli", "testing", "dashboard", "contrib"})
BELOW = frozenset({"words", "tasks", "store", "worker", "child"})
MAY_IMPORT: dict[str, frozenset[str]] = {
    "words": frozenset({"words"}),
    "tasks": frozenset({"words", "tasks"}),
    "store": frozenset({"words", "store"}),
    "worker": frozenset({"words", "store", "worker"}),
    "child": frozenset({"words", "tasks", "child"}),
    **{face: BELOW | {face} for face in FACES},
    "contrib": BELOW | {"contrib", "client"},
    "cli": BELOW | {"cli", "client", "contrib"},
    "testing": BELOW | {"testing", "client"},
}
EMBEDDED = "client/embedded.py"
PLUGIN = "testing/plugin.py"
ENGINES = frozenset({"sqlite", "postgres"})
KEPT_FROM_WORDS = frozenset(
    {
        "socket",
        "threading",
        "asyncio",
        "sqlite3",
        "apsw",
        "psycopg",
        "subprocess",
        "multiprocessing",
    }
)
ALLOWED_IN_WORDS = {("ids.py", "threading")}  # ids are made by several threads
CLOCK_READINGS = {
    "time": frozenset({"time", "time_ns"}),
    "datetime": frozenset({"now", "utcnow", "today"}),
    "date": frozenset({"today"}),
}


@dataclass(frozen=True)
class Import:
    """One module that a file imports; ``late``: not when the file itself is loaded."""

    module: str
    line: int
    late: bool


def imports_of(tree: ast.Module, path: str) -> Iterator[Import]:
    """Every import of the file at ``path`` (inside the package), relative ones made absolute."""
    package = ["sidework", *Path(path).parent.parts]

    def walk(node: ast.AST, late: bool) -> Iterator[Import]:
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.Import):
                for name in child.names:
                    yield Import(name.name, child.lineno, late)
            elif isinstance(child, ast.ImportFrom):
                up = package[: len(package) - child.level + 1] if child.level else []
                base = ".".join([*up, *([child.module] if child.module else [])])
                for name in child.names:
                    # `from sidework import Sidework` reaches the client, whatever the front door is.
                    behind = sidework._LATE.get(name.name) if base == "sidework" else None
                    yield Import(f"{base}.{behind or name.name}", child.lineno, late)
            elif isinstance(child, ast.If) and "TYPE_CHECKING" in ast.unparse(child.test):
                for part in child.body:
                    yield from walk(ast.Module([part], []), True)
                for part in child.orelse:
                    yield from walk(ast.Module([part], []), late)
            else:
                function = isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
                yield from walk(child, late or function)

    yield from walk(tree, False)


def place_of(module: str) -> tuple[str, str | None] | None:
    """The layer of a module of ours and its engine if it is in one; ``None`` for a foreign module."""
    parts = module.split(".")
    if parts[0] != "sidework":
        return None
    if len(parts) < 2 or parts[1] not in MAY_IMPORT or parts[1] == "words":
        return "words", None
    engine = parts[2] if len(parts) > 2 and parts[1] == "store" and parts[2] in ENGINES else None
    return parts[1], engine


def clock_readings(tree: ast.Module) -> Iterator[tuple[int, str]]:
    """Where the wall clock is read, under whatever name it was imported."""
    names: dict[str, str] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names.update({name.asname or name.name: name.name for name in node.names})
        elif isinstance(node, ast.ImportFrom) and node.module in CLOCK_READINGS:
            for name in node.names:
                if name.name in CLOCK_READINGS[node.module]:
                    yield node.lineno, f"{node.module}.{name.name}"
                names[name.asname or name.name] = name.name
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute):
            owner = ast.unparse(node.value)
            owner = names.get(owner, owner).rpartition(".")[2]
            if node.attr in CLOCK_READINGS.get(owner, ()):
                yield node.lineno, f"{owner}.{node.attr}"


def engine_names(tree: ast.Module) -> Iterator[tuple[int, str]]:
    """Where code names an engine or its driver: modules, names, attributes, parameters, and texts, other
    than docstrings, which a person may need it in."""
    told = {
        id(node.value)
        for node in ast.walk(tree)
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
    }
    for node in ast.walk(tree):
        named: list[str | None] = []
        if isinstance(node, ast.Import | ast.ImportFrom):
            named = [name.name for name in node.names] + [getattr(node, "module", None)]
        elif isinstance(node, ast.Name):
            named = [node.id]
        elif isinstance(node, ast.Attribute):
            named = [node.attr]
        elif isinstance(node, ast.arg):
            named = [node.arg]
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            named = [node.name]
        elif (
            isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in told
        ):
            named = [node.value]
        for name in named:
            if name and (found := _ENGINE.search(name)):
                yield node.lineno, found[0]


_ENGINE = re.compile(r"sqlite|apsw|postgres|psycopg|asyncpg", re.IGNORECASE)


def violations(path: str, source: str) -> list[str]:
    """What the file at ``path`` (inside the package) does that its layer may not."""
    tree = ast.parse(source)
    found = []
    own = place_of("sidework." + path.removesuffix(".py").replace("/", "."))
    assert own is not None
    layer, engine = own
    # The two front doors of the package lead to the faces, but only when asked.
    front_door = path in {"__init__.py", "__main__.py"}
    for each in imports_of(tree, path):
        where = f"{path}:{each.line}"
        target = place_of(each.module)
        if target is None:
            foreign = each.module.split(".")[0]
            kept = layer == "words" and foreign in KEPT_FROM_WORDS
            if kept and (path, foreign) not in ALLOWED_IN_WORDS:
                found.append(f"{where}: words may not import {foreign}")
            continue
        other, other_engine = target
        if front_door:
            if path == "__init__.py" and other != "words" and not each.late:
                found.append(f"{where}: the package may load {each.module} only when asked")
        elif other not in MAY_IMPORT[layer]:
            found.append(f"{where}: {layer} may not import {each.module}")
        elif other_engine and layer == "store" and engine not in {None, other_engine}:
            found.append(f"{where}: one engine may not import another ({each.module})")
        elif other_engine and layer == "store" and engine is None and not each.late:
            found.append(f"{where}: a shared module may load {each.module} only when asked")
        elif other_engine and layer == "worker":
            found.append(f"{where}: the worker may not import an engine ({each.module})")
        elif path == PLUGIN and not each.late:
            found.append(f"{where}: the plugin may load {each.module} only when asked")
        elif layer == "client" and path != EMBEDDED and not each.late and _heavy(each.module):
            found.append(f"{where}: the client may load {each.module} only when asked")
    if engine is None and path != "store/opening.py":
        found += [
            f"{path}:{line}: only the engines and store/opening.py name {what}"
            for line, what in engine_names(tree)
        ]
    if path != "clock.py":
        found += [
            f"{path}:{line}: only clock.py reads the clock ({what})"
            for line, what in clock_readings(tree)
        ]
    return found


def _heavy(module: str) -> bool:
    """What a program that only enqueues must not pay for."""
    return module.startswith(("sidework.worker", "sidework.child", "sidework.client.embedded"))


FILES = sorted(path.relative_to(ROOT).as_posix() for path in ROOT.rglob("*.py"))


def test_the_files_are_found() -> None:
    assert {"codec.py", "tasks/task.py", "store/sqlite/engine.py", "client/app.py"} <= set(FILES)


@pytest.mark.parametrize("path", FILES)
def test_no_layer_reaches_up(path: str) -> None:
    found = violations(path, (ROOT / path).read_text(encoding="utf-8"))
    assert not found, "\n".join(found)


@pytest.mark.parametrize(
    ("path", "source"),
    [
        ("job.py", "from .tasks.task import Task"),
        ("job.py", "from . import store"),
        ("job.py", "import sidework.client.app"),
        ("job.py", "def f():\n    from .worker import dispatcher"),
        ("job.py", "import threading"),
        ("codec.py", "from asyncio import sleep"),
        ("tasks/task.py", "from ..store.protocol import Store"),
        ("tasks/task.py", "from .. import Sidework"),
        ("store/combining.py", "from ..worker import dispatcher"),
        ("store/combining.py", "from .sqlite.engine import SqliteStore"),
        ("store/sqlite/engine.py", "from ...tasks import task"),
        ("store/sqlite/engine.py", "from ..postgres import engine"),
        ("store/postgres/engine.py", "from ..sqlite.rows import claimed"),
        ("worker/dispatcher.py", "from ..store.sqlite.engine import SqliteStore"),
        ("worker/dispatcher.py", "from ..store import sqlite"),
        ("worker/dispatcher.py", "from ..child.life import Life"),
        ("worker/dispatcher.py", "from sidework import current_job"),
        ("worker/dispatcher.py", "if TYPE_CHECKING:\n    from ..client.app import Sidework"),
        ("child/main.py", "from ..store.opening import open_store"),
        ("child/main.py", "def f():\n    import sidework.store"),
        ("client/app.py", "from ..worker.worker import Worker"),
        ("client/app.py", "from .embedded import EmbeddedWorker"),
        ("client/app.py", "from ..cli import main"),
        ("dashboard/pages.py", "from ..cli.main import main"),
        ("testing/sandbox.py", "from ..cli.main import main"),
        ("testing/plugin.py", "from .sandbox import Sandbox"),
        ("__init__.py", "from .client.app import Sidework"),
        ("retry.py", "import time\ntime.time()"),
        ("worker/lease.py", "import time as t\nt.time_ns()"),
        ("worker/lease.py", "from time import time"),
        ("store/combining.py", "from datetime import datetime\ndatetime.now()"),
        ("store/combining.py", "import datetime as dt\ndt.datetime.utcnow()"),
        ("cli/main.py", "from datetime import datetime as d\nf(default=d.now)"),
        ("cli/doctor.py", "def f():\n    import apsw"),
        ("cli/copying.py", "from ..store.opening import sqlite_path"),
        ("store/combining.py", "import psycopg"),
        ("client/app.py", "f(url.startswith('postgresql://'))"),
        ("worker/lease.py", "def on_postgres(): ..."),
    ],
)
def test_a_planted_violation_is_caught(path: str, source: str) -> None:
    assert violations(path, source)


@pytest.mark.parametrize(
    ("path", "source"),
    [
        ("ids.py", "import threading"),
        ("clock.py", "import time\ntime.time_ns()"),
        ("tasks/task.py", "from ..job import NewJob\nfrom .. import Discard"),
        ("store/opening.py", "def f():\n    from .sqlite.engine import SqliteStore"),
        ("store/sqlite/engine.py", "from ..combining import Combiner\nfrom . import rows"),
        ("worker/lease.py", "import time\ntime.monotonic()\nfrom ..store.protocol import Store"),
        ("client/app.py", "def f():\n    from .embedded import EmbeddedWorker"),
        ("client/embedded.py", "from ..worker.worker import Worker"),
        ("cli/main.py", "from ..client.app import Sidework\nfrom .. import Sidework"),
        ("testing/sandbox.py", "from ..client.app import Sidework\nfrom .. import Sidework"),
        (
            "__init__.py",
            "from .job import JobRow\nif TYPE_CHECKING:\n    from .client.app import A",
        ),
    ],
)
def test_what_is_allowed_is_not_flagged(path: str, source: str) -> None:
    assert violations(path, source) == []
