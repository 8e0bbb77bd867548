"""Columns of numbers from a CSV file that fits in memory, as people and spreadsheets write it."""

import io
import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from .._errors import UserError
from ..scoring.readers import csv as _csv

# The fits square numbers, and divide one column by another.
LARGEST, SMALLEST = 1e100, 1e-100


@dataclass(frozen=True)
class Table:
    """The cells under a header, as text: only the caller knows their type."""

    path: Path
    cells: dict[str, list[str]]  # by column, without empty rows
    places: list[tuple[int, int]]  # of these rows: the number in the file, and the line

    def where(self, row: int) -> str:
        number, line = self.places[row]
        return f"{self.path}, row {number} (line {line})"


def read(path: Path) -> Table:
    records = _records(path)
    if not records:
        raise UserError(f"{path}: the file is empty")
    # Spreadsheets write commas for empty columns without a name.
    _, header = records.pop(0)
    names = {column: name.strip() for column, name in enumerate(header) if name.strip()}
    for name in names.values():
        if list(names.values()).count(name) > 1:
            raise UserError(f"{path}: two columns have the name {name!r}")
    if not names:
        raise UserError(f"{path}: the first line must name the columns, and it is empty")
    cells: dict[str, list[str]] = {name: [] for name in names.values()}
    places = []
    for number, (line, row) in enumerate(records, 1):
        if len(row) > len(header):
            raise UserError(
                f"{path}, row {number} (line {line}): must have {len(header)} cells, got {len(row)}"
            )
        if any(cell.strip() for cell in row):
            places.append((number, line))
            for column, name in names.items():
                cells[name].append(row[column].strip() if column < len(row) else "")
    return Table(path, cells, places)


def _records(path: Path) -> list[tuple[int, list[str]]]:
    """For each row, the line on which it begins and its cells."""
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        hint = ": only local files can be read" * bool(re.match(r"\w\w+:/", str(path)))
        raise UserError(f"{path}: there is no such file{hint}") from None
    except IsADirectoryError:
        raise UserError(f"{path}: is a folder") from None
    except OSError as error:
        raise UserError(f"{path}: cannot be read: {error.strerror}") from None
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise UserError(f"{path}: cannot be read as CSV: {error}") from None
    return list(_csv.records(io.StringIO(text, newline="")))


def numbers(table: Table, column: str) -> NDArray[np.float64]:
    """The column as finite numbers."""
    columns = list(table.cells)
    if column not in columns:
        hint = ""
        if len(columns) == 1:
            hint = " (cells must be separated by commas)"
        elif any(map(_is_number, columns)):
            hint = " (is the line with the names of the columns missing?)"
        known = ", ".join(map(repr, columns))
        raise UserError(f"{table.path}: there is no column {column!r}, only {known}{hint}")
    text = table.cells[column]
    try:
        values = _csv.numbers(pa.array(text, pa.string()))
        size = np.abs(values)
        row = int(np.argmin(size <= LARGEST)) if len(text) else 0
    except _csv.BadCellError as error:
        values = size = np.full(len(text), np.nan)
        row = error.index
    if len(text) and not size[row] <= LARGEST:
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


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
