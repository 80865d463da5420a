"""The site of the documentation: every page has its place, and the command line's page is the commands'."""

from __future__ import annotations

import runpy
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parent.parent


def pages(nav: Any) -> Iterator[str]:
    for one in nav.values() if isinstance(nav, dict) else nav:
        yield from [one] if isinstance(one, str) else pages(one)


def test_every_page_stands_in_the_navigation_once() -> None:
    """And ``scripts/docs`` refuses a link that leads nowhere."""
    told = yaml.safe_load((ROOT / "mkdocs.yml").read_text("utf-8"))
    docs = ROOT / "docs"
    there = [path.relative_to(docs).as_posix() for path in docs.rglob("*.md")]
    assert sorted(pages(told["nav"])) == sorted(there)


def test_the_page_of_the_command_line_is_as_the_commands_are() -> None:
    made = runpy.run_path(str(ROOT / "scripts" / "_cli_page.py"))["page"]()
    kept = (ROOT / "docs" / "cli.md").read_text("utf-8")
    assert kept == made, "run scripts/docs cli"
