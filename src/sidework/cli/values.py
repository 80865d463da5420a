"""Values as they are typed: what cannot be read is a usage error (exit code 2) before a store is opened."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import click

from ..duration import seconds
from ..errors import BadValue
from ..event import place_of
from ..ids import parse_id
from ..job import check_limit, check_queue, parse_queues

Callback = Callable[[click.Context, click.Parameter, Any], Any]


def _read(reader: Callable[[str], Any]) -> Callback:
    """Gives the command what the reader makes of the value, or of each of several."""

    def callback(ctx: click.Context, param: click.Parameter, given: Any) -> Any:
        if given is None or ctx.resilient_parsing:
            return given
        try:
            return tuple(map(reader, given)) if isinstance(given, tuple) else reader(given)
        except BadValue as wrong:
            raise click.BadParameter(str(wrong)) from None

    return callback


def _same(check: Callable[[str], Any]) -> Callable[[str], str]:
    """Reads the text as it is, if the check lets it through."""

    def checked(text: str) -> str:
        check(text)
        return text

    return checked


def _most(text: str) -> int | None:
    if text != "none" and not text.isdecimal():
        raise BadValue(f"{text!r} is no limit: give a whole number, or none")
    return None if text == "none" else check_limit(int(text))


def split_queues(text: str) -> tuple[tuple[str, ...], dict[str, int]]:
    """The queues of ``--queues`` and their widths; ``BadValue`` for what is none."""
    return parse_queues(one for one in text.split(",") if one.strip())


duration = _read(seconds)
queue = _read(check_queue)
queues = _read(_same(split_queues))
limit = _read(_most)
job_id = _read(_same(parse_id))
position = _read(_same(place_of))
