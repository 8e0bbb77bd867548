"""Hard points with their correctly rounded results from mpmath; make.py made them."""

from __future__ import annotations

import csv
import math
from collections import defaultdict
from pathlib import Path

TABLES = Path(__file__).parent


def read(name: str) -> dict[float, list[list[float]]]:
    """The numbers of a table, by delta (NaN: the loss has none)."""
    by_delta = defaultdict(list)
    with (TABLES / f"{name}.csv").open(newline="") as file:
        for row in list(csv.reader(file))[1:]:
            delta, *numbers = map(float.fromhex, row[1:])
            by_delta[-1.0 if math.isnan(delta) else delta].append(numbers)
    return by_delta
