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
EE
sed -i '$d' tests/test_site.py
python3 - <<'E'
def sub(p,*prs):
    t=open(p).read()
    for a,b in prs:
        assert t.count(a)==1,(p,a,t.count(a)); t=t.replace(a,b)
    open(p,"w").write(t)
sub("docs/deploying.md",('    print(told.splitlines()[-1])\n','    print(*(line for line in told.splitlines() if line.startswith("sidework_workers")), sep="\\n")\n'))
sub("tests/test_docs.py",('    "docs/deploying.md-0": \'sidework_workers{state="dead"} 0.0\\n\',\n','''    "docs/deploying.md-0": (
        'sidework_workers{state="alive"} 0.0\\nsidework_workers{state="dead"} 0.0\\n'
    ),
'''))
sub("docs/reference.md",('## Errors\n','''## For other projects: `sidework.contrib`

Each module needs the extra of its name.

| name | is |
|---|---|
| `sidework.contrib.metrics.asgi(app)` | an ASGI app that serves the store's metrics for Prometheus ([deploying](deploying.md#metrics)) |

## Errors
'''))
sub("scripts/docs",('cd "$root"\n','cd "$root"\nexport NO_MKDOCS_2_WARNING=1  # an advertisement\n'))
