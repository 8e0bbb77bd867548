"""Zeros, infinities, NaN, subnormal and largest numbers, each side of delta."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from lossless.verification.formats import NARROW
from lossless.verification.losses import LOSSES
from lossless.verification.reference import OUTPUTS
from lossless.verification.special import SpecialValues
from support.cases import Case, cases
from support.checks import assert_correctly_rounded, assert_same_bits
from support.special_values import special_values

pytestmark = pytest.mark.kernel

INF, NAN = math.inf, math.nan
COPIES = 13  # each special number in the middle and at the end of vectors


@special_values()
def test_special_values_by_hand(case: Case, special: SpecialValues) -> None:
    x, t, *results = (np.tile(column, COPIES) for column in special.columns(case.fmt))
    for output, call, actual in case.element_wise(x, t, **special.parameters):
        what = f"{case} {output} from {call} {special.parameters or ''}"
        assert_same_bits(results[OUTPUTS.index(output)], actual, case.fmt, what, x, t)


def test_nan_and_inf_stay_in_their_element(case: Case, rng: np.random.Generator) -> None:
    x = case.fmt.array(rng.normal(0.3, 2.0, 301))
    t = case.fmt.array(rng.normal(-0.2, 1.0, 301))
    spoiled = x.copy()
    places = np.array([0, 7, 16, 31, 150, 299, 300])
    spoiled[places] = case.fmt.array([NAN, INF, -INF, NAN, NAN, INF, NAN])
    others = np.setdiff1d(np.arange(301), places)
    clean = case.element_wise(x, t)
    for (output, call, expected), (_, _, actual) in zip(
        clean, case.element_wise(spoiled, t), strict=True
    ):
        what = f"{case} {output} from {call}"
        assert_same_bits(expected[others], actual[others], case.fmt, what, x[others], t[others])
        if output == "value":
            assert not np.isfinite(actual[places]).any(), f"{what}: got {actual[places]}"


@pytest.mark.parametrize("delta", [1e-45, 2.0**-149, 0.1, 1 / 3, 1.0, 1.345, 7.0, 3e4, 1e30, 3e38])
@pytest.mark.parametrize("case", cases(NARROW, [LOSSES["huber"]]))
def test_huber_steps_around_delta(case: Case, delta: Any) -> None:
    """A delta that the dtype does not hold stays float64: its neighbours fall on either side."""
    fmt = case.fmt
    near = float(fmt.array(delta))
    if math.isinf(near):
        near = fmt.largest
    steps = [fmt.neighbour(near, step) for step in range(-4, 5)]
    x = fmt.array([sign * step for step in steps for sign in (1, -1) if math.isfinite(step)])
    assert_correctly_rounded(case, x, None, delta=delta)


@pytest.mark.parametrize("case", cases(losses=[LOSSES["huber"]]))
def test_huber_delta_may_be_any_real_number(case: Case) -> None:
    x, t = case.fmt.array([0.5, -3.0, 2.0, 9.0]), case.fmt.array([2.0, 1.0, -0.25, 2.5])
    expected = case.value(x, t, delta=2.0)
    for delta in (2, np.float32(2), np.float64(2), np.float16(2), np.int8(2)):
        actual = case.value(x, t, delta=delta)
        assert_same_bits(expected, actual, case.fmt, f"delta={delta!r}", x, t)


def test_huber_float64_keeps_a_difference_that_overflows() -> None:
    case = cases(losses=[LOSSES["huber"]])[-1].values[0]
    x, t = case.fmt.array([1.75e308, -1.5e308]), case.fmt.array([-1.75e308, 1.5e308])
    expected = {"value": [0.25 * 1.75e308 * 2, 0.25 * 1.5e308 * 2], "gradient": [0.25, -0.25]}
    expected["second_derivative"] = [0.0, 0.0]
    for output, call, actual in case.element_wise(x, t, delta=0.25):
        assert_same_bits(
            case.fmt.array(expected[output]), actual, case.fmt, f"{output} from {call}", x, t
        )
