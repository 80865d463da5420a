"""The pytest plugin in a project of its own: found by itself, told its app, alone and in parallel."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest

from conftest import Place

ROOT = Path(__file__).parent.parent.parent
PAGE = (ROOT / "docs" / "testing.md").read_text("utf-8")
SHOP, *SHOWN = re.findall(r"^```python\n(.*?)^```", PAGE, re.M | re.S)
GOOD = """
    import os
    import pytest
    from shop import app, mail, order

    @pytest.mark.parametrize("name", ["ann", "bob", "carl", "dora"])
    def test_an_order(sidework, name):
        job = order.enqueue(name)
        assert len(sidework.drain()) == 2
        assert job.result() == "ordered"
        [mailed] = sidework.enqueued(mail, name)
        print("on", os.environ["PYTEST_XDIST_WORKER"])

    @pytest.mark.asyncio
    async def test_by_pytest_asyncio(sidework):
        job = await order.aenqueue("ann")
        assert len(await sidework.adrain()) == 2
        assert await job.aresult() == "ordered"

    @pytest.mark.anyio
    async def test_by_anyio(sidework):
        job = await order.aenqueue("ann")
        assert (await sidework.arun(job)).result == "ordered"

    @pytest.fixture
    def anyio_backend():
        return "asyncio"

    def test_what_a_test_leaves_no_other_finds(sidework):
        sidework.not_enqueued(order)
        order.enqueue("ann")
"""
BAD = """
    import sys
    import pytest

    def test_nothing_is_loaded_unasked():
        assert "shop" not in sys.modules
        assert not [name for name in sys.modules if name.startswith("sidework.testing.sandbox")]

    def test_the_app_is_not_found(sidework): ...

    class TestTold:
        @pytest.fixture
        def sidework_app(self):
            from shop import app
            return app

        def test_what_was_not_enqueued(self, sidework):
            from shop import mail, order
            order.enqueue("ann")
            sidework.drain()
            sidework.enqueued(mail, "bob")

        def test_that_fails_in_a_job(self, sidework, monkeypatch):
            from shop import mail
            monkeypatch.setattr(mail, "function", lambda to, text: pytest.fail("mail to eve"))
            mail.enqueue("eve", "")
            sidework.drain()

    class TestOther:
        @pytest.fixture
        def sidework_app(self):
            return "shop"

        def test_no_app(self, sidework): ...
"""
SETTINGS = """
    [pytest]
    sidework_app = {app}
    asyncio_default_fixture_loop_scope = function
"""


@pytest.fixture
def project(place: Place) -> Place:
    place.extra = {"PYTEST_ADDOPTS": "-p no:cacheprovider -p no:hypothesispytest"}
    place.write("shop.py", SHOP)
    place.write("pytest.ini", SETTINGS.format(app="shop:app"))
    for name in [name for name in os.environ if name.startswith("PYTEST_XDIST")]:
        place.extra[name] = ""
    return place


def test_a_project_and_the_page_in_parallel(project: Place) -> None:
    project.write("test_shop.py", GOOD)
    for number, text in enumerate(SHOWN):
        project.write(f"test_page_{number}.py", text)
    done = project.python("-m", "pytest", "-n", "2", "-rP")
    assert "12 passed" in done.stdout, done.stdout + done.stderr
    assert {"on gw0", "on gw1"} <= set(done.stdout.splitlines())
    assert not list(project.folder.glob("*.db*"))


def test_what_is_wrong_is_told(project: Place) -> None:
    project.write("pytest.ini", SETTINGS.format(app="shopp:app"))
    project.write("test_shop.py", BAD)
    done = project.python("-m", "pytest", "-p", "no:xdist")
    assert "2 failed, 1 passed, 2 errors" in done.stdout, done.stdout + done.stderr
    assert "shop:mail(to='bob') was not enqueued, but 1 of this task:" in done.stdout
    assert "shop:mail(to='ann', text='thank you', copies=1), completed" in done.stdout
    assert "Failed: mail to eve" in done.stdout
    assert "TypeError: 'shop' is no app" in done.stdout
    assert "sidework_app: shopp:app: there is no module 'shopp'" in done.stdout


def test_the_app_has_to_be_told(request: pytest.FixtureRequest) -> None:
    with pytest.raises(pytest.fail.Exception, match=r"which app is tested\? Write sidework_app = "):
        request.getfixturevalue("sidework")
