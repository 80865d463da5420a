"""The documentation runs: every Python block, every command's name, every link, every public name."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest

import sidework
from conftest import Place
from sidework.cli.main import COMMANDS
from sidework.state import TRANSITIONS

ROOT = Path(__file__).parent.parent
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```", re.M | re.S)
ELSEWHERE = {"testing.md"}
"""Pages whose blocks are no programs: tests/testing/test_plugin.py has pytest run them. Blocks with a
title are files: tests/guides has them run."""
SNIPPETS = [
    (page.relative_to(ROOT).as_posix(), at, text)
    for page in PAGES
    for at, (kind, text) in enumerate(BLOCK.findall(page.read_text("utf-8")))
    if kind == "python" and page.name not in ELSEWHERE
]
SAYS = {
    "README.md-0": "5\n",
    "README.md-1": "welcome 7, attempt 1\nscheduled True\n1000 handed over\n499500\n",
    "docs/deploying.md-0": "",
    "docs/deploying.md-1": "",
    "docs/start.md-0": "order 1: 9.90 paid\nValueError after 3 attempts\n",
    "docs/start.md-1": "285\n2000\n",
    "docs/start.md-2": "content of https://example.org\ndone True\n",
    "docs/start.md-3": "1 job\n",
    "docs/start.md-4": "balance 150\n",
    "docs/events.md-0": "{'one': 3}\n{'three': 5}\ncounted 2 words\ncompleted 8 letters\n",
    "docs/events.md-1": "done: 2\ndone: 6\n[6, 2]\ncalled: 10\n",
    "docs/workflows.md-0": "8\ncompleted with 8\n5050\nValueError: an empty text\ncancelled\n",
    "docs/limits.md-0": "True True False\nTrue\nblocked\nreport of 7 False\n",
    "docs/schedules.md-0": "monthly\nreport 0 3 * * mon-fri Europe/Berlin\nreport every 15m\n",
    "docs/retries.md-0": "5 paid at attempt 3 ['the line is engaged', 'the bank says when']\n"
    "discarded after 1 attempt\npay: over the limit\nbalanced True\n",
    "docs/moving-from-celery.md-0": "mail to ann mail to bob\n",
    "docs/moving-from-rq.md-0": "mail to ann\n",
    "docs/moving-from-dramatiq.md-0": "mail to ann mail to bob\n",
    "docs/connections.md-0": "order 7 is shipped\n",
    "docs/frameworks.md-0": "",
    "docs/frameworks.md-1": "",
    "docs/resources.md-0": "child starts\npool opened\nhello customer 7\n{'number': 8}\n"
    "pool closed\nchild ends\n",
}
TELLS = {
    "docs/workflows.md-0": r"is discarded, attempt 1 of 1: ValueError: an empty text",
    "docs/start.md-0": r"attempt 1 of 3: ValueError.*\n.*attempt 2 of 3: ValueError.*\n.*is discarded",
    "docs/retries.md-0": r"attempt 1 of 4: .*Busy.*\n.*attempt 2 of 4: .*\n.*is discarded, attempt 1 of 4",
    "docs/start.md-2": r"attempt 1 of 6: sidework.outcome.Retry: the service is slow today; again in",
    "docs/start.md-4": r"attempt 1 of 4: OSError: the first attempt is undone, end and all; again in",
}
"""What the log says of the jobs that fail on purpose; of the others it says nothing."""


def test_the_snippets_are_found() -> None:
    counted = {f"{page}-{n}" for page in {p for p, *_ in SNIPPETS}
               for n in range(sum(p == page for p, *_ in SNIPPETS))}  # fmt: skip
    assert counted == set(SAYS)


@pytest.mark.parametrize(("page", "at", "text"), SNIPPETS, ids=[f"{p}-{n}" for p, n, _ in SNIPPETS])
def test_a_snippet_prints_what_it_should(
    place: Place, request: pytest.FixtureRequest, page: str, at: int, text: str
) -> None:
    place.without_url = True
    if page == "docs/connections.md":
        place.without_url, place.url = False, request.getfixturevalue("postgres").new_database()
        assert place.sidework("db", "migrate").returncode == 0
    place.write("snippet.py", text)
    done = place.python("snippet.py")
    number = sum(1 for p, n, _ in SNIPPETS if p == page and n < at)
    name = f"{page}-{number}"
    assert done.stdout == SAYS[name], done.stderr
    assert re.search(TELLS.get(name, r"\A\Z"), done.stderr)
    assert "Exception in thread" not in done.stderr


def test_the_example_is_the_readmes() -> None:
    def code(text: str) -> list[str]:
        return [line for line in text.splitlines() if line and not line.startswith('"""')]

    example = (ROOT / "examples" / "hello.py").read_text()
    assert code(example) == code(SNIPPETS[0][2])


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_commands_and_links_lead_somewhere(page: Path) -> None:
    text = page.read_text("utf-8")
    for command in re.findall(r"^sidework (\w+)", text, re.M):
        assert command in COMMANDS, command
    for target in re.findall(r"\]\((?!http)([^)#]+)", text):
        assert (page.parent / target).exists(), target
    for path in re.findall(r"`((?:tests|src|scripts|docs)/[\w/.]+)`", text):
        assert (ROOT / path).exists(), path


def test_the_diagram_is_the_table() -> None:
    """docs/promises.md holds what ``sidework.state`` says; this prints it when it does not."""
    lines = ["| from | event | to |", "|---|---|---|"]
    lines += [f"| {state} | {event} | {to} |" for (state, event), to in TRANSITIONS.items()]
    assert "\n".join(lines) in (ROOT / "docs" / "promises.md").read_text("utf-8"), "\n".join(lines)


def test_every_public_name_has_a_docstring() -> None:
    for name in sidework.__all__:
        assert getattr(sidework, name).__doc__, name


def test_the_version_is_one() -> None:
    told = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    assert told == sidework.__version__


def test_the_reference_names_everything_public() -> None:
    from sidework.client.declaring import TASK_DEFAULTS
    from sidework.handle import JobHandle
    from sidework.tasks.declaring import PeriodicOptions
    from sidework.tasks.task import EnqueueOptions
    from sidework.testing import Sandbox

    text = (ROOT / "docs" / "reference.md").read_text("utf-8")
    named = set(re.findall(r"\w+", " ".join(re.findall(r"`([^`]+)`", text))))
    members = {name for name in vars(sidework.RunningJob) if not name.startswith("_")}
    members |= {name for name in vars(JobHandle) if not name.startswith("_")}
    members |= {name for name in vars(sidework.Sidework) if not name.startswith("_")}
    inner = {
        "ask_to_stop",
        "parks_by",
        "parked",
        "opened",
        "pad",
        "seq",
        "told",
        "writes_in",
        "submit",
        "asubmit",
        "finish_on",
        "afinish_on",
        "finished",
        "caller",
        "in_transaction",
        "store",
        "waiter",
        "forget_in_child",
    }
    members |= {name for name in vars(Sandbox) if not name.startswith("_")}
    public = {
        *sidework.__all__,
        *TASK_DEFAULTS,
        *EnqueueOptions.__annotations__,
        *PeriodicOptions.__annotations__,
        *members,
    } - inner
    assert public - named == set()
