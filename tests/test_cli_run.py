"""``sidework run``: from words to a task and its arguments, from every folder."""

from __future__ import annotations

import json
from typing import Any

import pytest

from commands import ok, refused
from conftest import Place

SHOP = """
    from decimal import Decimal
    from uuid import UUID
    from sidework import Sidework
    app = Sidework()

    @app.task(name="short")
    def with_a_name_of_its_own(text: str) -> str: ...

    class Mail:
        @staticmethod
        @app.task
        def send(to: str, copies: int = 1) -> None: ...

    @app.task
    def anything(*values, **named): ...

    @app.task
    def typed(whole: int, maybe: str | None = None, cost: Decimal = Decimal(0),
              key: UUID | None = None, names: list[str] = ()) -> None: ...

    def plain() -> None: ...
"""


@pytest.fixture
def shop(place: Place) -> Place:
    place.write("shop.py", SHOP)
    return place


def stored(place: Place, *words: str) -> tuple[str, Any]:
    """Run it; the job's task and arguments."""
    job = ok(place, "run", *words)
    row = json.loads(ok(place, "jobs", "show", job, "--json", "--url", place.url))
    return row["task"], row["args"]


@pytest.mark.parametrize(
    ("spec", "task"),
    [
        ("shop:with_a_name_of_its_own", "short"),
        ("shop:short", "short"),
        ("shop.py:short", "short"),
        ("shop:Mail.send", "shop:Mail.send"),
        ("./shop.py:Mail.send", "shop:Mail.send"),
    ],
)
def test_a_task_is_found_by_attribute_and_by_name(shop: Place, spec: str, task: str) -> None:
    assert stored(shop, spec, "x")[0] == task


def test_a_task_of_another_module_is_found_by_its_name(shop: Place) -> None:
    shop.write("front.py", "import shop\napp = shop.app\n")
    assert stored(shop, "front:Mail.send", "x")[0] == "shop:Mail.send"


@pytest.mark.parametrize(
    ("spec", "says"),
    [
        ("shop", "say which task, like shop:name; there are: shop:Mail.send, shop:anything"),
        ("shop:Mail.sent", "did you mean shop:Mail.send ("),
        ("shop:shrot", "no task called 'shrot'; did you mean shop:short (there are: "),
        ("shop:plain", "shop:plain is not a task: write @app.task above it"),
        ("shop:app", "no task called 'app'"),
        ("shop:Mail.send.more", "there are: "),
        ("bare:f", "there are: none"),
    ],
)
def test_what_is_no_task_is_told_with_those_that_are(shop: Place, spec: str, says: str) -> None:
    shop.write("bare.py", "from sidework import Sidework\napp = Sidework()\n")
    assert says in refused(shop, "run", spec)


@pytest.mark.parametrize(
    ("words", "args"),
    [
        (("short", "true"), {"text": "true"}),
        (("short", "5"), {"text": "5"}),
        (("short", "k=v"), {"text": "k=v"}),
        (("short", "text=k=v"), {"text": "k=v"}),
        (("short", "-5"), {"text": "-5"}),
        (("short", "--", "--wait"), {"text": "--wait"}),
        (("typed", "-5"), {"whole": -5}),
        (("typed", "5", "null"), {"whole": 5, "maybe": None}),
        (("typed", "5", "7"), {"whole": 5, "maybe": "7"}),
        (("typed", "5", "maybe=true"), {"whole": 5, "maybe": "true"}),
        (("typed", "5", "cost=9.90"), {"whole": 5, "cost": "9.90"}),
        (("typed", "5", 'names=["a"]'), {"whole": 5, "names": ["a"]}),
        (("typed", "5", "key=" + "1" * 32), {"whole": 5, "key": "1" * 32}),
        (("anything", "-1.5", "x", "-.5", "[1]"), {"*": [-1.5, "x", "-.5", [1]]}),
        (("anything", "a=1", "b=x"), {"**": {"a": 1, "b": "x"}}),
        (("Mail.send", "a@b", "copies=2"), {"to": "a@b", "copies": 2}),
    ],
    ids=" ".join,
)  # fmt: skip
def test_the_declared_type_decides(shop: Place, words: tuple[str, ...], args: Any) -> None:
    assert stored(shop, f"shop:{words[0]}", *words[1:])[1] == args


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("shop:typed", "x"), "Expected `int`"),
        (("shop:typed", "1", "whole=1"), "multiple values"),
        (("shop:Mail.send", "a", "copy=2"), "it has no parameter copy, but to, copies"),
        (("shop:typed", "whole=1", "whole=2"), "whole= was given twice"),
    ],
)
def test_wrong_arguments_store_nothing(shop: Place, words: tuple[str, ...], says: str) -> None:
    assert says in refused(shop, "run", *words)
    assert "there is no database" in refused(shop, "jobs", "list", "--url", shop.url)


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("shop:short", "x", "--timeout", "5s"), "--wait"),
        (("shop:short", "x", "--wiat"), "Did you mean"),
        (("shop:short", "-x"), "No such option"),
    ],
)
def test_run_used_wrongly(shop: Place, words: tuple[str, ...], says: str) -> None:
    assert says in refused(shop, "run", *words, code=2)


@pytest.mark.parametrize("layout", ["shop/jobs.py", "src/shop/jobs.py"])
@pytest.mark.parametrize("package", [True, False], ids=["package", "namespace"])
def test_a_module_is_found_from_every_folder_of_the_project(
    place: Place, layout: str, package: bool
) -> None:
    jobs = place.write(layout, SHOP)
    if package:
        (jobs.parent / "__init__.py").touch()
    place.write("pyproject.toml", '[tool.sidework]\napp = "shop.jobs"\n')
    place.without_url = True
    below = Place(place.folder / "deep" / "er")
    below.folder.mkdir(parents=True)
    below.without_url = True
    for here in (place, below):
        job = ok(here, "run", "shop.jobs:short", "1")
        ok(here, "run", f"{layout}:short", "1")
        for app in ((), ("--app", "shop.jobs"), ("--app", layout)):
            assert job in ok(here, "jobs", "list", *app)
        below.extra = {"SIDEWORK_APP": "shop.jobs"}
        assert job in ok(below, "jobs", "list")
    worker = below.worker("--children", "1")
    assert worker.stop() == 0
    below.close()


def test_the_folder_where_one_stands_comes_first(place: Place) -> None:
    place.write("pyproject.toml", "")
    place.write("shop.py", SHOP)
    below = Place(place.folder / "below")
    below.write("shop.py", SHOP.replace('"short"', '"other"'))
    assert stored(below, "shop:other", "x")[0] == "other"
    assert "no task called 'other'" in refused(place, "run", "shop:other", "x")
