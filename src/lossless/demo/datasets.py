"""The data that lines are fitted to: a data set of the package, or columns of a user's file."""

from dataclasses import dataclass
from importlib.resources import as_file, files
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from .._errors import UserError
from . import csv as demo_csv

Vector = NDArray[np.float64]


@dataclass(frozen=True)
class Dataset:
    """The data to fit, and the words for them."""

    title: str
    inputs: Vector  # (rows, columns)
    targets: Vector
    names: list[str]
    target: str
    labels: tuple[list[str], str]  # of the axes
    clean: NDArray[np.bool_] | None  # where it is known


def belgian_calls() -> Dataset:
    with as_file(files("lossless.demo") / "data" / "belgian_calls.csv") as path:
        table = demo_csv.read(path)
        year, calls = (demo_csv.numbers(table, name) for name in ("year", "calls"))
    return Dataset(
        "International telephone calls from Belgium",
        year[:, None],
        calls,
        ["year"],
        "calls",
        (["year"], "calls (millions)"),
        np.array([unit == "calls" for unit in table.cells["counted"]]),
    )


def from_file(path: Path, names: list[str], target: str | None) -> Dataset:
    table = demo_csv.read(path)
    if not names or target is None:
        known = ", ".join(map(repr, table.cells))
        raise UserError(f"{path}: add --inputs and --targets; the columns are {known}")
    if len({*names, target}) <= len(names):
        raise UserError("--inputs and --targets must be different columns")
    columns = [demo_csv.numbers(table, name) for name in names]
    targets = demo_csv.numbers(table, target)
    return Dataset(
        path.name, np.column_stack(columns), targets, names, target, (names, target), None
    )
