"""Tables: for people as wide as their terminal, for programs columns separated by tabs."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import TYPE_CHECKING, Literal

import click
from msgspec import Struct

from ..state import State

if TYPE_CHECKING:
    from rich.text import Text

_GAP = 2
_LEAST = 20
"""A column that may be cut keeps so many characters, as long as another can be left out instead."""

STATE_COLOURS: dict[str, str] = {
    State.COMPLETED: "green",
    State.DISCARDED: "red",
    State.RETRYABLE: "yellow",
    State.RUNNING: "cyan",
    State.CANCELLED: "dim",
}


_NONE: Mapping[str, str] = MappingProxyType({})


class Column(Struct, frozen=True):
    """A column and what gives way when the terminal is narrow.

    ``leave_out``: 0 keeps it, else the highest is left out first. ``cut`` says which end of its texts
    may become an ellipsis: of a task's name the end tells more. ``colours`` are rich's, by text.
    """

    name: str
    leave_out: int = 0
    cut: Literal["", "left", "right"] = ""
    colours: Mapping[str, str] = _NONE


def show_table(
    columns: Sequence[Column | str], rows: Iterable[Sequence[object]], empty: str = ""
) -> None:
    """Print the rows; on a terminal ``empty`` instead when there are none."""
    all_columns = [Column(one) if isinstance(one, str) else one for one in columns]
    cells = [["" if cell is None else " ".join(str(cell).split()) for cell in row] for row in rows]
    if not sys.stdout.isatty():
        for line in ([one.name for one in all_columns], *cells):
            click.echo("\t".join(line))
    elif empty and not cells:
        click.echo(empty)
    else:
        _draw(all_columns, cells)


def _draw(columns: list[Column], cells: list[list[str]]) -> None:
    from rich.cells import cell_len
    from rich.console import Console
    from rich.text import Text

    console = Console(highlight=False)
    wanted = [
        max(cell_len(text) for text in (column.name, *(row[at] for row in cells)))
        for at, column in enumerate(columns)
    ]
    widths = fitting(columns, wanted, console.width)
    gap = Text(" " * _GAP)
    header = [Text(_cut(columns[at].name, width, "right"), "bold") for at, width in widths.items()]
    body = ([_cell(row[at], width, columns[at]) for at, width in widths.items()] for row in cells)
    for texts in (header, *body):
        line = gap.join(texts)
        line.rstrip()
        console.print(line, soft_wrap=True)


def fitting(columns: Sequence[Column], wanted: Sequence[int], width: int) -> dict[int, int]:
    """Which columns are shown (by place) and how wide, so that a line takes at most ``width``.

    Cut as far as sense allows first, then leave out, then cut to the bone; what may be neither cut
    nor left out stays whole, whatever the width.
    """
    shown = dict(enumerate(wanted))
    least = {
        at: min(wanted[at], max(_LEAST, len(column.name))) if column.cut else wanted[at]
        for at, column in enumerate(columns)
    }
    while _line(least[at] for at in shown) > width:
        last = max(shown, key=lambda at: columns[at].leave_out)
        if not columns[last].leave_out:
            break
        del shown[last]
    over = _line(shown.values()) - width
    # The one that is left out first is also cut first.
    for floor in (least, dict.fromkeys(shown, 1)):
        for at in sorted(shown, key=lambda at: -columns[at].leave_out):
            if columns[at].cut and over > 0:
                taken = max(0, min(over, shown[at] - floor[at]))
                shown[at] -= taken
                over -= taken
    return shown


def _line(widths: Iterable[int]) -> int:
    each = list(widths)
    return sum(each) + _GAP * (len(each) - 1)


def _cell(text: str, width: int, column: Column) -> Text:
    from rich.text import Text

    return Text(_cut(text, width, column.cut), column.colours.get(text, ""))


def _cut(text: str, width: int, end: str) -> str:
    """The text in exactly so many places of the terminal, where some characters take two."""
    from rich.cells import cell_len, set_cell_size

    if cell_len(text) <= width:
        return set_cell_size(text, width)
    if end == "left":
        while cell_len(text) > width - 1:
            text = text[1:]
        return set_cell_size("…" + text, width)
    return set_cell_size(text, width - 1) + "…"
