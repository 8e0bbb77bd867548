"""Hard points with results from mpmath, made by make_tables.py."""

from __future__ import annotations

import csv
import math
from collections import defaultdict

import pytest
from cases import REPRESENTATIVES, Case
from checks import assert_same_bits
from make_tables import TABLES

from lossless.verification.formats import NARROW, Format
from lossless.verification.reference import OUTPUTS, Loss, rounded

pytestmark = pytest.mark.kernel


def read(name: str) -> dict[float, list[list[float]]]:
    """The numbers of a table, by delta (NaN: the loss has none)."""
    by_delta = defaultdict(list)
    with (TABLES / f"{name}.csv").open(newline="") as file:
        for row in list(csv.reader(file))[1:]:
            delta, *numbers = map(float.fromhex, row[1:])
            by_delta[-1.0 if math.isnan(delta) else delta].append(numbers)
    return by_delta


def test_loss_hard_points(narrow_case: Case) -> None:
    fmt = narrow_case.fmt
    for delta, rows in read(f"{narrow_case.loss.name}_{fmt.name}").items():
        parameters = {} if delta < 0 else {"delta": delta}
        x, t, *wanted = (fmt.array(column) for column in zip(*rows, strict=True))
        for output, call, got in narrow_case.element_wise(x, t, **parameters):
            what = f"{narrow_case} {output} from {call} {parameters or ''}"
            assert_same_bits(got, wanted[OUTPUTS.index(output)], fmt, what, x, t)


@pytest.mark.parametrize("fmt", NARROW, ids=lambda fmt: fmt.name)
@pytest.mark.parametrize("loss", REPRESENTATIVES.values(), ids=lambda loss: loss.name)
def test_table_says_what_mpmath_says(loss: Loss, fmt: Format) -> None:
    """Every seventh row again, so that a table made by an older reference shows."""
    for delta, rows in read(f"{loss.name}_{fmt.name}").items():
        parameters = {} if delta < 0 else {"delta": delta}
        for x, t, *wanted in rows[::7]:
            got = [rounded(loss, output, x, t, fmt, **parameters) for output in OUTPUTS]
            assert [number.hex() for number in got] == [number.hex() for number in wanted], (x, t)
