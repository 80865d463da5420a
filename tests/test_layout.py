"""Files are small, and the engines lie beside each other: the same files, the same verbs in the protocol's
order, and same-named statements that differ for a reason.

What only one has is listed here with its reason; a statement of another shape says "Unlike on SQLite" in
its own comment. So a diff of the two folders reads as the list of their differences.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

import sidework
from sidework.store.protocol import Store

SOURCE = Path(sidework.__file__).parent
STORE = SOURCE / "store"
ENGINES = ("sqlite", "postgres")
MOST_LINES = 400

ALONE: dict[str, dict[str, str]] = {
    "sqlite": {
        "life.py": "a death is told by the locks of processes on this machine",
        "ticket.py": "writers of one file stand in line; a server has its own",
        "sql/any_edge.sql": "one look for a whole turn; on a server each end tells by itself",
        "sql/called.sql": "what callbacks are told; on a server it comes back with the statement before",
        "sql/prune.sql": "on a file who writes keeps others from it, so who looks does it before",
        "sql/waits.sql": "for whom a job waits; on a server it comes with the question before",
        "sql/take_over.sql": "a life file can be lost under a living worker; a row of the server's cannot",
    },
    "postgres": {
        "arrays.py": "a batch is one statement over arrays, packed here",
        "bounds.py": "dead rows that a transaction pins are stepped over at every claim; a file has none",
        "rounds.py": "when to look past those bounds",
        "taking.py": "a claim by those bounds; a file's claim is one statement",
        "sql/claim_after.sql": "a claim behind a bound",
        "sql/lanes_between.sql": "the lanes behind a bound",
        "bulk.py": "COPY for many new jobs; a file's wide INSERT is as fast",
        "errand.py": "what is asked of a caller's connection, for drivers that block and that await",
        "long.py": "a listing has plans and patience of its own; on a file it is one more session",
        "migrating.py": "another's decision and right; a file is migrated by whoever opens it",
        "opening.py": "a network or a name server may keep whoever connects waiting",
        "polling.py": "a look at the server is a round trip, so it is paced; one at a file costs nothing",
        "pulse.py": "the connection that listens, rings and beats; a file's bells are sockets",
        "sqlstate.py": "one table of errors for the drivers of all callers; a file has one driver",
        "statement.py": "one text for all those drivers",
        "migrations/vacuum.sql": "the server's own tidying, per table",
        "sql/beat.sql": "a worker lives as long as its beat moves; on a file, as long as its lock",
        "sql/free.sql": "a job's own transaction may be open beside the record's",
        "sql/gate.sql": "a limit is set between the turns of others; on a file one writes at a time",
        "sql/room.sql": "of those who claim at the same time, one counts a limited queue",
        "sql/insert_one.sql": "one job without the arrays of many, which cost a third",
        "sql/calls_left.sql": "what cannot be read is marked again; on a file it is not marked before",
        "sql/hold.sql": "who retries a job keeps others from following its end meanwhile",
        "sql/hold_whole.sql": "who deletes a job keeps others from needing it meanwhile",
        "sql/prune_gone.sql": "what is needed is asked again once the jobs are locked",
        "sql/insert_waits.sql": "a caller's jobs and their waits in one statement; a file has savepoints",
        "sql/withdraw.sql": "back to where a caller's transaction was; a file goes back to the savepoint",
        "sql/withdraw_waits.sql": "the same of their waits",
        "sql/keep_rescued.sql": "many rows at once; on a file the engine goes from row to row",
        "sql/look.sql": "a claim's first questions in one round trip; a file has no trips",
        "sql/workers.sql": "by beat and lease, with the server's clock; on a file, by the locks",
    },
}
UNLIKE = "Unlike on SQLite"


def files(engine: str) -> set[str]:
    folder = STORE / engine
    found = {path.relative_to(folder).as_posix() for path in folder.rglob("*.*")}
    # Each engine numbers its own migrations.
    return {re.sub(r"/\d+_", "/", name) for name in found if name.endswith((".py", ".sql"))}


def modules() -> list[str]:
    """The modules that both engines have."""
    return sorted(name for name in files("sqlite") & files("postgres") if name.endswith(".py"))


def named(*path: str) -> list[tuple[str, list[str]]]:
    """Classes of a module with their methods, and functions with none, in the order of the text."""
    found = []
    for node in ast.parse(STORE.joinpath(*path).read_text("utf-8")).body:
        if isinstance(node, ast.ClassDef):
            functions = (one for one in node.body if isinstance(one, FUNCTION))
            found.append((node.name, [one.name for one in functions]))
        elif isinstance(node, FUNCTION):
            found.append((node.name, []))
    return found


FUNCTION = ast.FunctionDef | ast.AsyncFunctionDef


def groups() -> dict[str, list[str]]:
    """The protocol's nouns with their verbs, in its order; those of every store first. A noun with
    a protocol file of its own is an attribute of the store."""
    verbs = dict(named("protocol.py"))
    verbs["Store"] = [one for one in verbs["Store"] if not (STORE / f"{one}.py").exists()]
    bases = [base.__name__ for base in Store.__bases__ if base.__name__ in verbs]
    return {"": verbs["Store"], **{noun: verbs[noun] for noun in bases}}


def sections(engine: str) -> dict[str, list[str]]:
    """The public verbs of an engine's store under its headings."""
    found: dict[str, list[str]] = {"": []}
    for line in _lines(engine):
        if heading := re.fullmatch(r" {4}# (\w+) -+", line):
            found[heading[1]] = []
        elif verb := re.match(r" {4}(?:async )?def ([a-z]\w+)\(", line):
            found[list(found)[-1]].append(verb[1])
    return found


def _lines(engine: str) -> Iterator[str]:
    text = (STORE / engine / "engine.py").read_text("utf-8")
    yield from text[text.index("\nclass ") :].splitlines()


def shape(sql: str) -> str:
    """The statement without what each dialect must write in its own way, and without comments."""
    lines = (line for line in sql.splitlines() if not line.lstrip().startswith("--"))
    text = " ".join(" ".join(lines).split())
    for pattern, instead in (
        (r"::[a-z]+(\[\])?", ""),
        (r"\bsidework\.", ""),
        (r" INDEXED BY \w+", ""),
        (r"\bcancel_requested = 1\b", "cancel_requested"),
        (r"\bcancel_requested = 0\b", "cancel_requested = false"),
        (r" FOR UPDATE SKIP LOCKED\b", ""),
        (r"= ANY \(ARRAY\((SELECT .*)\)\)", r"IN (\1)"),
        (r"\bgreatest\(", "max("),
    ):
        text = re.sub(pattern, instead, text)
    return text


def test_files_are_small() -> None:
    lines = {
        path.relative_to(SOURCE).as_posix(): path.read_text("utf-8").count("\n")
        for path in SOURCE.rglob("*.py")
    }
    assert len(lines) > 100
    assert {name: count for name, count in lines.items() if count > MOST_LINES} == {}


@pytest.mark.parametrize("engine", ENGINES)
def test_a_file_of_one_engine_alone_has_a_reason(engine: str) -> None:
    (other,) = set(ENGINES) - {engine}
    assert files(engine) - files(other) == set(ALONE[engine])


@pytest.mark.parametrize(
    "name", sorted(name for name in files("sqlite") & files("postgres") if name.startswith("sql/"))
)
def test_a_statement_of_another_shape_says_why(name: str) -> None:
    texts = {engine: (STORE / engine / name).read_text("utf-8") for engine in ENGINES}
    differs = shape(texts["sqlite"]) != shape(texts["postgres"])
    assert differs == (UNLIKE in texts["postgres"]), shape(texts["postgres"])


def test_each_statement_begins_with_what_it_does() -> None:
    for engine in ENGINES:
        for path in (STORE / engine / "sql").iterdir():
            assert path.read_text("utf-8").startswith("-- "), path


@pytest.mark.parametrize("engine", ENGINES)
def test_the_engines_verbs_stand_as_in_the_protocol(engine: str) -> None:
    assert list(sections(engine).items()) == list(groups().items())


@pytest.mark.parametrize("engine", ENGINES)
def test_an_engines_front_sends_no_statement(engine: str) -> None:
    """Each is a noun's: what the front does is the same for both engines."""
    sent = re.compile(r"\b(statement|numbered|rows|execute)\(|\b(SELECT|INSERT|UPDATE|DELETE)\b")
    assert not [line for line in _lines(engine) if sent.search(line)]


@pytest.mark.parametrize("module", modules())
def test_what_both_engines_have_stands_in_the_same_order(module: str) -> None:
    mine, other = (dict(named(engine, module)) for engine in ENGINES)
    both = [name for name in mine if name in other]
    assert both == [name for name in other if name in mine]
    for name in both:
        inside = [one for one in mine[name] if one in other[name]]
        assert inside == [one for one in other[name] if one in mine[name]], name


def test_the_protocol_fits_on_two_screens() -> None:
    """Signatures, that is: without what explains them."""
    text = (STORE / "protocol.py").read_text("utf-8")
    text = text[text.index("class Jobs(Protocol)") :]
    bare = re.sub(r'"""[\s\S]*?"""', "", text)
    lines = [line for line in bare.splitlines() if line.strip() not in ("", "...")]
    assert len(lines) <= 2 * 60, len(lines)
