"""Columns of numbers from a CSV file; what is wrong with the file is told by row and column."""

import csv
from pathlib import Path

import numpy as np
import polars as pl
from numpy.typing import NDArray

from ._errors import UserError


def read(path: Path) -> pl.DataFrame:
    """Read all cells as text: what they should be, only the caller knows."""
    if path.is_dir():
        raise UserError(f"{path}: is a folder")
    try:
        table = pl.read_csv(path, infer_schema=False)
    except FileNotFoundError:
        raise UserError(f"{path}: there is no such file") from None
    except pl.exceptions.NoDataError:
        raise UserError(f"{path}: the file is empty") from None
    except (OSError, pl.exceptions.PolarsError) as error:
        _blame_a_long_row(path)
        reason = str(error).strip().splitlines()[0]
        raise UserError(f"{path}: cannot be read as CSV: {reason}") from None
    return table.rename(str.strip)


def _blame_a_long_row(path: Path) -> None:
    """polars does not tell which row has more cells than the header."""
    with path.open(newline="", encoding="utf-8", errors="replace") as file:
        rows = csv.reader(file)
        header = next(rows)
        for number, row in enumerate(rows, 1):
            if len(row) > len(header):
                raise UserError(
                    f"{path}, row {number} (line {rows.line_num}): has {len(row)} cells, the "
                    f"header {len(header)}"
                )


def numbers(table: pl.DataFrame, path: Path, column: str) -> NDArray[np.float64]:
    """The column as finite numbers."""
    if column not in table.columns:
        known = ", ".join(map(repr, table.columns))
        hint = "" if len(table.columns) > 1 else " (cells must be separated by commas)"
        raise UserError(f"{path}: there is no column {column!r}, only {known}{hint}")
    text = table[column].str.strip_chars()
    values = text.cast(pl.Float64, strict=False)
    bad = ~values.is_finite().fill_null(False)
    if bad.any():
        row = int(bad.arg_max() or 0)
        cell = text[row]
        problem = f"{cell!r} is not a finite number" if cell else "the cell is empty"
        # The header is line 1.
        raise UserError(f"{path}, row {row + 1} (line {row + 2}), column {column!r}: {problem}")
    return values.to_numpy()
