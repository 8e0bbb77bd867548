"""Hard points with results from mpmath, made by tables/make.py."""

from __future__ import annotations

import pytest

from lossless.verification.formats import NARROW, Format
from lossless.verification.reference import OUTPUTS, Loss, rounded
from support.cases import REPRESENTATIVES, Case
from support.checks import assert_same_bits
from tables import read

pytestmark = pytest.mark.kernel


def test_hard_points(narrow_case: Case) -> None:
    fmt = narrow_case.fmt
    for delta, rows in read(f"{narrow_case.loss.name}_{fmt.name}").items():
        parameters = {} if delta < 0 else {"delta": delta}
        x, t, *expected = (fmt.array(column) for column in zip(*rows, strict=True))
        for output, call, actual in narrow_case.element_wise(x, t, **parameters):
            what = f"{narrow_case} {output} from {call} {parameters or ''}"
            assert_same_bits(expected[OUTPUTS.index(output)], actual, fmt, what, x, t)


@pytest.mark.parametrize("fmt", NARROW, ids=lambda fmt: fmt.name)
@pytest.mark.parametrize("loss", REPRESENTATIVES.values(), ids=lambda loss: loss.name)
def test_table_says_what_mpmath_says(loss: Loss, fmt: Format) -> None:
    """Every seventh row again, so that a table made by an older reference shows."""
    for delta, rows in read(f"{loss.name}_{fmt.name}").items():
        parameters = {} if delta < 0 else {"delta": delta}
        for x, t, *expected in rows[::7]:
            actual = [rounded(loss, output, x, t, fmt, **parameters) for output in OUTPUTS]
            assert [number.hex() for number in expected] == [number.hex() for number in actual], (
                x,
                t,
            )
