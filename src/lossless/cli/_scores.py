"""The table of `lossless score`, of any length, within the width of a terminal.

The rows are not stored: they are made twice, first for their widths. Each part (file or group) is
a row with a column for each loss, if there are several parts and the columns fit. Otherwise each
loss is a row.
"""

from collections.abc import Callable, Iterator
from itertools import chain
from typing import Any, NamedTuple

from rich.cells import cell_len
from rich.console import Console
from rich.markup import escape

from ..scoring import kinds as _kinds
from ..scoring.losses import ChosenLoss

GAP = 3
# The least width of a name that is cut.
SHORTEST = 8


class Part(NamedTuple):
    """A file or a group."""

    names: tuple[Any, ...]
    rows: int
    values: dict[str, float]


Parts = Callable[[], Iterator[Part]]
Cells = list[str]


def print_scores(
    console: Console,
    title: str,
    headings: Cells,
    losses: list[ChosenLoss],
    parts: Parts,
    total: Part,
    digits: int,
) -> None:
    """`headings` are those of the names. The total is printed if there are several parts."""
    room = console.width if console.is_terminal else None
    headings = [_printable(name, console.encoding) for name in headings]

    def cells(part: Part) -> tuple[Cells, Cells]:
        names = [_printable(str(name), console.encoding) for name in part.names]
        return [*names, f"{part.rows:,}"], [_number(x, digits) for x in part.values.values()]

    count, widths = _measured([*headings, "rows"], map(cells, parts()), cells(total))
    names = len(headings)
    tops = [loss.title for loss in losses]
    layout = _as_columns(headings, tops, widths, room) if count > 1 else None
    rows_of_losses = layout is None
    if layout is None:
        lines = [[*headings, "rows", "loss", title]]
        numbers = max(len(title), *widths[names + 1 :])
        layout = lines, [*widths[: names + 1], max(4, *map(len, tops)), numbers]
    lines, widths = layout
    if room is not None:
        widths = _within(widths, names, room)
    left = {*range(names)} | ({names + 1} if rows_of_losses else set())
    line = _Line(widths, left, "..." if console.options.ascii_only else "…")
    rule = "-" if console.options.ascii_only else "─"

    console.print()
    for headline in lines:
        console.print(f"[bold]{escape(line(headline))}[/]", soft_wrap=True)
    console.print(" " + rule * (_sum(widths) - 1), soft_wrap=True)
    write = console.file.write
    for number, (own, values) in enumerate(map(cells, chain(parts(), [total] * (count > 1)))):
        if number == count:
            write("\n")
        if not rows_of_losses:
            write(line([*own, *values]) + "\n")
            continue
        for top, value in zip(tops, values, strict=True):
            write(line([*own, top, value]) + "\n")
            own = [""] * len(own)
    write("\n")


def _measured(
    headings: Cells, parts: Iterator[tuple[Cells, Cells]], total: tuple[Cells, Cells]
) -> tuple[int, list[int]]:
    """The number of parts, and the widths of their cells."""
    count = 0
    widths = [*map(max, map(_width, headings), map(_width, total[0])), *map(len, total[1])]
    for names, numbers in parts:
        widths = [*map(max, widths, map(_width, names + numbers))]
        count += 1
    return count, widths


def _as_columns(
    headings: Cells, titles: Cells, widths: list[int], room: int | None
) -> tuple[list[Cells], list[int]] | None:
    """Lines of headings and widths, with a column for each loss; None if it does not fit.

    Parameters have a line of their own only if necessary: a program may parse the output.
    """
    for split in (False, True):
        tops = [title.partition(" ")[::2] if split else (title, "") for title in titles]
        lines = [[*headings, "rows", *(name for name, _ in tops)]]
        if any(parameters for _, parameters in tops):
            lines.append([""] * (len(headings) + 1) + [parameters for _, parameters in tops])
        own = [
            max(width, *map(_width, cells)) for width, *cells in zip(widths, *lines, strict=True)
        ]
        if room is None or _sum(own) <= room:
            return lines, own
    return None


def _number(value: float, digits: int) -> str:
    return repr(value) if digits == 17 else f"{value:.{digits}g}"


class _Line:
    """Cells in columns."""

    def __init__(self, widths: list[int], left: set[int], dots: str) -> None:
        self._columns = [(width, column in left) for column, width in enumerate(widths)]
        self._dots = dots

    def __call__(self, cells: Cells) -> str:
        padded = []
        for cell, (width, left) in zip(cells, self._columns, strict=True):
            spaces = width - _width(cell)
            if spaces < 0:
                cell, spaces = _cut(cell, width, self._dots), 0
            padded.append(cell + " " * spaces if left else " " * spaces + cell)
        return (" " + (" " * GAP).join(padded)).rstrip()


def _sum(widths: list[int]) -> int:
    return 1 + sum(widths) + GAP * (len(widths) - 1)


def _within(widths: list[int], names: int, room: int) -> list[int]:
    """Narrow the widest columns of names until the line fits."""
    widths = list(widths)
    while _sum(widths) > room and (widest := max(widths[:names])) > SHORTEST:
        widths[widths.index(widest)] -= 1
    return widths


def _cut(cell: str, width: int, dots: str) -> str:
    """Cut the middle: names of files and groups differ at their ends."""
    room = width - len(dots)
    end = _beginning(cell[::-1], room // 2)[::-1]
    beginning = _beginning(cell, room - _width(end)) + dots + end
    return beginning + " " * (width - _width(beginning))


def _beginning(text: str, width: int) -> str:
    if text.isascii():
        return text[:width]
    text = text[:width]
    while _width(text) > width:
        text = text[:-1]
    return text


def _width(cell: str) -> int:
    return len(cell) if cell.isascii() else cell_len(cell)


def _printable(name: str, encoding: str) -> str:
    """The name on one line, in letters that the encoding has."""
    if not name.isprintable():
        name = _kinds.escaped(name)
        name = "".join(x if x.isprintable() else repr(x)[1:-1] for x in name)
    if name.isascii() or encoding.startswith("utf"):
        return name
    return name.encode(encoding, "backslashreplace").decode(encoding)
