"""Columns of numbers from a CSV file; what is wrong with the file is told by row and column."""

import csv
import io
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl
import polars.selectors as cs
from numpy.typing import NDArray

from ._errors import UserError

# The fits square numbers, and divide one column by another.
LARGEST, SMALLEST = 1e100, 1e-100


@dataclass(frozen=True)
class Table:
    """The cells under a header, as text: what they should be, only the caller knows."""

    path: Path
    content: bytes
    cells: pl.DataFrame  # without the rows that are empty
    numbers: list[int]  # of these rows in the file; the header is 0

    def where(self, row: int) -> str:
        number = self.numbers[row]
        lines = (line for n, (line, _) in enumerate(_records(self.content)) if n == number)
        return f"{self.path}, row {number} (line {next(lines, number + 1)})"


def read(path: Path) -> Table:
    try:
        # polars would take the path for a pattern, or for an address.
        content = path.read_bytes()
    except FileNotFoundError:
        hint = ": only files of this machine are read" * bool(re.match(r"\w\w+:/", str(path)))
        raise UserError(f"{path}: there is no such file{hint}") from None
    except IsADirectoryError:
        raise UserError(f"{path}: is a folder") from None
    except OSError as error:
        raise UserError(f"{path}: cannot be read: {error.strerror}") from None
    try:
        cells = pl.read_csv(content, has_header=False, infer_schema=False)
    except pl.exceptions.NoDataError:
        raise UserError(f"{path}: the file is empty") from None
    except pl.exceptions.PolarsError as error:
        _blame_a_long_row(path, content)
        reason = str(error).strip().splitlines()[0]
        raise UserError(f"{path}: cannot be read as CSV: {reason}") from None
    cells = cells.select(pl.all().str.strip_chars().fill_null(""))
    # Spreadsheets write commas for columns that have nothing in them, not even a name.
    names = {column: name for column, name in cells.row(0, named=True).items() if name}
    for name in names.values():
        if list(names.values()).count(name) > 1:
            raise UserError(f"{path}: two columns have the name {name!r}")
    if not names:
        raise UserError(f"{path}: the first line must name the columns, and it is empty")
    rows = cells.with_row_index("number")[1:].filter(pl.any_horizontal(cs.string() != ""))
    return Table(path, content, rows.select(*names).rename(names), rows["number"].to_list())


def numbers(table: Table, column: str) -> NDArray[np.float64]:
    """The column as finite numbers."""
    columns = table.cells.columns
    if column not in columns:
        hint = ""
        if len(columns) == 1:
            hint = " (cells must be separated by commas)"
        elif pl.Series(columns).cast(pl.Float64, strict=False).is_not_null().any():
            hint = " (is the line with the names of the columns missing?)"
        known = ", ".join(map(repr, columns))
        raise UserError(f"{table.path}: there is no column {column!r}, only {known}{hint}")
    text = table.cells[column]
    values = text.cast(pl.Float64, strict=False).fill_null(np.nan).to_numpy()
    size = np.abs(values)
    bad = ~(size <= LARGEST)
    if bad.any():
        row = int(bad.argmax())
        problem = f"{text[row]!r} is not a finite number" if text[row] else "the cell is empty"
        if LARGEST < size[row] < np.inf:
            problem = f"{text[row]!r} is beyond {LARGEST:g}: choose a larger unit"
        raise UserError(f"{table.where(row)}, column {column!r}: {problem}")
    if 0 < size.max(initial=0) < SMALLEST:
        raise UserError(
            f"{table.path}, column {column!r}: all numbers are below {SMALLEST:g}: choose a "
            "smaller unit"
        )
    return values


def _blame_a_long_row(path: Path, content: bytes) -> None:
    """polars does not tell which row has more cells than the header."""
    records = _records(content)
    _, header = next(records)
    for number, (line, row) in enumerate(records, 1):
        if len(row) > len(header):
            raise UserError(
                f"{path}, row {number} (line {line}): has {len(row)} cells, the header "
                f"{len(header)}"
            )


def _records(content: bytes) -> Iterator[tuple[int, list[str]]]:
    """The lines on which the rows begin, and their cells. polars does not tell them."""
    csv.field_size_limit(max(len(content), csv.field_size_limit()))
    rows = csv.reader(io.StringIO(content.decode("utf-8-sig", "replace"), newline=""))
    line = 1
    for row in rows:
        yield line, row
        line = rows.line_num + 1
